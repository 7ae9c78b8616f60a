// A neighbour that may send any frames of circuits, to a node that serves it a stream in both
// directions, and sends it one.
#include "node/node_impl.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "link/link.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pl_loop *loop;
static unsigned handlers;

// The node serves: it sends back what it reads.

typedef struct handler {
  pl_request *request;
  pl_work work;
  bool waits, cancelled;
} handler;

static void finish(handler *h, const pl_failure *why) {
  const pl_parts result = pl_parts_of(pl_bytes_of("\x90", 1));
  pl_work_cancel(&h->work);
  handlers--;
  pl_request_end(h->request, &result, why);
  pl_free(h);
}

static void proceed(pl_work *w) {
  handler *h = pl_container(w, handler, work);
  const pl_failure why = pl_failure_of(PL_CANCELLED, PL_EXECUTED, NULL);
  pl_bytes item;
  int more = 0;
  while (!h->cancelled && !h->waits && (more = pl_request_next(h->request, &item)) == 1) {
    if (item.len == 3) pl_request_stop_input(h->request);
    const pl_parts parts = pl_parts_of(pl_bytes_of("\x91\x05", 2));
    h->waits = pl_request_chunk(h->request, &parts) == PL_BUSY;
  }
  if (h->cancelled || more < 0) {
    finish(h, h->cancelled ? &why : NULL);
  } else if (!h->waits) {
    pl_request_expect(h->request);
  }
}

static void go_on(pl_request *r) {
  handler *h = pl_request_user(r);
  pl_loop_defer(loop, &h->work, proceed);
}

static void on_start(pl_request *r, void *user) {
  (void)user;
  handler *h = pl_new(handler);
  h->request = r;
  handlers++;
  pl_request_set_user(r, h);
  pl_request_tell_info(r, pl_bytes_of("\x91\x01", 2));
  go_on(r);
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  (void)why;
  ((handler *)pl_request_user(r))->cancelled = true;
  go_on(r);
}

static void on_credit(pl_request *r) {
  ((handler *)pl_request_user(r))->waits = false;
  go_on(r);
}

static void on_gone(void *user) {
  (void)user;
}

static const pl_action_ops action_ops = {
    .on_start = on_start,
    .on_cancel = on_cancel,
    .on_credit = on_credit,
    .on_items = go_on,
    .on_gone = on_gone,
};

// The node calls.

static void read_items(pl_call *c, void *user) {
  (void)user;
  pl_bytes item;
  while (pl_call_next(c, &item) == 1)
    assert(item.len <= 1 << 20);
  pl_call_expect(c);
}

static void send_items(pl_call *c, void *user) {
  (void)user;
  static const uint8_t bytes[20000] = {0xc6};
  const pl_parts parts = pl_parts_of(pl_bytes_of(bytes, sizeof bytes));
  for (int i = 0; i < 6; i++) {
    if (pl_call_send(c, &parts) != PL_OK) return;
  }
  pl_call_finish(c);
}

static void on_end(pl_call *c, void *user) {
  (void)c;
  *(bool *)user = true;
}

static const pl_call_ops call_ops = {
    .on_items = read_items, .on_credit = send_items, .on_end = on_end};

static pl_call *open_call(pl_node *n, bool *ended) {
  pl_call *c = NULL;
  pl_failure why;
  const pl_parts args = pl_parts_of(pl_bytes_of("\x90", 1));
  const pl_call_options o = {
      .action = pl_bytes_of("evil", 4),
      .deadline_us = pl_now_us(loop) + 1000000,
      .idle_us = 1000000,
      .stream = true,
      .input = true,
  };
  if (pl_node_call(&c, n, &o, &args, &call_ops, ended, &why) != PL_OK) return NULL;
  send_items(c, NULL);
  read_items(c, NULL);
  return c;
}

// The neighbour.

static void raw_nothing(pl_link *l, void *user) {
  (void)l, (void)user;
}

static size_t raw_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l, (void)user;
  return bytes.len;
}

static void raw_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  *(bool *)user = true;
}

static void put(pl_link *raw, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                pl_bytes body) {
  uint8_t header[PL_FRAME_HEADER];
  pl_frame_put_header(header, type, flags, aux, label, body.len);
  pl_link_append(raw, pl_bytes_of(header, sizeof header));
  pl_link_append(raw, body);
}

static void put_buf(pl_link *raw, uint8_t type, uint8_t flags, uint32_t label, pl_buf *body) {
  put(raw, type, flags, 0, label, pl_bytes_of(pl_buf_data(body), pl_buf_len(body)));
  pl_buf_fini(body);
}

static void greet(pl_link *raw) {
  uint8_t preamble[PL_PREAMBLE];
  pl_preamble_put(preamble);
  pl_link_append(raw, pl_bytes_of(preamble, sizeof preamble));
  const pl_msg_hello hello = {.id = {{2}}, .epoch = 1, .nonce = {{3}}, .message_max = 1 << 20};
  pl_buf body = {0}, items = {0}, list = {0};
  pl_msg_hello_encode(&body, &hello);
  put_buf(raw, PL_FRAME_HELLO, 0, 0, &body);
  put(raw, PL_FRAME_READY, 0, 0, 0, (pl_bytes){0});
  const pl_msg_advert_item offer = {
      .kind = pl_bytes_of("action", 6),
      .name = pl_bytes_of("evil", 4),
      .attributes = pl_bytes_of("\x80", 1),
  };
  pl_msg_advert_item_encode(&items, &offer);
  pl_msg_advert_items_wrap(&list, pl_bytes_of(pl_buf_data(&items), pl_buf_len(&items)), 1);
  const pl_msg_advert advert = {.version = 1,
                                .snapshot = true,
                                .complete = true,
                                .items = pl_bytes_of(pl_buf_data(&list), pl_buf_len(&list))};
  pl_msg_advert_encode(&body, &advert);
  put_buf(raw, PL_FRAME_ADVERT, 0, 0, &body);
  pl_buf_fini(&items);
  pl_buf_fini(&list);
}

static void put_call(pl_link *raw, uint32_t label, uint8_t how) {
  pl_buf body = {0};
  const pl_msg_call m = {
      .call_id = label,
      .action = pl_bytes_of("echo", 4),
      .stream = how & 1,
      .input = how & 2,
      .window_items = how & 4 ? 2 : 100,
      .window_bytes = how & 8 ? 20 : 100000,
      .body_len = how & 16 ? 40 : 0,
  };
  pl_msg_call_encode(&body, &m);
  pl_buf_append(&body, "\x90", 1);
  put_buf(raw, PL_FRAME_CALL, (uint8_t)(PL_LANE_NORMAL | (how & 16 ? PL_FLAG_MORE : 0)), label,
          &body);
}

// A byte for each of type, label and flags, aux, length; then the body.
static size_t put_frame(pl_link *raw, const uint8_t *data, size_t size) {
  if (size < 4) return size;
  size_t n = data[3] < size - 4 ? data[3] : size - 4;
  uint8_t type = (uint8_t)(PL_FRAME_CALL + data[0] % 14);
  uint32_t label = 1 + data[1] % 8;
  uint8_t flags = (uint8_t)(PL_LANE_NORMAL | (data[1] & 0x10) | (data[1] >> 5 & PL_FLAG_MORE));
  pl_bytes body = pl_bytes_of(data + 4, n);
  if (type == PL_FRAME_CALL) {
    put_call(raw, label, data[2]);
  } else if (type == PL_FRAME_CREDIT && data[2] & 1) {
    pl_buf credit = {0};
    const pl_msg_credit m = {.items = data[2], .bytes = data[2] * 100U};
    pl_msg_credit_encode(&credit, &m);
    put_buf(raw, type, flags, label, &credit);
  } else {
    put(raw, type, flags, data[2] % 4, label, body);
  }
  return 4 + n;
}

static void on_joined(void *user) {
  (void)user;
}

static void on_stopped(void *user) {
  *(bool *)user = true;
}

static pl_node *start(void) {
  pl_node *n = NULL;
  pl_options o;
  char detail[PL_URL_MAX];
  pl_options_init(&o);
  pl_texts_add(&o.listen, "mem://n");
  pl_err err = pl_node_new(&n, loop, &o, NULL, NULL, detail);
  assert(err == PL_OK);
  pl_options_free(&o);
  const pl_action_options a = {.queue = -1, .attributes = pl_bytes_of("\x80", 1)};
  err = pl_node_add_action(n, pl_bytes_of("echo", 4), &a, &action_ops, NULL);
  assert(err == PL_OK);
  err = pl_node_start(n, on_joined, NULL, detail);
  assert(err == PL_OK);
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_link_ops raw_ops = {raw_nothing, raw_bytes, raw_nothing, raw_close};
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_OFF);
  loop = pl_loop_new_virtual(log, 1);
  bool closed = false, ended = false, stopped = false;
  pl_node *n = start();
  pl_loop_advance(loop, 1000);

  pl_url url;
  const char *why;
  pl_link *raw;
  pl_err err = pl_url_parse(&url, "mem://n", &why);
  if (err == PL_OK) err = pl_link_dial(&raw, loop, &url, &raw_ops, &closed);
  assert(err == PL_OK);
  pl_loop_advance(loop, 1000);
  greet(raw);
  pl_loop_advance(loop, 1000);
  pl_call *c = open_call(n, &ended);
  assert(c != NULL);
  for (size_t at = 0; at < size && !closed;) {
    at += put_frame(raw, data + at, size - at);
    if (at % 3 != 0) pl_loop_advance(loop, 1000);
  }
  pl_loop_advance(loop, 1000);
  pl_call_free(c, PL_CANCELLED);
  if (!closed) pl_link_abort(raw, PL_OK, "");
  pl_node_stop(n, 0, on_stopped, &stopped);
  for (int i = 0; i < 100 && !(stopped && closed); i++)
    pl_loop_advance(loop, 200000);
  assert(stopped && closed && handlers == 0);
  pl_node_free(n);
  pl_loop_free(loop);
  return 0;
}
