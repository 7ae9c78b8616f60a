#include "service/passed.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "service/pipe.h"
#include "service/request_impl.h"
#include "service/system.h"
#include "wire/message.h"
#include "wire/msgpack.h"

enum {
  TOKEN_ROOM = 1 + 2 + sizeof(pl_id),  // the arguments: an array with the token
  LET_GO_US = 10 * 1000 * 1000,        // for the word that nobody wants a stream
};

static const char gone[] = "the stream was taken already, or nobody has kept it any longer";

// Keeping.

static pl_passed *find(pl_service *sv, const pl_id *token) {
  return pl_map_find_bytes(&sv->passed, token->bytes, sizeof token->bytes);
}

// It is kept no more; its stream is the caller's.
static void forget(pl_passed *p) {
  pl_service *sv = p->service;
  if (!p->foreign) {
    pl_map_remove_bytes(&sv->passed, p->reference.token.bytes, sizeof p->reference.token.bytes);
    sv->loop->metrics.streams_kept_now--;
    pl_timer_stop(&p->expiry);
  }
  pl_list_remove(&p->node);
  pl_list_remove(&p->carried);
  if (!p->foreign && p->call == NULL) pl_failure_drop(&p->refusal);
  pl_free(p);
}

static void close_one(pl_passed *p, const char *why) {
  pl_call *c = p->call;
  bool foreign = p->foreign;
  pl_service *sv = p->service;
  pl_reference r = p->reference;
  forget(p);
  if (foreign) pl_service_let_go(sv, &r);
  if (c != NULL) pl_call_abort(c, PL_CANCELLED, pl_bytes_of(why, strlen(why)));
}

static void on_expiry(pl_timer *t) {
  pl_passed *p = pl_container(t, pl_passed, expiry);
  p->service->loop->metrics.streams_unclaimed++;
  close_one(p, "nobody came for the stream that was passed on");
}

static pl_passed *add(pl_service *sv, const pl_reference *r, pl_list *carried) {
  pl_passed *p = pl_new(pl_passed);
  p->service = sv;
  p->reference = *r;
  pl_list_push(&sv->passed_list, &p->node);
  pl_list_push(carried, &p->carried);
  return p;
}

// A leaf is known to its neighbours only, and so is for a moment who has only just come.
static void find_via(const pl_service *sv, pl_id *out) {
  for (const pl_list *at = sv->neighbours.next; at != &sv->neighbours; at = at->next) {
    const pl_neighbour *n = pl_container(at, const pl_neighbour, node);
    if (n->channel == NULL || pl_peer_role(n->peer) == PL_ROLE_LEAF) continue;
    *out = *pl_peer_id(n->peer);
    return;
  }
}

bool pl_service_refer(pl_service *sv, int codec, uint64_t idle_us, pl_reference *out) {
  if (sv->passed.count >= PL_PASSED_MAX) return false;
  *out = (pl_reference){
      .node = sv->config.identity->id, .codec = (uint64_t)codec, .idle_ms = idle_us / 1000};
  pl_random_secret(out->token.bytes, sizeof out->token.bytes);
  find_via(sv, &out->via);
  return true;
}

static const pl_call_ops kept_ops = {0};  // whoever comes looks for himself

void pl_service_pass(pl_service *sv, const pl_reference *r, pl_call *c, const pl_failure *why,
                     pl_list *carried) {
  pl_passed *p = add(sv, r, carried);
  p->call = c;
  if (c == NULL) {
    p->refusal = pl_failure_keep(why);
  } else {
    pl_call_own(c);
    pl_call_hand_over(c, &kept_ops, NULL);
  }
  pl_map_put_bytes(&sv->passed, r->token.bytes, sizeof r->token.bytes, p);
  sv->loop->metrics.streams_passed++;
  sv->loop->metrics.streams_kept_now++;
  pl_timer_start(&sv->loop->clock, &p->expiry, PL_PASSED_US, on_expiry);
}

void pl_service_pass_on(pl_service *sv, const pl_reference *r, pl_list *carried) {
  add(sv, r, carried)->foreign = true;
  sv->loop->metrics.streams_passed++;
}

// Carrying.

static pl_passed *of_carried(pl_list *node) {
  return pl_container(node, pl_passed, carried);
}

static void carry(pl_list *to, pl_list *carried) {
  for (pl_list *n; (n = pl_list_pop(carried)) != NULL;)
    pl_list_push(to, n);
}

void pl_call_carry(pl_call *c, pl_list *carried) {
  carry(&c->carried, carried);
}

void pl_request_carry(pl_request *r, pl_list *carried) {
  carry(&r->carried, carried);
}

void pl_carried_settle(pl_list *carried, bool arrived) {
  for (pl_list *n; (n = pl_list_pop(carried)) != NULL;) {
    pl_passed *p = of_carried(n);
    if (!arrived) {
      close_one(p, "what carried the stream that was passed on has failed");
    } else if (p->foreign) {
      forget(p);
    }
  }
}

void pl_carried_drop(pl_list *carried) {
  pl_carried_settle(carried, false);
}

// Coming for it.

static pl_parts put_token(uint8_t room[TOKEN_ROOM], const pl_reference *r) {
  uint8_t *p = pl_mp_put_array(room, 1);
  p = pl_mp_put_bin(p, r->token.bytes, sizeof r->token.bytes);
  return pl_parts_of(pl_bytes_of(room, (size_t)(p - room)));
}

static bool get_token(pl_id *out, pl_bytes args) {
  pl_mp_reader r = {args.data, args.data + args.len};
  pl_mp_token t;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len != 1) return false;
  if (pl_mp_read(&r, &t) != PL_OK || t.kind != PL_MP_BIN || t.len != sizeof out->bytes)
    return false;
  memcpy(out->bytes, t.data, sizeof out->bytes);
  return r.at == r.end;
}

static pl_call_options take_options(const pl_call_options *o, const pl_reference *r) {
  pl_call_options all = *o;
  all.action = pl_bytes_of(PL_TAKE_ACTION, strlen(PL_TAKE_ACTION));
  all.node = &r->node;
  all.codec = 0;
  return all;
}

static bool is_here(const pl_service *sv, const pl_reference *r) {
  return pl_id_equal(&r->node, &sv->config.identity->id);
}

// Without a pipe, when both ends of that would be here.
static pl_call *reclaim(pl_service *sv, const pl_reference *r, const pl_call_ops *ops, void *user) {
  pl_passed *p = is_here(sv, r) ? find(sv, &r->token) : NULL;
  if (p == NULL || p->call == NULL) return NULL;
  pl_call *c = p->call;
  forget(p);
  pl_call_hand_over(c, ops, user);
  return c;
}

pl_err pl_service_take(pl_call **out, pl_service *sv, const pl_reference *r,
                       const pl_call_options *o, const pl_call_ops *ops, void *user,
                       pl_failure *why) {
  pl_call *here = reclaim(sv, r, ops, user);
  if (here != NULL) {
    *out = here;
    return PL_OK;
  }
  uint8_t room[TOKEN_ROOM];
  const pl_parts args = put_token(room, r);
  const pl_call_options all = take_options(o, r);
  const pl_id *via = pl_id_is_zero(&r->via) ? NULL : &r->via;
  return pl_call_open_at(out, sv, &all, &args, via, ops, user, why);
}

static void on_let_go(pl_call *c, void *user) {
  (void)user;
  pl_call_free(c, PL_OK);
}

void pl_service_let_go(pl_service *sv, const pl_reference *r) {
  static const pl_call_ops ops = {.on_end = on_let_go};
  const pl_call_options o = {.deadline_us = pl_now_us(sv->loop) + LET_GO_US};
  pl_passed *here = is_here(sv, r) ? find(sv, &r->token) : NULL;
  if (here != NULL) close_one(here, "nobody wants the stream that was passed on");
  if (is_here(sv, r)) return;
  pl_call *c;
  pl_failure why;
  pl_service_take(&c, sv, r, &o, &ops, NULL, &why);  // if it cannot be said, the time will tell
}

// Giving it.

static void refuse(pl_request *r, const char *message) {
  pl_failure f = pl_failure_of(PL_CLOSED, PL_NOT_EXECUTED, message);
  f.node = r->service->config.identity->id;
  pl_request_end(r, NULL, &f);
}

// A call that wants no chunks says that nobody wants the stream.
static void on_take(pl_request *r, void *user) {
  pl_id token;
  pl_passed *p = get_token(&token, pl_request_args(r)) ? find(user, &token) : NULL;
  if (p == NULL) {
    refuse(r, gone);
  } else if (!pl_request_is_stream(r)) {
    const pl_parts nothing = pl_parts_of(pl_bytes_of("\x90", 1));
    close_one(p, "nobody wants the stream that was passed on");
    pl_request_end(r, &nothing, NULL);
  } else if (p->call == NULL) {
    pl_request_end(r, NULL, &p->refusal);
    forget(p);
  } else {
    pl_call *c = p->call;
    forget(p);
    pl_pipe_open(r, c);
  }
}

void pl_passed_init(pl_service *sv) {
  pl_list_init(&sv->passed_list);
  static const pl_action_ops ops = {
      .on_start = on_take,
      .on_cancel = pl_pipe_on_cancel,
      .on_credit = pl_pipe_on_credit,
      .on_items = pl_pipe_on_items,
  };
  pl_service_add_system_action(sv, PL_TAKE_ACTION, &ops, sv);
  // Each call of it is bounded by the streams of its link, and by the one it comes for.
  pl_system_find(sv, pl_bytes_of(PL_TAKE_ACTION, strlen(PL_TAKE_ACTION)))->options.concurrency = 0;
}

void pl_passed_fini(pl_service *sv) {
  while (!pl_list_empty(&sv->passed_list)) {
    pl_passed *p = pl_container(sv->passed_list.next, pl_passed, node);
    pl_call *c = p->call;
    forget(p);
    if (c != NULL) pl_call_free(c, PL_CANCELLED);
  }
  pl_map_fini(&sv->passed);
}
