// A call that names no node: this one chooses who takes it.

#include <string.h>

#include "base/limits.h"
#include "service/action.h"
#include "service/choose.h"
#include "service/relay.h"

enum { CHOICES_MAX = 4 };  // until a provider is found to which there is a way with room

static const char bad_list[] = "the list of nodes that have refused the call is none, or too long";

static bool is_among(const pl_id *id, const pl_id *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (pl_id_equal(id, &list[i])) return true;
  }
  return false;
}

// Names that begin with `_` are of each node itself.
static bool is_meant_for_all(const pl_msg_call *m) {
  return m->hops_left > 0 && m->action.len > 0 && m->action.data[0] != '_';
}

bool pl_relay_may_choose(const pl_channel *ch, const pl_msg_call *m) {
  pl_service *sv = ch->service;
  if (m->destination.len > 0 || !is_meant_for_all(m)) return false;
  pl_id excluded[PL_EXCLUDE_MAX];
  ptrdiff_t n = pl_msg_exclude_read(excluded, m->exclude);
  if (n < 0) return true;
  return pl_action_find(sv, m->action) == NULL ||
         is_among(&sv->config.identity->id, excluded, (size_t)n);
}

// Whether the call can go there.
static bool has_way(pl_service *sv, const pl_offer *offer, const pl_msg_call *m, const pl_id *from,
                    pl_relay_way *way, pl_relay_refusal *why) {
  pl_provider *p = offer->provider;
  way->callee = p;
  way->to = p->hops < m->hops_left ? pl_service_path(sv, p->node, from) : NULL;
  if (way->to == NULL) {
    *why = (pl_relay_refusal){PL_NO_ROUTE, "no path on to a provider of the action"};
  } else if (!pl_relay_has_room(way->to)) {
    *why = (pl_relay_refusal){PL_BUSY, "too many calls in flight on a link of the path"};
  } else {
    return true;
  }
  return false;
}

bool pl_relay_choose(pl_channel *ch, const pl_msg_call *m, pl_bytes args, pl_relay_way *way,
                     pl_relay_refusal *why) {
  pl_service *sv = ch->service;
  pl_id refused[PL_EXCLUDE_MAX + 2 + CHOICES_MAX];
  ptrdiff_t excluded = pl_msg_exclude_read(refused, m->exclude);
  if (excluded < 0) {
    *why = (pl_relay_refusal){PL_INVALID, bad_list};
    return false;
  }
  pl_query q = {.action = m->action, .args = pl_parts_of(args), .refused = refused};
  q.refused_count = (size_t)excluded;
  const pl_id *from = pl_session_peer_id(ch->session);
  refused[q.refused_count++] = *from;  // it would have asked itself
  if (m->source.len > 0) memcpy(refused[q.refused_count++].bytes, m->source.data, m->source.len);

  for (unsigned choice = 0; choice < CHOICES_MAX; choice++) {
    pl_failure nobody;
    way->chosen = pl_choose(sv, &q, &nobody);
    if (way->chosen == NULL) {
      if (choice == 0) *why = (pl_relay_refusal){nobody.code, (const char *)nobody.message.data};
      return false;
    }
    if (has_way(sv, way->chosen, m, from, way, why)) return true;
    refused[q.refused_count++] = way->chosen->provider->id;
  }
  return false;
}
