// What came of a reload, for people.

#include <string.h>

#include "base/mem.h"
#include "lua/reload.h"

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
