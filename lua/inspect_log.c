// `_perilune.log`: the newest lines of the node's log, and those that follow, as a stream. Lines
// are not kept for a reader: one that is too slow finds that some are gone, and is told how many.

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "lua/inspect.h"
#include "lua/pack.h"

typedef struct reader {
  pl_request *request;
  pl_node *node;
  pl_timer timer;
  uint64_t next;  // line
  pl_log_level least;
  bool follows;
} reader;

static void end(reader *f, const pl_failure *why) {
  const pl_parts nothing = pl_parts_of(pl_bytes_of("\x90", 1));
  pl_timer_stop(&f->timer);
  pl_request_end(f->request, why == NULL ? &nothing : NULL, why);
  pl_free(f);
}

static pl_err tell(const reader *f, pl_bytes lines, uint64_t lost) {
  pl_pack k = {0};
  pl_pack_array(&k, 2);
  pl_pack_bytes(&k, lines.data, lines.len);
  pl_pack_uint(&k, lost);
  const pl_parts item = pl_parts_of(pl_bytes_of(pl_buf_data(&k.out), pl_buf_len(&k.out)));
  pl_err err = k.failed ? PL_NO_MEMORY : pl_request_chunk(f->request, &item);
  pl_buf_fini(&k.out);
  return err;
}

static void on_look(pl_timer *t);

// As much as the reader takes now.
static void go_on(reader *f) {
  pl_loop *loop = pl_node_loop(f->node);
  pl_err err = PL_OK;
  bool more = true;
  while (more && err == PL_OK) {
    pl_buf lines = {0};
    uint64_t lost = pl_log_read(loop->log, &f->next, f->least, &lines, PL_FRAGMENT_MAX / 2);
    more = pl_buf_len(&lines) > 0 || lost > 0;
    if (more) err = tell(f, pl_bytes_of(pl_buf_data(&lines), pl_buf_len(&lines)), lost);
    pl_buf_fini(&lines);
  }
  if (err == PL_BUSY) return;  // on_credit follows
  if (err != PL_OK) {
    const pl_failure why = pl_failure_of(err, PL_EXECUTED, NULL);
    end(f, &why);
  } else if (!f->follows || pl_node_stopping(f->node)) {
    end(f, NULL);
  } else {
    pl_timer_start(&loop->clock, &f->timer, PL_LOG_LOOK_US, on_look);
  }
}

static void on_look(pl_timer *t) {
  go_on(pl_container(t, reader, timer));
}

static void on_credit(pl_request *r) {
  go_on(pl_request_user(r));
}

static void on_cancel(pl_request *r, const pl_failure *why) {
  end(pl_request_user(r), why);
}

typedef struct question {
  pl_log_level least;
  uint64_t count;
  bool follows;
} question;

static bool read_level(pl_log_level *out, const pl_mp_token *t) {
  char name[8] = "";
  if (t->kind == PL_MP_NIL) return true;
  if (t->kind != PL_MP_STR || t->len >= sizeof name) return false;
  memcpy(name, t->data, t->len);
  return pl_log_level_parse(out, name) && *out != PL_LOG_OFF;
}

// The arguments: a level, a number of lines, and whether more are to follow; each may be nil, or
// missing.
static bool read_question(question *out, pl_bytes args) {
  pl_mp_reader in = {args.data, args.data + args.len};
  pl_mp_token t;
  if (pl_mp_read(&in, &t) != PL_OK || t.kind != PL_MP_ARRAY || t.len > 3) return false;
  uint32_t count = t.len;
  if (count > 0 && (pl_mp_read(&in, &t) != PL_OK || !read_level(&out->least, &t))) return false;
  if (count > 1) {
    if (pl_mp_read(&in, &t) != PL_OK) return false;
    bool number = t.kind == PL_MP_INT && t.v.integer >= 0;
    if (!number && t.kind != PL_MP_NIL) return false;
    if (number) out->count = (uint64_t)t.v.integer;
  }
  if (count > 2) {
    if (pl_mp_read(&in, &t) != PL_OK || (t.kind != PL_MP_BOOL && t.kind != PL_MP_NIL)) return false;
    out->follows = t.kind == PL_MP_BOOL && t.v.boolean;
  }
  return true;
}

static void on_log(pl_request *r, void *user) {
  pl_node *n = pl_host_node(user);
  pl_log *log = pl_node_loop(n)->log;
  question q = {.least = PL_LOG_DEBUG, .count = PL_LOG_KEPT_LINES};
  if (!read_question(&q, pl_request_args(r))) {
    const pl_failure f = pl_failure_of(
        PL_INVALID, PL_EXECUTED, "a level, a number of lines, and whether to follow are expected");
    pl_request_end(r, NULL, &f);
    return;
  }
  reader *f = pl_new(reader);
  size_t count = q.count < PL_LOG_KEPT_LINES ? (size_t)q.count : PL_LOG_KEPT_LINES;
  *f = (reader){.request = r, .node = n, .least = q.least, .follows = q.follows};
  f->next = pl_log_tail(log, q.least, count);
  pl_request_set_user(r, f);
  go_on(f);
}

void pl_inspect_open_log(pl_host *h) {
  static const pl_action_ops log = {
      .on_start = on_log, .on_cancel = on_cancel, .on_credit = on_credit};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "log", &log, h);
}
