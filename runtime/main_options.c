// perilune options: what a node would be told, and by whom.

#include <inttypes.h>
#include <string.h>

#include "main.h"
#include "wire/json.h"

static void put_text(pl_buf *out, const char *text) {
  pl_buf_append(out, text, strlen(text));
}

static void put_number(pl_buf *out, double number) {
  char text[40];
  snprintf(text, sizeof text, "%.15g", number);
  put_text(out, text);
}

// What is not UTF-8 can stand in no JSON; only a name can be such.
static void put_string(pl_buf *out, const char *text, bool json) {
  if (json && pl_json_put_string(out, text, strlen(text)) != PL_OK) put_text(out, "null");
  if (!json) put_text(out, text);
}

static void put_list(pl_buf *out, const pl_texts *list, bool json) {
  if (json) put_text(out, "[");
  for (size_t i = 0; i < list->count; i++) {
    if (i > 0) put_text(out, ",");
    put_string(out, list->items[i], json);
  }
  if (json) put_text(out, "]");
  if (!json && list->count == 0) put_text(out, "-");
}

static void put_value(pl_buf *out, const pl_options *options, const pl_option *o, bool json) {
  const void *at = (const char *)options + o->offset;
  switch (o->kind) {
    case PL_OPTION_FILE:
    case PL_OPTION_TEXT: {
      const char *text = *(char *const *)at;
      bool hidden = text == NULL && options->source[o - pl_option_list] != PL_SOURCE_DEFAULT;
      if (text == NULL) put_text(out, json ? "null" : hidden ? "(hidden)" : "-");
      if (text != NULL) put_string(out, text, json);
      break;
    }
    case PL_OPTION_TEXTS: put_list(out, at, json); break;
    case PL_OPTION_BOOLEAN: put_text(out, *(const bool *)at ? "true" : "false"); break;
    case PL_OPTION_SECONDS: put_number(out, *(const double *)at); break;
    case PL_OPTION_INTEGER: pl_json_put_integer(out, *(const int64_t *)at); break;
  }
}

static void put_json(pl_buf *out, const pl_options *options, const pl_option *o, bool first) {
  if (!first) put_text(out, ",");
  put_string(out, o->name, true);
  put_text(out, ":{\"value\":");
  put_value(out, options, o, true);
  put_text(out, ",\"source\":");
  put_string(out, pl_source_name(options->source[o - pl_option_list]), true);
  put_text(out, "}");
}

static void print_row(const pl_options *options, const pl_option *o) {
  pl_buf value = {0};
  put_value(&value, options, o, false);
  pl_buf_append(&value, "", 1);
  printf("%-18s  %-20s  %s\n", o->name, (const char *)pl_buf_data(&value),
         pl_source_name(options->source[o - pl_option_list]));
  pl_buf_fini(&value);
}

static void print_json(const pl_options *options) {
  pl_buf line = {0};
  put_text(&line, "{");
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    if (!o->later) put_json(&line, options, o, o == pl_option_list);
  }
  put_text(&line, "}\n");
  fwrite(pl_buf_data(&line), 1, pl_buf_len(&line), stdout);
  pl_buf_fini(&line);
}

int pl_options_print(pl_invocation *inv) {
  if (inv->flags.count > 0) {  // --json, its only one
    print_json(&inv->options);
    return PL_EXIT_OK;
  }
  printf("%-18s  %-20s  %s\n", "OPTION", "VALUE", "SOURCE");
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    if (!o->later) print_row(&inv->options, o);
  }
  return PL_EXIT_OK;
}
