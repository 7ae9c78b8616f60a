#include "wire/json.h"

#include <string.h>

#include "wire/json_scan.h"

// The value of a mark, put in place of its digits once cJSON has the string.
static uint64_t marked_bits(const char *text) {
  uint64_t bits;
  memcpy(&bits, text + 2, sizeof bits);
  return bits;
}

static void set_marked_bits(char *text, uint64_t bits) {
  memcpy(text + 2, &bits, sizeof bits);
}

static bool is_marked(const char *text) {
  return text != NULL && text[0] == PL_JSON_MARK;
}

static uint64_t parse_hex(const char *digits) {
  uint64_t v = 0;
  for (int i = 0; i < PL_JSON_MARK_SPACE; i++) {
    char d = digits[i];
    v = v << 4 | (uint64_t)(d <= '9' ? d - '0' : d - 'a' + 10);
  }
  return v;
}

// Undoes the writing of NUL and \1, and notes the length.
static void resolve_string(char *text) {
  char *out = text + PL_JSON_MARK_LEN;
  for (const char *p = out; *p != 0; p++)
    *out++ = *p != PL_JSON_MARK ? *p : *++p == '0' ? 0 : PL_JSON_MARK;
  *out = 0;
  set_marked_bits(text, (uint64_t)(out - text) - PL_JSON_MARK_LEN);
}

static void resolve_number(cJSON *node) {
  uint64_t bits = parse_hex(node->valuestring + 2);
  set_marked_bits(node->valuestring, bits);
  double v = (double)(int64_t)bits;
  if (node->valuestring[1] == PL_JSON_MARK_FLOAT) memcpy(&v, &bits, sizeof v);
  node->type = (node->type & ~0xff) | cJSON_Number;
  cJSON_SetNumberHelper(node, v);  // valueint, too, as cJSON would
}

// Recursion: as deep as the scan allowed.
static void resolve(cJSON *node) {
  for (; node != NULL; node = node->next) {
    if (is_marked(node->string)) resolve_string(node->string);
    if (cJSON_IsString(node) && is_marked(node->valuestring)) {
      if (node->valuestring[1] == PL_JSON_MARK_STRING) {
        resolve_string(node->valuestring);
      } else {
        resolve_number(node);
      }
    }
    resolve(node->child);
  }
}

static void locate(pl_json_error *error, pl_bytes text, const pl_json_scan *s) {
  *error = (pl_json_error){.line = 1, .column = 1, .what = s->what};
  for (size_t i = 0; i < s->at; i++) {
    if (text.data[i] == '\n') {
      error->line++;
      error->column = 1;
    } else if ((text.data[i] & 0xc0) != 0x80) {
      error->column++;
    }
  }
}

pl_err pl_json_parse(cJSON **out, pl_bytes text, size_t depth_max, pl_json_error *error) {
  pl_json_scan s = {0};
  pl_err err = pl_json_scan_text(&s, text, depth_max);
  if (err == PL_INVALID) locate(error, text, &s);
  if (err == PL_OK) {
    const char *data = (const char *)pl_buf_data(&s.out);
    cJSON *root = cJSON_ParseWithLengthOpts(data, pl_buf_len(&s.out), NULL, true);
    if (root == NULL) err = PL_NO_MEMORY;  // the text is well-formed
    if (root != NULL && s.marked) resolve(root);
    if (root != NULL) *out = root;
  }
  pl_buf_fini(&s.out);
  return err;
}

bool pl_json_integer(const cJSON *node, int64_t *out) {
  if (!cJSON_IsNumber(node)) return false;
  if (node->valuestring != NULL) {
    if (node->valuestring[1] != PL_JSON_MARK_INTEGER) return false;
    *out = (int64_t)marked_bits(node->valuestring);
    return true;
  }
  // Short enough to be exact; a float that is whole would be marked.
  int64_t v = (int64_t)node->valuedouble;
  if ((double)v != node->valuedouble) return false;
  *out = v;
  return true;
}

bool pl_json_number(const cJSON *node, double *out) {
  if (!cJSON_IsNumber(node)) return false;
  *out = node->valuedouble;
  return true;
}

static void view(const char *text, const char **start, size_t *len) {
  bool marked = is_marked(text);
  *start = marked ? text + PL_JSON_MARK_LEN : text;
  *len = marked ? (size_t)marked_bits(text) : strlen(text);
}

bool pl_json_string(const cJSON *node, const char **text, size_t *len) {
  if (!cJSON_IsString(node)) return false;
  view(node->valuestring, text, len);
  return true;
}

bool pl_json_key(const cJSON *node, const char **text, size_t *len) {
  if (node->string == NULL) return false;
  view(node->string, text, len);
  return true;
}
