// One who wishes the mesh ill: a machine of its own, from which it connects to one node after the
// other. Where the mesh has a key, it mostly stands outside, has none or a wrong one, and listens
// in; nobody may let it in. Where it is inside, it may say what it likes: only the node it says
// that to may take notice of the breach, and nothing of it may last.

#include "sim/intruder_impl.h"

#include <string.h>

#include "base/mem.h"

enum {
  MS_US = 1000,
  VISITS_MAX = 4,  // at once
  ACTS_MAX = 40,   // of a visit
  INSIDE = 3,      // one of so many, where there is a key
};

const char *const pl_intruder_manners[] = {
    [PL_MANNER_KNOCK] = "a key that is none of ours",
    [PL_MANNER_NOISE] = "noise",
    [PL_MANNER_REPLAY] = "words of another",
    [PL_MANNER_MIRROR] = "its own words",
    [PL_MANNER_CROSS] = "words of who is visited as well",
    [PL_MANNER_LIES] = "lies",
    [PL_MANNER_CALLS] = "calls with wrong heads",
    [PL_MANNER_FRAMES] = "frames at random",
};

static bool shakes_hands(pl_manner m) {
  return m == PL_MANNER_KNOCK || m >= PL_MANNER_LIES;
}

void pl_visit_say(pl_visit *v, const void *data, size_t len) {
  if (v->link != NULL) pl_link_append(v->link, pl_bytes_of(data, len));
}

static void let_in(const pl_visit *v) {
  if (v->owner->inside) return;
  pl_sim_violated(v->owner->sim, "n%u lets in who has no key of the mesh: %s", v->host->number,
                  pl_intruder_manners[v->manner]);
}

// Listening.

static void say_all(pl_visit *v, pl_buf *out) {
  pl_visit_say(v, pl_buf_data(out), pl_buf_len(out));
  pl_buf_fini(out);
}

// The handshake; returns how many bytes it took.
static size_t shake(pl_visit *v, pl_bytes bytes) {
  size_t used = 0;
  bool more = true;
  while (more && !v->up && v->hello.state != PL_HELLO_FAILED) {
    pl_buf out = {0};
    pl_hello_event e =
        pl_hello_feed(&v->hello, pl_bytes_of(bytes.data + used, bytes.len - used), &out);
    used += e.used;
    if (e.step == PL_HELLO_STEP_ASK) {
      let_in(v);
      pl_hello_accept(&v->hello, &v->up, &out);
    }
    if (e.step == PL_HELLO_STEP_UP) v->up = true;
    more = e.step == PL_HELLO_STEP_NEXT || e.step == PL_HELLO_STEP_ASK;
    say_all(v, &out);
  }
  return v->hello.state == PL_HELLO_FAILED ? bytes.len : used;
}

static void hear_frame(pl_visit *v, const pl_frame *f) {
  // Whoever was dialled proves nothing, and says nothing more, to who has not proved that he may.
  if (f->type != PL_FRAME_HELLO && f->type != PL_FRAME_GOODBYE) let_in(v);
  if (f->type != PL_FRAME_PING) return;
  uint8_t head[PL_FRAME_HEADER];
  pl_frame_put_header(head, PL_FRAME_PONG, 0, 0, 0, f->body.len);
  pl_visit_say(v, head, sizeof head);
  pl_visit_say(v, f->body.data, f->body.len);
}

static size_t hear(pl_visit *v, pl_bytes bytes) {
  size_t used = 0;
  if (!v->greeted) {
    if (bytes.len < PL_PREAMBLE) return 0;
    v->greeted = true;
    used = PL_PREAMBLE;
  }
  pl_frame f;
  for (ptrdiff_t n; used < bytes.len; used += (size_t)n) {
    n = pl_frame_decode(&f, pl_bytes_of(bytes.data + used, bytes.len - used), PL_FRAGMENT_MAX);
    if (n <= 0) break;
    hear_frame(v, &f);
    if (v->manner == PL_MANNER_MIRROR) pl_visit_say(v, bytes.data + used, (size_t)n);
    if (v->manner == PL_MANNER_CROSS && v->twin != NULL)
      pl_visit_say(v->twin, bytes.data + used, (size_t)n);
  }
  return used;
}

static size_t on_bytes(pl_link *l, pl_bytes bytes, void *user) {
  (void)l;
  pl_visit *v = user;
  size_t used = 0;
  if (shakes_hands(v->manner) && !v->up) used = v->greeted ? 0 : shake(v, bytes);
  if (shakes_hands(v->manner) && !v->up) return used;
  v->greeted = v->greeted || v->up;
  return used + hear(v, pl_bytes_of(bytes.data + used, bytes.len - used));
}

// Visits.

static void leave(pl_visit *v) {
  if (pl_visit_pick(v, 2) == 0)
    pl_link_close(v->link);
  else
    pl_link_abort(v->link, PL_CLOSED, "");
}

static void act(pl_visit *v) {
  switch (v->manner) {
    case PL_MANNER_NOISE: pl_visit_noise(v); break;
    case PL_MANNER_REPLAY: pl_visit_replay(v); break;
    case PL_MANNER_LIES:
      if (v->up) pl_visit_lie(v);
      break;
    case PL_MANNER_CALLS:
      if (v->up) pl_visit_call(v);
      break;
    case PL_MANNER_FRAMES:
      if (v->up) pl_visit_frame(v);
      break;
    default: break;
  }
}

static void on_act(pl_timer *t) {
  pl_visit *v = pl_container(t, pl_visit, act);
  if (v->acts-- == 0) {
    leave(v);
    return;
  }
  act(v);
  pl_timer_start(&v->owner->site->loop->clock, t, pl_visit_pick(v, 80 * MS_US), on_act);
}

static void on_open(pl_link *l, void *user) {
  (void)l;
  pl_visit *v = user;
  if (shakes_hands(v->manner)) {
    pl_buf out = {0};
    pl_id nonce;
    pl_id_random(&nonce);
    pl_hello_start(&v->hello, &v->self, true, &nonce, NULL, 0, &out);
    say_all(v, &out);
  } else if (v->manner != PL_MANNER_REPLAY) {
    uint8_t preamble[PL_PREAMBLE];
    pl_preamble_put(preamble);
    pl_visit_say(v, preamble, sizeof preamble);
  }
  pl_timer_start(&v->owner->site->loop->clock, &v->act, 0, on_act);
}

static void on_drained(pl_link *l, void *user) {
  (void)l, (void)user;
}

static void on_close(pl_link *l, pl_err why, const char *detail, void *user) {
  (void)l, (void)why, (void)detail;
  pl_visit *v = user;
  v->link = NULL;
  if (v->twin != NULL) {
    v->twin->twin = NULL;
    if (v->twin->link != NULL) pl_link_abort(v->twin->link, PL_CLOSED, "");
  }
  if (v->hello.state != PL_HELLO_READY) pl_hello_fail(&v->hello);
  pl_timer_stop(&v->act);
  pl_list_remove(&v->node);
  v->owner->visiting--;
  pl_free(v);
}

static const pl_link_ops link_ops = {
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_drained = on_drained,
    .on_close = on_close,
};

// Who knocks has no key or a wrong one, and may say that he is another.
static void choose_identity(pl_visit *v) {
  const pl_intruder *in = v->owner;
  char text[PL_SIM_KEYS_TEXT] = "a key that nobody else has";
  const char *why;
  v->self = in->self;
  v->self.role = pl_visit_pick(v, 3) == 0 ? PL_ROLE_LEAF : PL_ROLE_NODE;
  if (in->inside) pl_rotation_text(v->host, text);
  bool keyed = in->inside ? in->sim->keyed : pl_visit_pick(v, 2) == 0;
  if (keyed) pl_psk_parse(&v->self.auth.psk, pl_bytes_of(text, strlen(text)), &why);
  const pl_sim_node *other = &in->sim->nodes[pl_visit_pick(v, in->sim->count)];
  if (in->inside || other->node == NULL || pl_visit_pick(v, 2) == 0) return;
  v->self.id = *pl_node_id(other->node);
  v->self.epoch = pl_node_started_wall_us(other->node) + pl_visit_pick(v, 2);
}

static pl_visit *visit(pl_intruder *in, pl_sim_node *host, pl_manner manner) {
  char text[32];
  pl_url url;
  const char *why;
  snprintf(text, sizeof text, "mem://%s", host->name);
  if (pl_url_parse(&url, text, &why) != PL_OK) return NULL;
  pl_visit *v = pl_new(pl_visit);
  v->owner = in;
  v->host = host;
  v->manner = manner;
  v->acts = (unsigned)pl_visit_pick(v, ACTS_MAX);
  choose_identity(v);
  pl_list_push(&in->visits, &v->node);
  in->visiting++;
  host->visited = true;
  pl_sim_note(in->sim, PL_SIM_VISIT, host->number, 0, manner, 0);
  in->sim->report->counts.visits++;
  if (pl_link_dial(&v->link, in->site->loop, &url, &link_ops, v) == PL_OK) return v;
  on_close(NULL, PL_OK, "", v);
  return NULL;
}

static pl_sim_node *any_host(pl_intruder *in) {
  pl_sim *s = in->sim;
  return &s->nodes[pl_random_below(&in->random, s->count - s->leaves)];
}

static void on_next(pl_timer *t) {
  pl_intruder *in = pl_container(t, pl_intruder, next);
  pl_manner first = in->inside ? PL_MANNER_LIES : PL_MANNER_KNOCK;
  pl_manner end = in->inside ? PL_MANNERS : PL_MANNER_LIES;
  pl_manner manner = first + (pl_manner)pl_random_below(&in->random, (uint64_t)(end - first));
  pl_sim_node *host = any_host(in), *other = any_host(in);
  // With two links, calls of others might go through it, and it would answer them as it likes.
  unsigned most = in->inside ? 1 : VISITS_MAX;
  if (in->visiting < most) {
    pl_visit *v = visit(in, host, manner);
    pl_visit *twin = v != NULL && manner == PL_MANNER_CROSS ? visit(in, other, manner) : NULL;
    if (twin != NULL) {
      v->twin = twin;
      twin->twin = v;
    }
  }
  uint64_t pause_us = pl_random_below(&in->random, 400 * MS_US);
  pl_timer_start(&in->site->loop->clock, t, pause_us, on_next);
}

// Listening in: the first bytes of each connection that begins.
static void on_heard(pl_tap *tap, uint64_t conn, const pl_site *to, const uint8_t *data,
                     size_t len) {
  pl_intruder *in = pl_container(tap, pl_intruder, tap);
  if (to == NULL || len == 0) return;
  pl_heard *h = NULL;
  for (unsigned i = 0; i < PL_HEARD; i++) {
    if (in->heard[i].to != NULL && in->heard[i].conn == conn) h = &in->heard[i];
  }
  if (h == NULL) {
    if (data[0] != 'P') return;  // its beginning was not heard
    h = &in->heard[in->heard_count++ % PL_HEARD];
    h->conn = conn;
    h->to = to;
    pl_buf_clear(&h->said);
  }
  size_t room = PL_HEARD_MAX - pl_buf_len(&h->said);
  pl_kernel *own = pl_kernel_enter(NULL);
  pl_buf_append(&h->said, data, len < room ? len : room);
  pl_kernel_enter(own);
}

void pl_intruder_ran(pl_sim *s, uint64_t key, unsigned node) {
  pl_intruder *in = s->intruder;
  s->report->counts.foreign++;
  if (in == NULL || !in->inside) {
    pl_sim_violated(s, "n%u runs a call of who has no key of the mesh", node);
    return;
  }
  uint64_t number = key - PL_SIM_FOREIGN;  // 0: not even that was to be read
  if (number > 0 && number < PL_FOREIGN_MAX && ++in->runs[number] > 1)
    pl_sim_violated(s, "n%u runs call %u of the intruder once more", node, (unsigned)number);
}

void pl_intruder_begin(pl_sim *s) {
  pl_intruder *in = pl_new(pl_intruder);
  s->intruder = in;
  in->sim = s;
  pl_random_seed(&in->random, s->config->seed ^ 0x696e747275646572);
  in->inside = !s->keyed || pl_random_below(&in->random, INSIDE) == 0;
  in->self.role = PL_ROLE_NODE;
  for (size_t i = 0; i < sizeof in->self.id.bytes; i++)
    in->self.id.bytes[i] = (uint8_t)(1 + pl_random_below(&in->random, 255));
  snprintf(in->self.name, sizeof in->self.name, "intruder");
  pl_list_init(&in->visits);
  in->site = pl_site_new(&s->net, "intruder");
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_OFF);
  pl_site_boot(in->site, log);
  pl_kernel *before = pl_site_enter(in->site);
  in->self.epoch = pl_wall_us();
  pl_timer_start(&in->site->loop->clock, &in->next, 0, on_next);
  pl_site_leave(in->site, before);
  in->tap.heard = on_heard;
  if (!in->inside) s->net.tap = &in->tap;
}

void pl_intruder_end(pl_sim *s) {
  pl_intruder *in = s->intruder;
  if (in == NULL) return;
  s->net.tap = NULL;
  pl_kernel *before = pl_site_enter(in->site);
  pl_timer_stop(&in->next);
  for (pl_list *at = in->visits.next; at != &in->visits; at = at->next)
    pl_link_abort(pl_container(at, pl_visit, node)->link, PL_CLOSED, "");
  pl_site_leave(in->site, before);
}

void pl_intruder_free(pl_sim *s) {
  pl_intruder *in = s->intruder;
  if (in == NULL) return;
  pl_site_close(in->site);
  for (unsigned i = 0; i < PL_HEARD; i++)
    pl_buf_fini(&in->heard[i].said);
  pl_free(in);
  s->intruder = NULL;
}
