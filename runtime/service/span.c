#include "service/span.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "service/relay.h"
#include "service/request_impl.h"
#include "service/system.h"

// Monitors.

void pl_service_monitor(pl_service *sv, pl_monitor *m) {
  pl_list_push(&sv->monitors, &m->node);
  sv->taps |= PL_TAP_MONITOR;
}

void pl_service_unmonitor(pl_service *sv, pl_monitor *m) {
  pl_list_remove(&m->node);
  if (pl_list_empty(&sv->monitors)) sv->taps &= (uint8_t)~PL_TAP_MONITOR;
}

void pl_service_tell(pl_service *sv, pl_notice *e) {
  e->at_us = pl_now_precise_us(sv->loop);
  for (pl_list *at = sv->monitors.next; at != &sv->monitors; at = at->next) {
    pl_monitor *m = pl_container(at, pl_monitor, node);
    m->on_notice(e, m->user);
  }
}

void pl_span_link(pl_service *sv, pl_notice_kind kind, const pl_provider *neighbour,
                  const char *code) {
  if ((sv->taps & PL_TAP_MONITOR) == 0) return;
  pl_notice e = {.kind = kind, .node = neighbour->id, .name = neighbour->name, .code = code};
  pl_service_tell(sv, &e);
}

static void tell(pl_service *sv, pl_notice_kind kind, const pl_span *s, uint64_t count) {
  if (!s->watched) return;
  pl_notice e = {.kind = kind, .span = s, .count = count};
  pl_service_tell(sv, &e);
}

// Memory.

static void draw_gap(pl_service *sv) {
  pl_tracer *t = &sv->tracer;
  t->left = 1 + pl_random_u64(&sv->loop->random) % (2 * t->one_in - 1);
}

void pl_spans_init(pl_service *sv, uint64_t one_in) {
  pl_list_init(&sv->monitors);
  pl_list_init(&sv->tracer.live);
  pl_list_init(&sv->tracer.ended);
  sv->tracer.one_in = one_in;
  if (one_in == 0) return;
  sv->taps = PL_TAP_SAMPLE;
  draw_gap(sv);
}

static void free_all(pl_list *spans) {
  for (pl_list *n; (n = pl_list_pop(spans)) != NULL;)
    pl_free(pl_container(n, pl_span, node));
}

void pl_spans_fini(pl_service *sv) {
  free_all(&sv->tracer.live);
  free_all(&sv->tracer.ended);
}

// A new one in the trace of `outer`, or without; NULL: nobody wants to know.
static pl_span *span_new(pl_service *sv, pl_side side, pl_bytes action, const pl_trace *outer) {
  pl_tracer *t = &sv->tracer;
  uint8_t flags = outer != NULL ? outer->flags : 0;
  bool watched = (sv->taps & PL_TAP_MONITOR) != 0 && (flags & PL_TRACE_QUIET) == 0;
  bool sampled = (flags & PL_TRACE_SAMPLED) != 0;
  if (pl_system_is_known(sv, action)) return NULL;  // of its tools
  if (sampled && t->live_count >= PL_TRACED_LIVE) {
    sv->loop->metrics.traces_refused++;
    sampled = false;
  }
  if (!watched && !sampled) return NULL;
  pl_span *s = pl_alloc(sizeof *s + action.len);
  memset(s, 0, sizeof *s);
  s->side = side;
  s->watched = watched;
  s->sampled = sampled;
  s->opened_us = pl_now_precise_us(sv->loop);
  s->action_len = (uint8_t)action.len;
  memcpy(s->action, action.data, action.len);
  if (outer != NULL) memcpy(s->parent, outer->span, sizeof s->parent);
  pl_list_init(&s->node);
  if (!sampled) return s;
  pl_list_push(&t->live, &s->node);
  t->live_count++;
  return s;
}

static void remember(pl_tracer *t, pl_span *s) {
  pl_list_remove(&s->node);
  t->live_count--;
  pl_list_push(&t->ended, &s->node);
  if (++t->ended_count <= PL_TRACED_KEPT) return;
  t->ended_count--;
  pl_free(pl_container(pl_list_pop(&t->ended), pl_span, node));
}

static void each(const pl_list *spans, void (*fn)(const pl_span *s, void *user), void *user) {
  for (const pl_list *at = spans->next; at != spans; at = at->next)
    fn(pl_container(at, const pl_span, node), user);
}

void pl_spans_each(const pl_service *sv, void (*fn)(const pl_span *s, void *user), void *user) {
  each(&sv->tracer.ended, fn, user);
  each(&sv->tracer.live, fn, user);
}

// Calls.

void pl_span_sample(pl_service *sv, pl_order *o) {
  if ((sv->taps & PL_TAP_SAMPLE) == 0 || o->traced || --sv->tracer.left > 0) return;
  draw_gap(sv);
  uint64_t id[2] = {pl_random_u64(&sv->loop->random), pl_random_u64(&sv->loop->random)};
  o->outer = (pl_trace){.flags = PL_TRACE_SAMPLED};
  memcpy(o->outer.id.bytes, id, sizeof id);
  o->traced = true;
}

void pl_span_way(pl_call *c) {
  c->span->peer = *pl_session_peer_id(c->channel->session);
}

void pl_span_call(pl_call *c, const pl_order *o) {
  pl_service *sv = c->service;
  const pl_trace *outer = o->traced ? &o->outer : NULL;
  c->traced = o->traced;
  if (c->traced) c->trace_id = o->outer.id;
  if (!pl_span_is_wanted(sv, outer)) return;
  pl_span *s = span_new(sv, PL_SIDE_OUTGOING, o->action, outer);
  if (s == NULL) return;
  if (c->channel == sv->local.channel) s->watched = false;  // its request tells of it
  s->stream = pl_call_flows(c);
  s->caller = sv->config.identity->id;
  pl_trace_of(&s->trace, &s->caller, c->call_id, outer);
  c->span = s;
  pl_span_way(c);
  tell(sv, PL_NOTICE_CALL, s, 0);
}

void pl_span_attempt(pl_call *c) {
  pl_span *s = c->span;
  pl_trace again;
  pl_trace_of(&again, &s->caller, c->call_id, &s->trace);
  s->trace = again;
  pl_span_way(c);
  tell(c->service, PL_NOTICE_CALL, s, 0);
}

void pl_span_refused(pl_service *sv, const pl_order *o, const pl_failure *why) {
  const pl_trace *outer = o->traced ? &o->outer : NULL;
  if (o->action.len > PL_NAME_MAX || !pl_span_is_wanted(sv, outer)) return;
  pl_span *s = span_new(sv, PL_SIDE_OUTGOING, o->action, outer);
  if (s == NULL) return;
  s->caller = sv->config.identity->id;
  pl_trace_of(&s->trace, &s->caller, ++sv->next_call_id, outer);
  tell(sv, PL_NOTICE_CALL, s, 0);
  pl_span_end(sv, &s, why);
}

void pl_span_request(pl_request *r, const pl_msg_call *m) {
  pl_service *sv = r->service;
  bool local = r->channel == sv->serving;
  pl_trace outer = r->trace;
  pl_span *s = span_new(sv, local ? PL_SIDE_LOCAL : PL_SIDE_INCOMING, m->action,
                        r->has_outer ? &outer : NULL);
  if (s == NULL) return;
  s->stream = pl_request_flows(r);
  s->caller = r->caller;
  s->trace = *pl_request_trace(r);
  s->peer = *pl_session_peer_id(r->channel->session);
  r->span = s;
  tell(sv, PL_NOTICE_CALL, s, 0);
}

void pl_span_relay(pl_relay *r, const pl_msg_call *m) {
  pl_service *sv = r->service;
  pl_trace outer;
  bool has_outer = m->trace.len > 0;
  if (has_outer) memcpy(&outer, m->trace.data, sizeof outer);
  if (!pl_span_is_wanted(sv, has_outer ? &outer : NULL)) return;
  pl_span *s = span_new(sv, PL_SIDE_FORWARDED, m->action, has_outer ? &outer : NULL);
  if (s == NULL) return;
  s->stream = r->flows;
  memcpy(s->caller.bytes, m->source.data, sizeof s->caller.bytes);
  if (!has_outer && m->first_call_id != 0) {
    pl_trace_of(&outer, &s->caller, m->first_call_id, NULL);
    has_outer = true;
  }
  pl_trace_of(&s->trace, &s->caller, m->call_id, has_outer ? &outer : NULL);
  s->peer = *pl_session_peer_id(r->ends[PL_RELAY_OPENER].channel->session);
  s->next = *pl_session_peer_id(r->ends[PL_RELAY_CALLEE].channel->session);
  r->span = s;
  tell(sv, PL_NOTICE_CALL, s, 0);
}

// What happens to it.

void pl_span_queued(pl_service *sv, const pl_span *s) {
  tell(sv, PL_NOTICE_QUEUED, s, 0);
}

void pl_span_started(const pl_service *sv, pl_span *s) {
  if (s->started_us == 0) s->started_us = pl_now_precise_us(sv->loop);
}

void pl_span_chunks(pl_service *sv, pl_span *s, uint64_t count) {
  s->chunks += count;
  if (count > 0) tell(sv, PL_NOTICE_CHUNK, s, count);
}

void pl_span_failed(pl_span *s, const pl_failure *f) {
  if (s->code[0] != '\0') return;
  if (f->name.len > 0) {
    snprintf(s->code, sizeof s->code, "%.*s", (int)f->name.len, (const char *)f->name.data);
  } else {
    snprintf(s->code, sizeof s->code, "%s", pl_err_name(f->code));
  }
}

void pl_span_end(pl_service *sv, pl_span **at, const pl_failure *f) {
  pl_span *s = *at;
  *at = NULL;
  if (f != NULL) pl_span_failed(s, f);
  s->ended_us = pl_now_precise_us(sv->loop);
  tell(sv, PL_NOTICE_END, s, 0);
  if (s->sampled) {
    remember(&sv->tracer, s);
  } else {
    pl_free(s);
  }
}

bool pl_request_is_metered(const pl_request *r) {
  return r->span != NULL;
}

void pl_request_spent(pl_request *r, uint64_t cpu_us) {
  if (r->span != NULL) r->span->cpu_us = cpu_us;
}
