#include "peer/flow.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "wire/msgpack.h"

enum {
  LENGTH_MAX = 8,  // in front of a body: LEB128 of an item, total of a result
  HEAD_MAX = LENGTH_MAX + PL_PREFIX_MAX,
  CALL_MAX = PL_FRAGMENT_MAX - PL_JOURNEY_ROOM,
};

typedef struct body {
  pl_list node;
  uint8_t type;
  bool started;  // its first frame is written; what follows goes in BODY frames
  bool metered;  // the first frame costs credit, too
  bool is_item;  // its end costs an item of credit
  uint8_t head_len;
  uint8_t head[HEAD_MAX];  // its length, and what stands before a tail
  pl_bytes map;            // of a CALL: kept, in front of the arguments
  pl_bytes bytes;          // kept
  size_t at;               // written of `bytes`
} body;
_Static_assert(HEAD_MAX <= UINT8_MAX, "the length of a head is a byte");

// Bodies.

static void body_free(body *b) {
  pl_bytes_drop(&b->map);
  pl_bytes_drop(&b->bytes);
  pl_free(b);
}

static bool may_write(const pl_flow *f, const body *b) {
  if (!b->started && !b->metered) return true;
  if (b->is_item && f->credit_items == 0) return false;
  return f->credit_bytes > (b->started ? 0U : b->head_len);  // a length is never split
}

// What the next frame of `b` may carry of its payload.
static size_t allowance(const pl_flow *f, const body *b) {
  size_t head = b->started ? 0 : b->head_len;
  size_t room = PL_FRAGMENT_MAX - head;
  if (!b->started && b->map.len > 0) room = CALL_MAX - b->map.len;
  if (!b->started && !b->metered) return room;
  size_t credit = (size_t)f->credit_bytes - head;
  return credit < room ? credit : room;
}

// What waits counts for the node, too.
static void add_queued(pl_flow *f, const body *b) {
  f->queued += b->head_len + b->bytes.len;
  f->queued_items += b->is_item ? 1 : 0;
  *f->lanes->held += b->head_len + b->bytes.len;
}

static void take_queued(pl_flow *f, size_t bytes, size_t items) {
  f->queued -= bytes;
  f->queued_items -= items;
  *f->lanes->held -= bytes;
}

// Items.

// Puts an item into the DATA frame at the end of the batch when that is ours and still there.
static bool append_to_tail(pl_flow *f, pl_bytes item, const uint8_t *head, size_t head_len) {
  pl_lanes *l = f->lanes;
  size_t n = head_len + item.len;
  if (l->tail_label != f->label || l->tail_flags != f->flags ||
      l->tail_mark != pl_session_sent(l->session))
    return false;
  if (l->tail_len + n > PL_COPY_MAX || l->tail_items == UINT16_MAX) return false;
  pl_link *link = pl_session_link(l->session);
  size_t frame_len = PL_FRAME_HEADER + l->tail_len;
  if (link == NULL) return false;

  uint8_t *room = pl_link_reserve(link, n);
  uint8_t *frame = pl_link_recent(link, frame_len);
  if (frame == NULL || frame + frame_len != room) return false;
  memcpy(room, head, head_len);
  memcpy(room + head_len, item.data, item.len);
  l->tail_len += n;
  l->tail_items++;
  pl_frame_put_header(frame, PL_FRAME_DATA, l->tail_flags, l->tail_items, f->label, l->tail_len);
  pl_link_commit(link, n);  // may write the batch at once
  return true;
}

static void write_item(pl_flow *f, pl_bytes item, const uint8_t *head, size_t head_len) {
  pl_lanes *l = f->lanes;
  f->began = true;
  f->credit_items--;
  f->credit_bytes -= head_len + item.len;
  f->sent_items++;
  f->sent_bytes += head_len + item.len;
  if (append_to_tail(f, item, head, head_len)) return;
  pl_session_send_parts(l->session, PL_FRAME_DATA, f->flags, 1, f->label,
                        pl_bytes_of(head, head_len), item);
  l->tail_label = f->label;
  l->tail_flags = f->flags;
  l->tail_items = 1;
  l->tail_len = head_len + item.len;
  l->tail_mark = pl_session_sent(l->session);
}

// Turns.

static body *first_of(const pl_flow *f) {
  return pl_container(f->bodies.next, body, node);
}

// What is left of it is not queued any more.
static void take_out(pl_flow *f, body *b) {
  size_t left = b->bytes.len - b->at + (b->started ? 0 : b->head_len);
  take_queued(f, left, b->is_item ? 1 : 0);
  pl_list_remove(&b->node);
}

static void forget(pl_flow *f, body *b) {
  take_out(f, b);
  body_free(b);
}

// Writes one frame of `b`; true when it was the last.
static bool write_fragment(pl_flow *f, body *b) {
  bool metered = b->started || b->metered;
  size_t left = b->bytes.len - b->at;
  size_t room = allowance(f, b);
  size_t n = left < room ? left : room;
  bool last = n == left;

  uint8_t type = b->started ? PL_FRAME_BODY : b->type;
  uint8_t flags = (uint8_t)(f->flags | (last ? 0 : PL_FLAG_MORE));
  uint16_t items = b->is_item && last ? 1 : 0;
  pl_bytes part = {.data = b->bytes.data + b->at, .len = n, .owner = b->bytes.owner};
  pl_bytes head = {0};
  if (!b->started) head = b->map.len > 0 ? b->map : pl_bytes_of(b->head, b->head_len);
  pl_session_send_parts(f->lanes->session, type, flags, items, f->label, head, part);

  f->began = true;
  size_t cost = metered ? n + (b->started ? 0 : b->head_len) : 0;
  f->credit_bytes -= cost;
  f->sent_bytes += cost;
  f->credit_items -= items;
  f->sent_items += items;
  b->started = true;
  b->at += n;
  return last;
}

// Whether it goes out as a whole, beside others in one frame where that is possible.
static bool is_short_item(const pl_flow *f, const body *b) {
  size_t n = b->head_len + b->bytes.len;
  return b->is_item && !b->started && n <= PL_COPY_MAX && n <= f->credit_bytes;
}

// A frame of the first body.
static void write_first(pl_flow *f) {
  body *b = first_of(f);
  size_t head = b->started ? 0 : b->head_len, before = b->at;
  bool last = true;
  if (is_short_item(f, b)) {
    write_item(f, b->bytes, b->head, b->head_len);
    b->at = b->bytes.len;
    b->started = true;
    pl_turn_wrote(&f->turn, f->lanes, head + b->at);
  } else {
    last = write_fragment(f, b);
    pl_turn_wrote(&f->turn, f->lanes, PL_FRAME_HEADER + head + b->at - before);
  }
  take_queued(f, head + b->at - before, 0);
  if (last) forget(f, b);
}

// Afterwards the flow has more to write, or waits for credit or bodies.
static bool write_turn(pl_turn *t) {
  pl_flow *f = pl_container(t, pl_flow, turn);
  if (!may_write(f, first_of(f))) return false;
  size_t waited = pl_flow_waiting(f);
  write_first(f);
  bool more = !pl_flow_idle(f) && may_write(f, first_of(f));
  bool low = f->on_low != NULL && waited > f->low && pl_flow_waiting(f) <= f->low;
  if (!low && !pl_flow_idle(f)) return more;
  if (more) pl_turn_ask(t, f->lanes);
  // Either may free the flow.
  if (low) {
    f->on_low(f);
  } else if (f->on_empty != NULL) {
    f->on_empty(f);
  }
  return false;
}

// Flow.

void pl_flow_init(pl_flow *f, pl_lanes *lanes, uint32_t label, uint8_t flags) {
  *f = (pl_flow){.lanes = lanes, .label = label, .flags = flags};
  pl_turn_init(&f->turn, write_turn);
  pl_list_init(&f->bodies);
}

void pl_flow_fini(pl_flow *f) {
  pl_turn_leave(&f->turn);
  for (pl_list *n; (n = pl_list_pop(&f->bodies)) != NULL;)
    body_free(pl_container(n, body, node));
  take_queued(f, f->queued, f->queued_items);
}

bool pl_flow_withdraw(pl_flow *f) {
  for (pl_list *n = f->bodies.prev, *before; n != &f->bodies; n = before) {
    before = n->prev;
    body *b = pl_container(n, body, node);
    if (b->started) break;
    forget(f, b);
  }
  if (pl_flow_idle(f)) pl_turn_leave(&f->turn);
  return !f->began;
}

void pl_flow_control(pl_flow *f, uint8_t type, pl_bytes bytes) {
  pl_session_send(f->lanes->session, type, f->flags & PL_FLAG_CALLEE, 0, f->label, bytes);
}

static body *body_new(uint8_t type) {
  body *b = pl_new(body);
  b->type = type;
  return b;
}

// Gives it its payload, behind `map` if it is a CALL. False: no memory, and the body is gone.
static bool fill(body *b, pl_bytes map, pl_bytes bytes) {
  if (pl_bytes_keep(&b->bytes, bytes) && pl_bytes_keep(&b->map, map)) return true;
  body_free(b);
  return false;
}

// The same of an item or a result behind the `n` bytes of its length. What stands before a tail
// goes out with that.
static bool fill_parts(body *b, const uint8_t *length, size_t n, const pl_parts *parts) {
  bool whole = parts->tail.len == 0;
  memcpy(b->head, length, n);
  if (!whole) {
    assert(parts->head.len <= PL_PREFIX_MAX);
    memcpy(b->head + n, parts->head.data, parts->head.len);
    n += parts->head.len;
  }
  b->head_len = (uint8_t)n;
  return fill(b, (pl_bytes){0}, whole ? parts->head : parts->tail);
}

static bool fill_item(body *b, const pl_parts *item) {
  uint8_t length[LENGTH_MAX];
  size_t n = pl_item_put_len(length, (uint32_t)pl_parts_len(item));
  b->metered = b->is_item = true;
  return fill_parts(b, length, n, item);
}

static void push(pl_flow *f, body *b) {
  pl_list_push(&f->bodies, &b->node);
  add_queued(f, b);
  if (may_write(f, first_of(f))) pl_turn_ask(&f->turn, f->lanes);
}

// `filled`: there was memory for it.
static bool enqueue(pl_flow *f, body *b, bool filled) {
  if (filled) {
    push(f, b);
  } else {
    pl_session_abort(f->lanes->session, PL_NO_MEMORY, "no memory for a body to send");
  }
  return filled;
}

// Whether a body that needs no credit can go out now, in one frame.
static bool direct(const pl_flow *f, size_t len) {
  return len <= PL_FRAGMENT_MAX && pl_flow_idle(f) && pl_lanes_clear(f->lanes);
}

// The head of a call stands from `start` to `p`, with room behind it.
static void finish_call(pl_flow *f, uint8_t *start, uint8_t *p, const pl_parts *args) {
  size_t n = pl_parts_len(args);
  if (n > 0) memcpy(p, args->head.data, n);
  size_t len = (size_t)(p - start) + n;
  pl_session_finish(f->lanes->session, PL_FRAME_CALL, f->flags, 0, f->label, start, len);
  f->began = true;
}

bool pl_flow_call_usual(pl_flow *f, const pl_msg_call_usual *head, const pl_parts *args) {
  size_t n = pl_parts_len(args);
  size_t room = PL_MSG_CALL_USUAL_ROOM + head->action.len + n;
  if (n > PL_COPY_MAX || !direct(f, room)) return false;
  uint8_t *start = pl_session_begin(f->lanes->session, room);
  finish_call(f, start, pl_msg_call_put_usual(start, head), args);
  return true;
}

// A call that fits the batch goes there at once, its head encoded in place.
static bool write_call(pl_flow *f, const pl_msg_call *head, const pl_parts *args) {
  size_t n = pl_parts_len(args);
  size_t room = pl_msg_call_room(head) + n;
  if (n > PL_COPY_MAX || !direct(f, room)) return false;
  uint8_t *start = pl_session_begin(f->lanes->session, room);
  finish_call(f, start, pl_msg_call_put(start, head), args);
  return true;
}

bool pl_flow_call(pl_flow *f, pl_msg_call *head, const pl_parts *args) {
  head->body_len = 0;
  if (write_call(f, head, args)) return true;

  pl_buf *map = &f->lanes->scratch;
  size_t n = pl_parts_len(args);
  pl_buf_clear(map);
  if (pl_msg_call_encode(map, head) != PL_OK) goto no_memory;
  if (pl_buf_len(map) + n > CALL_MAX) {
    pl_buf_clear(map);
    head->body_len = n;
    if (pl_msg_call_encode(map, head) != PL_OK) goto no_memory;
  }
  pl_bytes bytes = args->head;
  if (args->tail.len > 0) {
    if (!pl_buf_append(map, args->head.data, args->head.len)) goto no_memory;
    bytes = args->tail;
  }
  pl_bytes map_bytes = pl_bytes_of(pl_buf_data(map), pl_buf_len(map));
  if (head->body_len > 0 || !direct(f, map_bytes.len + bytes.len)) {
    body *b = body_new(PL_FRAME_CALL);
    enqueue(f, b, fill(b, map_bytes, bytes));
    return false;
  }
  f->began = true;
  pl_session_send_parts(f->lanes->session, PL_FRAME_CALL, f->flags, 0, f->label, map_bytes, bytes);
  return true;

no_memory:
  pl_session_abort(f->lanes->session, PL_NO_MEMORY, "no memory for a call to send");
  return false;
}

bool pl_flow_item(pl_flow *f, const pl_parts *item) {
  uint8_t length[LENGTH_MAX];
  size_t len = pl_parts_len(item);
  size_t length_len = pl_item_put_len(length, (uint32_t)len);
  size_t n = length_len + len;
  if (direct(f, n) && f->credit_items > 0 && f->credit_bytes >= n) {
    assert(item->tail.len == 0);
    write_item(f, item->head, length, length_len);
    return true;
  }
  // As much as one turn writes: who yields small items would not have his part of the link else.
  bool may_follow = f->queued + n < PL_LANE_QUANTUM && f->queued_items < PL_LANE_ITEMS &&
                    f->queued + n <= f->credit_bytes && f->queued_items < f->credit_items;
  body *b = body_new(PL_FRAME_DATA);
  return enqueue(f, b, fill_item(b, item)) && may_follow;
}

// A body that needs no credit, where it can go out now.
static bool write_whole(pl_flow *f, uint8_t type, const pl_bytes *bytes) {
  if (!direct(f, bytes->len)) return false;
  pl_session *s = f->lanes->session;
  if (bytes->len > PL_COPY_MAX) {
    pl_session_send(s, type, f->flags, 0, f->label, *bytes);
    return true;
  }
  uint8_t *to = pl_session_begin(s, bytes->len);
  if (bytes->len > 0) memcpy(to, bytes->data, bytes->len);
  pl_session_finish(s, type, f->flags, 0, f->label, to, bytes->len);
  return true;
}

bool pl_flow_result(pl_flow *f, const pl_parts *result) {
  uint8_t length[LENGTH_MAX];
  size_t n = 0, len = pl_parts_len(result);
  if (len > PL_FRAGMENT_MAX) {
    n = (size_t)(pl_put_be32(length, (uint32_t)len) - length);
  } else if (write_whole(f, PL_FRAME_RESULT, &result->head)) {
    return true;
  }
  body *b = body_new(PL_FRAME_RESULT);
  enqueue(f, b, fill_parts(b, length, n, result));
  return false;
}

bool pl_flow_error(pl_flow *f, const pl_failure *failure) {
  pl_buf *out = &f->lanes->scratch;
  pl_buf_clear(out);
  if (pl_msg_error_encode(out, failure) != PL_OK) {
    pl_session_abort(f->lanes->session, PL_NO_MEMORY, "no memory for an error to send");
    return false;
  }
  pl_bytes bytes = pl_bytes_of(pl_buf_data(out), pl_buf_len(out));
  if (write_whole(f, PL_FRAME_ERROR, &bytes)) return true;
  body *b = body_new(PL_FRAME_ERROR);
  enqueue(f, b, fill(b, (pl_bytes){0}, bytes));
  return false;
}

bool pl_flow_end(pl_flow *f) {
  const pl_bytes nothing = {0};
  if (write_whole(f, PL_FRAME_END, &nothing)) return true;
  push(f, body_new(PL_FRAME_END));
  return false;
}

bool pl_flow_info(pl_flow *f, pl_bytes info) {
  if (write_whole(f, PL_FRAME_INFO, &info)) return true;
  body *b = body_new(PL_FRAME_INFO);
  enqueue(f, b, fill(b, (pl_bytes){0}, info));
  return false;
}

// Items that are not sent, or elsewhere.

void pl_flow_drop_items(pl_flow *f) {
  for (pl_list *n = f->bodies.next, *next; n != &f->bodies; n = next) {
    next = n->next;
    body *b = pl_container(n, body, node);
    if (b->is_item || b->type == PL_FRAME_END) forget(f, b);
  }
  if (pl_flow_idle(f)) pl_turn_leave(&f->turn);
}

static void add(pl_unsent *u, body *b) {
  pl_list_push(&u->bodies, &b->node);
  u->waiting += b->head_len + b->bytes.len + PL_ITEM_COST;
}

void pl_unsent_fini(pl_unsent *u) {
  for (pl_list *n; (n = pl_list_pop(&u->bodies)) != NULL;)
    body_free(pl_container(n, body, node));
  u->waiting = 0;
}

bool pl_unsent_add(pl_unsent *u, const pl_parts *item) {
  body *b = body_new(PL_FRAME_DATA);
  bool filled = fill_item(b, item);
  if (filled) add(u, b);
  return filled;
}

void pl_unsent_take(pl_unsent *u, pl_flow *f) {
  for (pl_list *n = f->bodies.next, *next; n != &f->bodies; n = next) {
    next = n->next;
    body *b = pl_container(n, body, node);
    if (!b->is_item || b->started) continue;
    take_out(f, b);
    add(u, b);
  }
}

void pl_unsent_send(pl_unsent *u, pl_flow *f) {
  for (pl_list *n; (n = pl_list_pop(&u->bodies)) != NULL;)
    push(f, pl_container(n, body, node));
  u->waiting = 0;
}

pl_err pl_flow_grant(pl_flow *f, uint64_t items, uint64_t bytes) {
  if (items > PL_CREDIT_MAX - f->credit_items || bytes > PL_CREDIT_MAX - f->credit_bytes)
    return PL_PROTOCOL;
  f->credit_items += items;
  f->credit_bytes += bytes;
  if (!pl_flow_idle(f) && may_write(f, first_of(f))) pl_turn_ask(&f->turn, f->lanes);
  return PL_OK;
}

bool pl_flow_is_held_back(const pl_flow *f) {
  return !pl_flow_idle(f) && !may_write(f, first_of(f));
}
