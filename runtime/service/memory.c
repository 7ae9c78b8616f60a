#include "service/memory.h"

#include "base/limits.h"
#include "base/mem.h"
#include "service/call_impl.h"
#include "service/relay.h"
#include "service/request_impl.h"

enum {
  PACE_US = 100000,  // between two looks
  ENDED_MAX = 16,    // in one look
  WORTH = 1024,      // bytes: who holds less is not what is wrong
};

// Where each level begins.
static uint64_t begin_of(uint64_t limit, pl_memory_level level) {
  switch (level) {
    case PL_MEMORY_FINE: return 0;
    case PL_MEMORY_TIGHT: return limit / 2;
    case PL_MEMORY_FULL: return limit / 4 * 3;
    case PL_MEMORY_OVER: return limit / 10 * 9;
  }
  return 0;
}

pl_memory_level pl_memory_judge(uint64_t limit, uint64_t bytes, pl_memory_level before) {
  pl_memory_level level = PL_MEMORY_OVER;
  if (limit == 0) return PL_MEMORY_FINE;
  while (level > PL_MEMORY_FINE) {
    uint64_t from = begin_of(limit, level);
    if (level <= before) from -= limit / 8;
    if (bytes >= from) break;
    level--;
  }
  return level;
}

void pl_memory_init(pl_memory *m, uint64_t limit) {
  *m = (pl_memory){.limit = limit};
  m->alarm = limit == 0 ? UINT64_MAX : begin_of(limit, PL_MEMORY_TIGHT);
}

void pl_memory_fini(pl_service *sv) {
  pl_memory *m = &sv->memory;
  pl_timer_stop(&m->pace);
  pl_work_cancel(&m->look);
  sv->loop->metrics.held_bytes_now -= m->told;
}

// Who holds the most.

typedef struct holder {
  uint64_t bytes;
  pl_call *call;  // one of these
  pl_request *request;
  pl_relay *relay;
  pl_channel *channel;  // its link
} holder;

static void consider(holder *most, holder one) {
  if (one.bytes > most->bytes) *most = one;
}

static uint64_t held_by_call(const pl_call *c) {
  uint64_t intake = c->has_intake ? c->intake.counted : 0;
  return intake + (c->channel != NULL ? c->flow.queued : 0);
}

static void consider_channel(holder *most, pl_channel *ch) {
  for (pl_list *at = ch->call_list.next; at != &ch->call_list; at = at->next) {
    pl_call *c = pl_call_of(at);
    consider(most, (holder){.bytes = held_by_call(c), .call = c});
  }
  for (pl_list *at = ch->request_list.next; at != &ch->request_list; at = at->next) {
    pl_request *r = pl_request_of(at);
    consider(most, (holder){.bytes = pl_request_held(r), .request = r});
  }
}

static holder find_link(pl_service *sv) {
  holder most = {.bytes = WORTH};
  for (pl_list *at = sv->channels.next; at != &sv->channels; at = at->next) {
    pl_channel *ch = pl_container(at, pl_channel, node);
    if (ch->neighbour == NULL) continue;
    consider(&most, (holder){.bytes = pl_session_held(ch->session), .channel = ch});
  }
  return most;
}

static holder find_circuit(pl_service *sv) {
  holder most = {.bytes = WORTH};
  for (pl_list *at = sv->channels.next; at != &sv->channels; at = at->next)
    consider_channel(&most, pl_container(at, pl_channel, node));
  for (pl_list *at = sv->unread.next; at != &sv->unread; at = at->next) {
    pl_call *c = pl_call_of(at);
    consider(&most, (holder){.bytes = held_by_call(c), .call = c});
  }
  for (pl_list *at = sv->relays.next; at != &sv->relays; at = at->next) {
    pl_relay *r = pl_container(at, pl_relay, node);
    consider(&most, (holder){.bytes = r->ends[0].held + r->ends[1].held, .relay = r});
  }
  return most;
}

// A link that is busy holds more than most of its circuits, and all of them would end with it: it
// is cut only where links are what is wrong.
static holder find_most(pl_service *sv) {
  bool by_links = sv->memory.links > sv->memory.held;
  holder most = by_links ? find_link(sv) : find_circuit(sv);
  if (most.bytes > WORTH) return most;
  return by_links ? find_circuit(sv) : find_link(sv);
}

static void end_holder(pl_service *sv, const holder *h) {
  static const char text[] = PL_MEMORY_TEXT ", and this is what held the most";
  pl_failure why = pl_failure_of(PL_MEMORY_LIMIT, PL_UNKNOWN, text);
  why.node = sv->config.identity->id;
  sv->loop->metrics.memory_ended++;
  if (h->call != NULL) pl_call_sacrifice(h->call, &why);
  if (h->request != NULL) pl_request_sacrifice(h->request, &why);
  if (h->relay != NULL) pl_relay_sacrifice(h->relay);
  if (h->channel != NULL) {
    sv->loop->metrics.links_cut++;
    pl_session_abort(h->channel->session, PL_PEER_LOST, text);
  }
}

// Looking.

static void look(pl_service *sv);

static uint64_t ask_links(const pl_service *sv) {
  uint64_t sum = 0;
  for (const pl_list *at = sv->channels.next; at != &sv->channels; at = at->next)
    sum += pl_session_held(pl_container(at, const pl_channel, node)->session);
  return sum;
}

static uint64_t total(const pl_memory *m) {
  return m->held + m->links;
}

// Once for each time that it comes so far.
static void tell(const pl_service *sv, pl_memory_level before) {
  const pl_memory *m = &sv->memory;
  const char *what = NULL;
  if (m->level == PL_MEMORY_OVER && before < PL_MEMORY_OVER)
    what = PL_MEMORY_TEXT ": what holds the most is ended";
  if (m->level == PL_MEMORY_FULL && before < PL_MEMORY_FULL)
    what = PL_MEMORY_TEXT ": new work is refused";
  if (what == NULL) return;
  pl_log_warn(sv->loop->log, what, pl_f_int("held", (int64_t)total(m)),
              pl_f_int("limit", (int64_t)m->limit));
}

// Ends what holds the most until it is FULL only.
static void relieve(pl_service *sv) {
  pl_memory *m = &sv->memory;
  for (unsigned n = 0; n < ENDED_MAX && m->level == PL_MEMORY_OVER; n++) {
    holder most = find_most(sv);
    if (most.bytes <= WORTH) return;
    end_holder(sv, &most);
    m->links = ask_links(sv);
    m->level = pl_memory_judge(m->limit, total(m), m->level);
  }
}

static void on_pace(pl_timer *t) {
  pl_service *sv = pl_container(t, pl_service, memory.pace);
  look(sv);
}

static void on_alarm(pl_work *w) {
  look(pl_container(w, pl_service, memory.look));
}

static void look(pl_service *sv) {
  pl_memory *m = &sv->memory;
  pl_memory_level before = m->level;
  m->links = ask_links(sv);
  m->level = pl_memory_judge(m->limit, total(m), before);
  tell(sv, before);
  relieve(sv);
  sv->windows.tight = m->level >= PL_MEMORY_TIGHT;
  sv->loop->metrics.held_bytes_now += total(m) - m->told;
  m->told = total(m);
  uint64_t next = m->level < PL_MEMORY_OVER ? begin_of(m->limit, m->level + 1) : UINT64_MAX;
  m->alarm = next > m->links ? next - m->links : 0;
  if (m->level == PL_MEMORY_OVER) {
    pl_loop_defer(sv->loop, &m->look, on_alarm);
  } else if (m->heard || total(m) > 0) {
    pl_timer_start(&sv->loop->clock, &m->pace, PACE_US, on_pace);
  }
  m->heard = false;
}

void pl_memory_watch(pl_service *sv) {
  pl_memory *m = &sv->memory;
  if (m->limit == 0) return;
  if (m->held >= m->alarm) {
    pl_loop_defer(sv->loop, &m->look, on_alarm);
  } else {
    pl_timer_start(&sv->loop->clock, &m->pace, PACE_US, on_pace);
  }
}

void pl_service_memory(const pl_service *sv, uint64_t *circuits, uint64_t *links, uint64_t *limit) {
  *circuits = sv->memory.held;
  *links = ask_links(sv);
  *limit = sv->memory.limit;
}
