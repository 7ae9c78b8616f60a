// `_perilune.trace`: what the node remembers of a trace.

#include <string.h>

#include "base/limits.h"
#include "lua/inspect.h"
#include "lua/span_pack.h"

typedef struct search {
  pl_id trace;  // that is looked for,
  bool known;   // unless it has to be found first, as that of
  uint8_t call[8];
  size_t count;  // of its calls here
  size_t told;
  uint64_t now_us;
  pl_pack *to;
} search;

static void find(const pl_span *s, void *user) {
  search *of = user;
  if (of->known || memcmp(s->trace.span, of->call, sizeof of->call) != 0) return;
  of->trace = s->trace.id;
  of->known = true;
}

static bool is_of(const search *of, const pl_span *s) {
  return of->known && pl_id_equal(&s->trace.id, &of->trace);
}

static void count(const pl_span *s, void *user) {
  search *of = user;
  if (is_of(of, s)) of->count++;
}

static void tell(const pl_span *s, void *user) {
  search *of = user;
  if (!is_of(of, s) || of->told == PL_TRACED_TOLD) return;
  of->told++;
  static const uint8_t none[8];
  bool nested = memcmp(s->parent, none, sizeof none) != 0;
  bool ended = s->ended_us > 0;
  size_t fields = pl_span_fields(s, ended) + 1;
  pl_pack_map(of->to, nested ? fields + 1 : fields);
  pl_span_pack(of->to, s, ended);
  pl_pack_text(of->to, "ago");
  pl_pack_seconds(of->to, of->now_us - s->opened_us);
  if (!nested) return;
  char parent[PL_SPAN_HEX];
  pl_span_format(s->parent, parent);
  pl_pack_text(of->to, "parent");
  pl_pack_text(of->to, parent);
}

// The only argument: the id of a trace, or of a call in it.
static bool read_id(search *of, pl_bytes args) {
  pl_mp_reader in = {args.data, args.data + args.len};
  pl_mp_token list, one;
  bool is = pl_mp_read(&in, &list) == PL_OK && list.kind == PL_MP_ARRAY && list.len == 1 &&
            pl_mp_read(&in, &one) == PL_OK && one.kind == PL_MP_STR;
  if (!is) return false;
  const char *text = (const char *)one.data;
  of->known = pl_id_parse(&of->trace, text, one.len);
  return of->known || pl_span_parse(of->call, text, one.len);
}

static void on_trace(pl_request *r, void *user) {
  pl_node *n = pl_host_node(user);
  pl_pack k = {0};
  search of = {.to = &k, .now_us = pl_now_precise_us(pl_node_loop(n))};
  if (!read_id(&of, pl_request_args(r))) {
    const pl_failure f = pl_failure_of(PL_INVALID, PL_EXECUTED,
                                       "the id of a trace, 32 hexadecimal digits, or of a call, "
                                       "16, is expected");
    pl_request_end(r, NULL, &f);
    return;
  }
  if (!of.known) pl_node_each_span(n, find, &of);
  pl_node_each_span(n, count, &of);
  pl_pack_array(&k, 1);
  pl_pack_map(&k, 2);
  pl_pack_text(&k, "count");
  pl_pack_uint(&k, of.count);
  pl_pack_text(&k, "calls");
  pl_pack_array(&k, of.count < PL_TRACED_TOLD ? of.count : PL_TRACED_TOLD);
  pl_node_each_span(n, tell, &of);
  pl_pack_end(&k, r);
}

void pl_inspect_open_trace(pl_host *h) {
  static const pl_action_ops trace = {.on_start = on_trace};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "trace", &trace, h);
}
