// What came of a reload, for people and for tools.

#include <string.h>

#include "base/mem.h"
#include "lua/reload.h"
#include "wire/msgpack.h"

void pl_reload_report_drop(pl_reload_report *r) {
  if (--r->refs > 0) return;
  pl_free(r->script);
  pl_failure_drop(&r->failure);
  pl_difference_free(&r->difference);
  pl_free(r);
}

static void put(pl_buf *out, const char *text) {
  pl_buf_append(out, text, strlen(text));
}

static void put_bytes(pl_buf *out, pl_bytes b) {
  pl_buf_append(out, b.data, b.len);
}

static void put_names(pl_buf *out, const char *sign, const pl_texts *names) {
  for (size_t i = 0; i < names->count; i++) {
    if (pl_buf_len(out) > 0) put(out, " ");
    put(out, sign);
    put(out, names->items[i]);
  }
}

void pl_reload_report_put(const pl_reload_report *r, pl_buf *out) {
  put_names(out, "+", &r->difference.added);
  put_names(out, "-", &r->difference.removed);
  put_names(out, "~", &r->difference.replaced);
}

void pl_reload_failure_put(const pl_reload_report *r, pl_buf *out) {
  const pl_failure *f = &r->failure;
  // What a script raised says where; the code of a plain error adds nothing.
  if (f->code != PL_HANDLER_ERROR || f->name.len > 0) {
    if (f->name.len > 0) {
      put_bytes(out, f->name);
    } else {
      put(out, pl_err_name(f->code));
    }
    put(out, ": ");
  }
  if (f->message.len > 0) {
    put_bytes(out, f->message);
  } else {
    put(out, pl_err_text(f->code));
  }
  if (f->traceback.len == 0) return;
  put(out, "\n");
  put_bytes(out, f->traceback);
}

// For tools: MessagePack.

static void pack_token(pl_buf *out, uint8_t *(*head)(uint8_t *, uint32_t), size_t n) {
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p != NULL) pl_buf_commit(out, (size_t)(head(p, (uint32_t)n) - p));
}

static void pack_bytes(pl_buf *out, const void *data, size_t len) {
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX + len);
  if (p != NULL) pl_buf_commit(out, (size_t)(pl_mp_put_str(p, data, (uint32_t)len) - p));
}

static void pack_text(pl_buf *out, const char *text) {
  pack_bytes(out, text, strlen(text));
}

static void pack_int(pl_buf *out, const char *key, int64_t value) {
  pack_text(out, key);
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p != NULL) pl_buf_commit(out, (size_t)(pl_mp_put_int(p, value) - p));
}

static void pack_names(pl_buf *out, const char *key, const pl_texts *names) {
  pack_text(out, key);
  pack_token(out, pl_mp_put_array, names->count);
  for (size_t i = 0; i < names->count; i++)
    pack_text(out, names->items[i]);
}

void pl_reload_report_encode(const pl_reload_report *r, pl_buf *out) {
  pack_token(out, pl_mp_put_map, r->failed ? 5 : 6);
  pack_text(out, "script");
  pack_text(out, r->script);
  pack_int(out, "generation", r->generation);
  pack_int(out, "took_us", (int64_t)r->took_us);
  if (r->failed) {
    pl_buf text = {0};
    pl_reload_failure_put(r, &text);
    pack_text(out, "code");
    pack_text(out, pl_err_name(r->failure.code));
    pack_text(out, "failure");
    pack_bytes(out, pl_buf_data(&text), pl_buf_len(&text));
    pl_buf_fini(&text);
    return;
  }
  pack_names(out, "added", &r->difference.added);
  pack_names(out, "removed", &r->difference.removed);
  pack_names(out, "replaced", &r->difference.replaced);
}

void pl_reload_report_tell(const pl_reload_report *r, pl_node *n) {
  pl_notice e = {
      .kind = PL_NOTICE_GENERATION,
      .script = r->script,
      .generation = r->generation,
      .code = r->failed ? pl_err_name(r->failure.code) : NULL,
  };
  pl_node_tell(n, &e);
}
