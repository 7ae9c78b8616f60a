// What the intruder says: noise, what others said, lies about the mesh, calls with wrong heads.

#include <string.h>

#include "base/mem.h"
#include "sim/intruder_impl.h"
#include "wire/msgpack.h"

enum { WORDS_MAX = 300, PHANTOMS = 4 };

static void say_frame(pl_visit *v, uint8_t type, uint8_t flags, uint32_t label, const pl_buf *b) {
  uint8_t head[PL_FRAME_HEADER];
  pl_frame_put_header(head, type, flags, 0, label, pl_buf_len(b));
  pl_visit_say(v, head, sizeof head);
  pl_visit_say(v, pl_buf_data(b), pl_buf_len(b));
}

static void put_random(const pl_visit *v, uint8_t *out, size_t len) {
  for (size_t i = 0; i < len; i++)
    out[i] = (uint8_t)pl_visit_pick(v, 256);
}

// A node of the mesh, the intruder, or one that does not exist.
static pl_id any_id(const pl_visit *v, uint64_t *epoch) {
  const pl_sim *s = v->owner->sim;
  const pl_sim_node *n = &s->nodes[pl_visit_pick(v, s->count)];
  pl_id id = v->self.id;
  *epoch = v->self.epoch;
  uint64_t which = pl_visit_pick(v, 4);
  if (which == 0) {
    id.bytes[0] ^= (uint8_t)(1 + pl_visit_pick(v, PHANTOMS));
  } else if (which < 3 && n->node != NULL) {
    id = *pl_node_id(n->node);
    *epoch = pl_node_started_wall_us(n->node);
  }
  return id;
}

void pl_visit_frame(pl_visit *v) {
  uint8_t body[WORDS_MAX], head[PL_FRAME_HEADER];
  size_t len = (size_t)pl_visit_pick(v, pl_visit_pick(v, 2) == 0 ? 20 : WORDS_MAX);
  put_random(v, body, len);
  bool circuit = pl_visit_pick(v, 2) == 0;
  uint8_t type = (uint8_t)(circuit ? 32 + pl_visit_pick(v, 10) : pl_visit_pick(v, 70));
  uint8_t flags = (uint8_t)(pl_visit_pick(v, 4) == 0 ? pl_visit_pick(v, 256) : PL_LANE_NORMAL);
  uint32_t label = circuit ? (uint32_t)pl_visit_pick(v, 8) : 0;
  uint16_t aux = (uint16_t)(pl_visit_pick(v, 4) == 0 ? pl_visit_pick(v, 65536) : 0);
  size_t told = pl_visit_pick(v, 8) == 0 ? (size_t)pl_visit_pick(v, 1 << 20) : len;
  pl_frame_put_header(head, type, flags, aux, label, told);
  pl_visit_say(v, head, sizeof head);
  pl_visit_say(v, body, len);
}

void pl_visit_noise(pl_visit *v) {
  if (pl_visit_pick(v, 2) == 0) {
    pl_visit_frame(v);
    return;
  }
  uint8_t bytes[WORDS_MAX];
  size_t len = (size_t)pl_visit_pick(v, WORDS_MAX);
  put_random(v, bytes, len);
  pl_visit_say(v, bytes, len);
}

// What others said.

// Frame by frame, of which some are left out, come twice or before the one in front of them.
static void say_disordered(pl_visit *v, pl_bytes said) {
  size_t at = PL_PREAMBLE, held_at = 0, held_len = 0;
  pl_frame f;
  pl_visit_say(v, said.data, PL_PREAMBLE);
  for (ptrdiff_t n; at < said.len; at += (size_t)n) {
    n = pl_frame_decode(&f, pl_bytes_of(said.data + at, said.len - at), PL_FRAGMENT_MAX);
    if (n <= 0) break;
    uint64_t how = pl_visit_pick(v, 5);
    if (how == 0) continue;
    if (how == 1) {
      held_at = at;
      held_len = (size_t)n;
      continue;
    }
    pl_visit_say(v, said.data + at, (size_t)n);
    if (how == 2) pl_visit_say(v, said.data + at, (size_t)n);
    pl_visit_say(v, said.data + held_at, held_len);
    held_len = 0;
  }
}

void pl_visit_replay(pl_visit *v) {
  const pl_intruder *in = v->owner;
  if (in->heard_count == 0) return;
  const pl_heard *h = NULL;  // mostly what was said to the same node
  uint64_t start = pl_visit_pick(v, PL_HEARD);
  for (uint64_t i = 0; i < PL_HEARD; i++) {
    const pl_heard *one = &in->heard[(start + i) % PL_HEARD];
    if (one->to != NULL && (h == NULL || one->to == v->host->site)) h = one;
  }
  v->acts = v->acts > 2 ? 2 : v->acts;
  if (h == NULL || pl_buf_len(&h->said) < PL_PREAMBLE) return;
  pl_bytes said = pl_bytes_of(pl_buf_data(&h->said), pl_buf_len(&h->said));
  if (pl_visit_pick(v, 2) == 0)
    pl_visit_say(v, said.data, said.len);
  else
    say_disordered(v, said);
}

// Lies.

static void add_item(pl_buf *items, uint32_t *count, const char *kind, pl_bytes name,
                     pl_bytes attributes) {
  const pl_msg_advert_item item = {.kind = pl_bytes_of(kind, strlen(kind)),
                                   .name = name,
                                   .attributes = attributes,
                                   .withdrawn = attributes.len == 0};
  if (pl_msg_advert_item_encode(items, &item) == PL_OK) ++*count;
}

// Links to anybody, actions that nobody has, and what is no attribute.
static void make_items(const pl_visit *v, pl_buf *array) {
  pl_buf items = {0};
  uint32_t count = 0;
  uint64_t epoch;
  for (uint64_t n = pl_visit_pick(v, 6); n > 0; n--) {
    uint8_t map[32];
    uint8_t *p = pl_mp_put_map(map, 1);
    p = pl_mp_put_str(p, "cost", 4);
    p = pl_mp_put_uint(p, pl_visit_pick(v, 2) == 0 ? 1 : pl_visit_pick(v, 1ULL << 40));
    pl_bytes cost = pl_bytes_of(map, (size_t)(p - map));
    pl_id id = any_id(v, &epoch);
    uint64_t what = pl_visit_pick(v, 4);
    if (what == 0)
      add_item(&items, &count, "action", pl_bytes_of("lie", 3), pl_bytes_of("\x80", 1));
    else if (what == 1)
      add_item(&items, &count, "node", pl_bytes_of("", 0), cost);
    else
      add_item(&items, &count, "link", pl_bytes_of(&id, sizeof id.bytes), cost);
  }
  pl_msg_advert_items_wrap(array, pl_bytes_of(pl_buf_data(&items), pl_buf_len(&items)), count);
  pl_buf_fini(&items);
}

static void say_advert(pl_visit *v) {
  pl_buf items = {0}, body = {0};
  make_items(v, &items);
  pl_msg_advert m = {.version = ++v->owner->version, .snapshot = pl_visit_pick(v, 4) != 0};
  m.origin = any_id(v, &m.epoch);
  bool real = m.epoch != v->self.epoch;
  if (real && !v->owner->sim->config->slander) {
    m.origin = v->self.id;
    m.epoch = v->self.epoch;
  }
  bool own = pl_id_equal(&m.origin, &v->self.id);
  if (!own) m.version = pl_visit_pick(v, 1000) << (pl_visit_pick(v, 4) == 0 ? 30 : 0);
  if (!own && pl_visit_pick(v, 3) == 0) m.epoch -= pl_visit_pick(v, 1000000);
  m.complete = pl_visit_pick(v, 8) != 0;
  m.base = m.snapshot ? 0 : pl_visit_pick(v, m.version + 1);
  m.gone = pl_visit_pick(v, 8) == 0;
  if (!m.gone) m.items = pl_bytes_of(pl_buf_data(&items), pl_buf_len(&items));
  if (pl_msg_advert_encode(&body, &m) == PL_OK) say_frame(v, PL_FRAME_ADVERT, 0, 0, &body);
  pl_buf_fini(&items);
  pl_buf_fini(&body);
}

static void say_route(pl_visit *v) {
  pl_buf entries = {0}, digest = {0}, body = {0};
  uint32_t count = (uint32_t)pl_visit_pick(v, 3);
  pl_id last = {0};
  for (uint32_t i = 0; i < count; i++) {
    pl_msg_route_entry e = {.version = pl_visit_pick(v, 1ULL << 20)};
    e.id = any_id(v, &e.epoch);
    if (pl_visit_pick(v, 4) == 0) e.epoch += pl_visit_pick(v, 1000000);
    if (i > 0 && pl_id_compare(&e.id, &last) <= 0) e.id.bytes[0] = 255;
    last = e.id;
    pl_msg_route_entry_encode(&entries, &e);
  }
  pl_msg_route_wrap(&digest, pl_bytes_of(pl_buf_data(&entries), pl_buf_len(&entries)), count);
  pl_msg_route m = {.last = pl_visit_pick(v, 2) == 0,
                    .answer = pl_visit_pick(v, 2) == 0,
                    .synced = pl_visit_pick(v, 2) == 0,
                    .hash = pl_visit_pick(v, 3) == 0 ? pl_random_u64(&v->owner->random) : 0};
  if (pl_visit_pick(v, 4) != 0) m.digest = pl_bytes_of(pl_buf_data(&digest), pl_buf_len(&digest));
  if (pl_msg_route_encode(&body, &m) == PL_OK) say_frame(v, PL_FRAME_ROUTE, 0, 0, &body);
  pl_buf_fini(&entries);
  pl_buf_fini(&digest);
  pl_buf_fini(&body);
}

void pl_visit_lie(pl_visit *v) {
  if (pl_visit_pick(v, 3) == 0)
    say_route(v);
  else
    say_advert(v);
}

// Calls.

static void put_args(pl_buf *body, uint64_t key) {
  uint8_t args[8 * PL_MP_TOKEN_MAX];
  uint8_t *p = pl_mp_put_array(args, 6);
  p = pl_mp_put_uint(p, key);
  for (int i = 0; i < 5; i++)
    p = pl_mp_put_uint(p, 0);
  pl_buf_append(body, args, (size_t)(p - args));
}

// Its head leads astray: round in circles, to who does not exist, from who did not call.
static void say_call(pl_visit *v, uint32_t label) {
  static const uint64_t hops[] = {0, 1, 2, 3, 15, 16, 17, 255, 1 << 20};
  pl_intruder *in = v->owner;
  const char *name = pl_sim_action_names[pl_visit_pick(v, PL_SIM_KINDS)];
  uint64_t epoch;
  pl_id to = any_id(v, &epoch), from = any_id(v, &epoch);
  uint8_t destination[PL_MP_TOKEN_MAX + sizeof to.bytes];
  uint8_t *p = pl_mp_put_bin_head(destination, sizeof to.bytes);
  memcpy(p, to.bytes, sizeof to.bytes);
  p += sizeof to.bytes;
  pl_msg_call m = {.call_id = pl_visit_pick(v, 4) == 0 ? 1 : ++in->version,
                   .action = pl_bytes_of(name, strlen(name)),
                   .timeout_ms = pl_visit_pick(v, 2) == 0 ? 0 : pl_visit_pick(v, 3000),
                   .stream = pl_visit_pick(v, 2) == 0,
                   .window_items = pl_visit_pick(v, 8),
                   .window_bytes = pl_visit_pick(v, 1 << 20),
                   .hops_left = hops[pl_visit_pick(v, sizeof hops / sizeof *hops)]};
  if (pl_visit_pick(v, 4) != 0) m.destination = pl_bytes_of(destination, (size_t)(p - destination));
  if (pl_visit_pick(v, 2) == 0) m.source = pl_bytes_of(from.bytes, sizeof from.bytes);
  if (pl_visit_pick(v, 4) == 0) m.first_call_id = 1 + pl_visit_pick(v, 4);
  pl_buf body = {0};
  if (pl_msg_call_encode(&body, &m) == PL_OK) {
    put_args(&body, PL_SIM_FOREIGN + in->calls);
    say_frame(v, PL_FRAME_CALL, PL_LANE_NORMAL, label, &body);
  }
  pl_buf_fini(&body);
}

// What goes on with one, in order or not.
static void say_more(pl_visit *v, uint32_t label) {
  pl_buf body = {0};
  const pl_msg_credit credit = {.items = pl_visit_pick(v, 100), .bytes = pl_visit_pick(v, 10000)};
  const pl_msg_cancel cancel = {.call_id = pl_visit_pick(v, 10), .code = PL_TIMEOUT};
  const pl_msg_path_lost lost = {.node = v->self.id};
  switch (pl_visit_pick(v, 4)) {
    case 0:
      pl_msg_cancel_encode(&body, &cancel);
      say_frame(v, PL_FRAME_CANCEL, 0, label, &body);
      break;
    case 1:
      pl_msg_path_lost_encode(&body, &lost);
      say_frame(v, PL_FRAME_PATH_LOST, 0, label, &body);
      break;
    default:
      pl_msg_credit_encode(&body, &credit);
      say_frame(v, PL_FRAME_CREDIT, 0, label, &body);
      break;
  }
  pl_buf_fini(&body);
}

void pl_visit_call(pl_visit *v) {
  uint32_t last = 2 * v->labels + 1;
  if (v->labels > 0 && pl_visit_pick(v, 3) == 0) {
    say_more(v, last - 2 * (uint32_t)pl_visit_pick(v, v->labels));
    return;
  }
  if (v->owner->calls + 1 >= PL_FOREIGN_MAX) return;
  v->owner->calls++;
  v->labels++;
  say_call(v, last + 2);
}
