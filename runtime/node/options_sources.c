// Options from the environment and from a configuration file.

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"
#include "wire/json.h"

// Environment.

static pl_err set_list(pl_options *o, const pl_option *opt, const char *text, char *why) {
  pl_texts parts = {0};
  pl_texts_split(&parts, text);
  pl_option_value v = {
      .given = PL_GIVEN_TEXTS, .texts = (const char *const *)parts.items, .count = parts.count};
  pl_err err = pl_option_set(o, PL_SOURCE_ENVIRONMENT, opt, &v, why);
  pl_texts_free(&parts);
  return err;
}

static pl_err set_variable(pl_options *o, const pl_option *opt, const char *text, char *why) {
  if (opt->kind == PL_OPTION_TEXTS) return set_list(o, opt, text, why);
  if (opt->kind == PL_OPTION_FILE && !pl_key_is_path(text))
    return pl_options_set_key(o, PL_SOURCE_ENVIRONMENT, opt, text, why);
  pl_option_value v = {.given = PL_GIVEN_TEXT, .text = text};
  return pl_option_set(o, PL_SOURCE_ENVIRONMENT, opt, &v, why);
}

pl_err pl_options_from_environment(pl_options *o, char *(*get)(const char *name), char *why) {
  for (const pl_option *opt = pl_option_list; opt < pl_option_list + PL_OPTION_COUNT; opt++) {
    char name[64] = "PERILUNE_";
    size_t at = strlen(name);
    for (const char *c = opt->singular; *c != '\0'; c++)
      name[at++] = (char)toupper((unsigned char)*c);
    name[at] = '\0';
    const char *text = get(name);
    if (text == NULL || text[0] == '\0') continue;
    char inner[PL_URL_MAX];
    pl_err err = set_variable(o, opt, text, inner);
    if (err != PL_OK) {
      snprintf(why, PL_URL_MAX, "environment variable %.40s: %.440s", name, inner);
      return err;
    }
  }
  return PL_OK;
}

// File.

// The whole file; NULL with `why` set. Over PL_JSON_CONFIG_MAX it is refused before it is read to
// the end.
static char *read_file(const char *path, size_t *len, char *why) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) {
    snprintf(why, PL_URL_MAX, "cannot open the configuration file %.300s: %s", path,
             strerror(errno));
    return NULL;
  }
  char *text = pl_try_alloc(PL_JSON_CONFIG_MAX + 1);
  *len = text == NULL ? 0 : fread(text, 1, PL_JSON_CONFIG_MAX + 1, f);
  bool failed = text == NULL || ferror(f) != 0;
  int error = errno;
  fclose(f);
  if (!failed && *len <= PL_JSON_CONFIG_MAX) return text;
  snprintf(why, PL_URL_MAX, "cannot read the configuration file %.300s: %s", path,
           failed ? strerror(error) : "larger than 1 MiB");
  pl_free(text);
  return NULL;
}

static pl_err set_array(pl_options *o, const pl_option *opt, const cJSON *array, char *why) {
  const char *texts[PL_LISTENERS_MAX + 1];
  size_t count = 0;
  for (const cJSON *item = array->child; item != NULL && count <= PL_LISTENERS_MAX;
       item = item->next) {
    size_t len;
    if (!pl_json_string(item, &texts[count], &len) || strlen(texts[count]) != len) {
      snprintf(why, PL_URL_MAX, "%s[%zu]: a string is expected", opt->name, count + 1);
      return PL_INVALID;
    }
    count++;
  }
  pl_option_value v = {.given = PL_GIVEN_TEXTS, .texts = texts, .count = count};
  return pl_option_set(o, PL_SOURCE_FILE, opt, &v, why);
}

static pl_err set_member(pl_options *o, const cJSON *member, char *why) {
  const pl_option *opt = pl_option_find(member->string);
  if (opt == NULL || strcmp(opt->name, member->string) != 0) {
    snprintf(why, PL_URL_MAX, "%.64s: unknown option", member->string);
    return PL_INVALID;
  }
  if (cJSON_IsArray(member)) return set_array(o, opt, member, why);
  pl_option_value v = {.given = PL_GIVEN_BOOLEAN, .boolean = cJSON_IsTrue(member)};
  size_t len;
  if (pl_json_string(member, &v.text, &len)) {
    v.given = PL_GIVEN_TEXT;
    bool number = opt->kind == PL_OPTION_SECONDS || opt->kind == PL_OPTION_INTEGER;
    if (strlen(v.text) != len || (number && v.text[0] != '\0' && strpbrk(v.text, "KMG") == NULL)) {
      snprintf(why, PL_URL_MAX, "%s: %s is expected", opt->name,
               number ? "a number" : "a string without NUL");
      return PL_INVALID;
    }
  } else if (pl_json_number(member, &v.number)) {
    v.given = PL_GIVEN_NUMBER;
  } else if (!cJSON_IsBool(member)) {
    snprintf(why, PL_URL_MAX, "%s: a string, number, boolean or list is expected", opt->name);
    return PL_INVALID;
  }
  return pl_option_set(o, PL_SOURCE_FILE, opt, &v, why);
}

static pl_err set_all(pl_options *o, const cJSON *doc, const char *path, char *why) {
  if (!cJSON_IsObject(doc)) {
    snprintf(why, PL_URL_MAX, "%.300s: one JSON object of options is expected", path);
    return PL_INVALID;
  }
  for (const cJSON *m = doc->child; m != NULL; m = m->next) {
    char inner[PL_URL_MAX];
    pl_err err = set_member(o, m, inner);
    if (err != PL_OK) {
      snprintf(why, PL_URL_MAX, "%.200s: %.300s", path, inner);
      return err;
    }
  }
  return PL_OK;
}

pl_err pl_options_from_file(pl_options *o, const char *path, char *why) {
  size_t len;
  char *text = read_file(path, &len, why);
  if (text == NULL) return PL_INVALID;
  cJSON *doc = NULL;
  pl_json_error error;
  pl_err err = pl_json_parse(&doc, pl_bytes_of(text, len), PL_DEPTH_MAX, &error);
  pl_free(text);
  if (err != PL_OK) {
    snprintf(why, PL_URL_MAX, "%.300s:%zu:%zu: %s", path, error.line, error.column, error.what);
    return PL_INVALID;
  }
  err = set_all(o, doc, path, why);
  cJSON_Delete(doc);
  return err;
}
