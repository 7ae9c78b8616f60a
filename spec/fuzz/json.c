#include "wire/json.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 16 };

static void put_text(pl_buf *out, const char *text) {
  assert(pl_buf_append(out, text, strlen(text)));
}

static void put(pl_buf *out, const cJSON *node);

static void put_children(pl_buf *out, const cJSON *node, const char *open, const char *close) {
  put_text(out, open);
  for (const cJSON *child = node->child; child != NULL; child = child->next) {
    const char *key;
    size_t len;
    if (child != node->child) put_text(out, ",");
    if (pl_json_key(child, &key, &len)) {
      assert(pl_json_put_string(out, key, len) == PL_OK);
      put_text(out, ":");
    }
    put(out, child);
  }
  put_text(out, close);
}

static void put(pl_buf *out, const cJSON *node) {
  int64_t integer;
  double number;
  const char *text;
  size_t len;
  if (pl_json_integer(node, &integer)) {
    assert(pl_json_put_integer(out, integer) == PL_OK);
  } else if (pl_json_number(node, &number)) {
    assert(pl_json_put_float(out, number) == PL_OK);
  } else if (pl_json_string(node, &text, &len)) {
    assert(pl_json_put_string(out, text, len) == PL_OK);
  } else if (cJSON_IsArray(node)) {
    put_children(out, node, "[", "]");
  } else if (cJSON_IsObject(node)) {
    put_children(out, node, "{", "}");
  } else {
    put_text(out, cJSON_IsNull(node) ? "null" : cJSON_IsTrue(node) ? "true" : "false");
  }
}

// Writes what `text` says; false when it is refused.
static bool rewrite(pl_buf *out, pl_bytes text) {
  cJSON *root = NULL;
  pl_json_error error = {0};
  pl_err err = pl_json_parse(&root, text, DEPTH, &error);
  assert(err == PL_OK || err == PL_INVALID);  // cJSON takes all that the scan let pass
  if (err == PL_INVALID) assert(error.what != NULL && error.line > 0 && error.column > 0);
  if (err != PL_OK) return false;
  put(out, root);
  cJSON_Delete(root);
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pl_buf first = {0}, second = {0};
  if (rewrite(&first, pl_bytes_of(data, size))) {
    assert(rewrite(&second, pl_bytes_of(pl_buf_data(&first), pl_buf_len(&first))));
    assert(pl_buf_len(&first) == pl_buf_len(&second));
    assert(memcmp(pl_buf_data(&first), pl_buf_data(&second), pl_buf_len(&first)) == 0);
  }
  pl_buf_fini(&first);
  pl_buf_fini(&second);
  return 0;
}
