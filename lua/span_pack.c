#include "lua/span_pack.h"

enum { CALL_FIELDS = 7, END_FIELDS = 4 };

const char *pl_side_name(pl_side side) {
  static const char *const names[] = {
      [PL_SIDE_OUTGOING] = "outgoing",
      [PL_SIDE_INCOMING] = "incoming",
      [PL_SIDE_LOCAL] = "local",
      [PL_SIDE_FORWARDED] = "forwarded",
  };
  return names[side];
}

size_t pl_span_fields(const pl_span *s, bool whole) {
  size_t n = CALL_FIELDS;
  if (s->side == PL_SIDE_FORWARDED) n++;
  if (whole) n += END_FIELDS;
  if (whole && s->code[0] != '\0') n++;
  return n;
}

static void pack_end(pl_pack *k, const pl_span *s) {
  bool waited_only = s->started_us == 0 && s->side != PL_SIDE_FORWARDED;
  uint64_t until_us = waited_only ? s->ended_us : s->started_us;
  bool waits = s->side == PL_SIDE_INCOMING || s->side == PL_SIDE_LOCAL || s->started_us > 0;
  pl_pack_text(k, "duration");
  pl_pack_seconds(k, s->ended_us - s->opened_us);
  pl_pack_text(k, "queued");
  pl_pack_seconds(k, waits ? until_us - s->opened_us : 0);
  pl_pack_text(k, "cpu");
  pl_pack_seconds(k, s->cpu_us);
  pl_pack_text(k, "chunks");
  pl_pack_uint(k, s->chunks);
  if (s->code[0] == '\0') return;
  pl_pack_text(k, "code");
  pl_pack_text(k, s->code);
}

void pl_span_pack(pl_pack *k, const pl_span *s, bool whole) {
  char call[PL_SPAN_HEX];
  pl_span_format(s->trace.span, call);
  pl_pack_text(k, "side");
  pl_pack_text(k, pl_side_name(s->side));
  pl_pack_text(k, "action");
  pl_pack_bytes(k, s->action, s->action_len);
  pl_pack_text(k, "call");
  pl_pack_text(k, call);
  pl_pack_text(k, "trace_id");
  pl_pack_id(k, &s->trace.id);
  pl_pack_text(k, "caller");
  pl_pack_id(k, &s->caller);
  pl_pack_text(k, "peer");
  pl_pack_id(k, &s->peer);
  pl_pack_text(k, "stream");
  PL_PACK(k, 0, pl_mp_put_bool(p, s->stream));
  if (s->side == PL_SIDE_FORWARDED) {
    pl_pack_text(k, "next");
    pl_pack_id(k, &s->next);
  }
  if (whole) pack_end(k, s);
}
