// The table of options, and setting one of them.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"

#define AT(field) offsetof(pl_options, field)
#define TEXT(name, help) \
  { #name, #name, PL_OPTION_TEXT, AT(name), 0, 0, 0, false, help, NULL }
#define WORD(name, standard, help) \
  { #name, #name, PL_OPTION_TEXT, AT(name), 0, 0, 0, false, help, standard }
#define LATER(name, help) \
  { #name, #name, PL_OPTION_TEXT, AT(name), 0, 0, 0, true, help, NULL }
#define LIST(name, one, help) \
  { #name, one, PL_OPTION_TEXTS, AT(name), 0, 0, 0, false, help, NULL }
#define TIME(name, standard, min, help) \
  { #name, #name, PL_OPTION_SECONDS, AT(name), standard, min, 1e9, false, help, NULL }
#define WHOLE(name, standard, min, max, help) \
  { #name, #name, PL_OPTION_INTEGER, AT(name), standard, min, max, false, help, NULL }

const pl_option pl_option_list[PL_OPTION_COUNT] = {
    TEXT(name, "label for people"),
    LIST(listen, "listen", "address to listen on, e.g. tcp://127.0.0.1:4100"),
    LIST(peers, "peer", "address to keep connected"),
    TEXT(mesh, "local mesh to join"),
    TEXT(id, "32 hexadecimal digits; random by default"),
    {"insecure", "insecure", PL_OPTION_BOOLEAN, AT(insecure), 0, 0, 0, false,
     "listen beyond this machine without authentication", NULL},
    {"psk", "psk", PL_OPTION_FILE, AT(psk), 0, 0, 0, false,
     "file with the pre-shared key of the mesh; never the key itself", NULL},
    {"relay", "relay", PL_OPTION_BOOLEAN, AT(relay), 1, 0, 0, false,
     "pass calls of others on; if given, also without an action", NULL},
    TIME(link_cost, 0, 0, "what a path over a link of this node costs, 0 = its round trip"),
    LIST(advertise, "advertise", "address that others are told to dial"),
    TIME(request_timeout, 10, 0, "longest call, 0 = for ever"),
    TIME(stall_timeout, 60, 0, "how long a consumer may take nothing, 0 = for ever"),
    TIME(connect_timeout, 5, 0.001, "longest connection attempt"),
    TIME(handshake_timeout, 10, 0.001, "longest handshake"),
    TIME(heartbeat, 2, 0.01, "time between two heartbeats"),
    WHOLE(heartbeat_misses, 3, 1, 1000, "heartbeats missed before a link is lost"),
    TIME(reconnect_max, 2, 0.05, "longest pause between two attempts to connect"),
    TIME(resume_window, 0.75, 0, "how long a broken link may be resumed"),
    TIME(drain, 5, 0, "how long running handlers may finish on a stop"),
    WHOLE(max_concurrency, 0, 0, 1e9, "handlers at once, 0 = no bound"),
    WHOLE(max_queue, 5000, 0, 1e9, "calls waiting for a handler, 0 = no bound"),
    WHOLE(max_peers, 1024, 1, 1e6, "neighbours"),
    WHOLE(max_message, 64 * 1024 * 1024, 1024, 1024 * 1024 * 1024, "bytes of one value"),
    TIME(cpu_limit, 5, 0, "CPU time of a task between two waits, 0 = none"),
    WHOLE(memory_limit, 256 * 1024 * 1024, 0, 1e15, "bytes of one script, 0 = none"),
    WHOLE(offload_threads, 0, 0, 256, "threads for mesh.offload, 0 = one for each processor"),
    TIME(offload_cpu_limit, 60, 0, "CPU time of an offloaded job, 0 = none"),
    {"sandbox", "sandbox", PL_OPTION_BOOLEAN, AT(sandbox), 0, 0, 0, false,
     "scripts without files, processes, links and C modules", NULL},
    LIST(allow, "allow", "what a sandbox leaves: fs, net, process, env, debug, native"),
    WHOLE(buffer_limit, 256 * 1024 * 1024, 0, 1e15,
          "bytes in streams, queues, bodies and links, 0 = no bound"),
    WHOLE(state_limit, 64 * 1024 * 1024, 0, 1e15,
          "bytes of mesh.state of a script, and of mesh.shared, 0 = no bound"),
    TEXT(state_dir, "folder that mesh.state and mesh.shared are kept in over a restart"),
    TIME(load_limit, 10, 0, "longest load of a script at a reload, 0 = for ever"),
    TIME(probation, 0, 0,
         "how long a reloaded script may be taken back if it does worse, 0 = never"),
    TIME(reload_drain, 300, 0, "how long calls may go on in an old generation, 0 = for ever"),
    TIME(cleanup_grace, 2, 0, "how long a cancelled task may clean up"),
    WHOLE(workers, 0, 0, PL_WORKERS_MAX, "threads for scripts that are isolated or have replicas"),
    LIST(isolate, "isolate", "script that lives on a worker thread, or all"),
    LIST(replicas, "replicas", "FILE=N: so many VMs of a script, on worker threads; N: of each"),
    WHOLE(max_restarts, 5, 0, 1000, "restarts of a replica in restart_window until it is given up"),
    TIME(restart_window, 60, 0.1, "time in which restarts of a replica are counted"),
    TEXT(strategy, "who takes a call when neither call nor action says [least]"),
    TEXT(region, "where it is, for callers that prefer a region"),
    WHOLE(trace_sample, 0, 0, 1e9, "of so many calls made here one is traced, 0 = those asked for"),
    WORD(log_level, "info", "debug, info, warn, error or off"),
    WORD(log_format, "text", "text or json"),
    TEXT(admin, "HOST:PORT on this machine for /metrics, /health and /ready over HTTP"),
    LATER(http, "address of the HTTP gateway"),
};

const char *pl_source_name(pl_source source) {
  static const char *const names[] = {
      [PL_SOURCE_DEFAULT] = "default",        [PL_SOURCE_SCRIPT] = "script",
      [PL_SOURCE_FILE] = "config file",       [PL_SOURCE_ENVIRONMENT] = "environment",
      [PL_SOURCE_ARGUMENTS] = "command line",
  };
  return names[source];
}

const pl_option *pl_option_find(const char *name) {
  for (const pl_option *o = pl_option_list; o < pl_option_list + PL_OPTION_COUNT; o++) {
    const char *names[] = {o->name, o->singular};
    for (int i = 0; i < 2; i++) {
      const char *a = names[i], *b = name;
      while (*a != '\0' && (*a == *b || (*a == '_' && *b == '-')))
        a++, b++;
      if (*a == '\0' && *b == '\0') return o;
    }
  }
  return NULL;
}

// Lists of texts.

void pl_texts_add(pl_texts *t, const char *text) {
  char **items = pl_alloc((t->count + 1) * sizeof *items);
  if (t->count > 0) memcpy(items, t->items, t->count * sizeof *items);
  items[t->count] = pl_strdup(text);
  pl_free(t->items);
  t->items = items;
  t->count++;
}

// Spaces around a part are not of it.
void pl_texts_split(pl_texts *t, const char *text) {
  char *copy = pl_strdup(text);
  for (char *save = NULL, *part = strtok_r(copy, ",", &save); part != NULL;
       part = strtok_r(NULL, ",", &save)) {
    while (*part == ' ')
      part++;
    size_t len = strlen(part);
    while (len > 0 && part[len - 1] == ' ')
      part[--len] = '\0';
    if (len > 0) pl_texts_add(t, part);
  }
  pl_free(copy);
}

void pl_texts_free(pl_texts *t) {
  for (size_t i = 0; i < t->count; i++)
    pl_free(t->items[i]);
  pl_free(t->items);
  *t = (pl_texts){0};
}

// Whole sets.

static void *field(const pl_options *o, const pl_option *opt) {
  return (char *)(uintptr_t)o + opt->offset;
}

static void clear(pl_options *o, const pl_option *opt) {
  if (opt->kind == PL_OPTION_FILE) pl_options_forget_key(o);
  if (opt->kind == PL_OPTION_TEXTS) pl_texts_free(field(o, opt));
  if (opt->kind != PL_OPTION_TEXT && opt->kind != PL_OPTION_FILE) return;
  char **text = field(o, opt);
  pl_free(*text);
  *text = NULL;
}

void pl_option_reset(pl_options *o, const pl_option *opt) {
  clear(o, opt);
  switch (opt->kind) {
    case PL_OPTION_FILE:
    case PL_OPTION_TEXT:
      if (opt->standard_text != NULL) *(char **)field(o, opt) = pl_strdup(opt->standard_text);
      break;
    case PL_OPTION_TEXTS: break;
    case PL_OPTION_BOOLEAN: *(bool *)field(o, opt) = opt->standard != 0; break;
    case PL_OPTION_SECONDS: *(double *)field(o, opt) = opt->standard; break;
    case PL_OPTION_INTEGER: *(int64_t *)field(o, opt) = (int64_t)opt->standard; break;
  }
  o->source[opt - pl_option_list] = PL_SOURCE_DEFAULT;
}

void pl_options_init(pl_options *o) {
  *o = (pl_options){0};
  for (const pl_option *opt = pl_option_list; opt < pl_option_list + PL_OPTION_COUNT; opt++)
    pl_option_reset(o, opt);
}

void pl_options_free(pl_options *o) {
  for (const pl_option *opt = pl_option_list; opt < pl_option_list + PL_OPTION_COUNT; opt++)
    clear(o, opt);
}

void pl_options_copy(pl_options *out, const pl_options *in) {
  *out = *in;
  for (const pl_option *opt = pl_option_list; opt < pl_option_list + PL_OPTION_COUNT; opt++) {
    if (opt->kind == PL_OPTION_TEXT || opt->kind == PL_OPTION_FILE) {
      const char *text = *(char **)field(in, opt);
      *(char **)field(out, opt) = text == NULL ? NULL : pl_strdup(text);
    } else if (opt->kind == PL_OPTION_TEXTS) {
      const pl_texts *from = field(in, opt);
      pl_texts *to = field(out, opt);
      *to = (pl_texts){0};
      for (size_t i = 0; i < from->count; i++)
        pl_texts_add(to, from->items[i]);
    }
  }
  if (in->psk_key != NULL) out->psk_key = pl_strdup(in->psk_key);
}

bool pl_option_is_given(const pl_options *o, const char *name) {
  return o->source[pl_option_find(name) - pl_option_list] != PL_SOURCE_DEFAULT;
}

// One option.

static pl_err bad(char *why, const pl_option *opt, const char *format, const char *given) {
  char text[256];
  snprintf(text, sizeof text, format, given);
  snprintf(why, PL_URL_MAX, "%s: %s", opt->name, text);
  return PL_INVALID;
}

// A number, for sizes with an optional unit: 512, 1.5, 64MiB.
static bool parse_number(const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  if (end == text || !isfinite(*out)) return false;
  static const struct {
    const char *name;
    double factor;
  } units[] = {{"", 1}, {"KiB", 1024}, {"MiB", 1024.0 * 1024}, {"GiB", 1024.0 * 1024 * 1024}};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].name) != 0) continue;
    *out *= units[i].factor;
    return true;
  }
  return false;
}

static pl_err set_number(pl_options *o, const pl_option *opt, const pl_option_value *v, bool store,
                         char *why) {
  double n = v->number;
  char shown[64];
  if (v->given == PL_GIVEN_TEXT) {
    if (!parse_number(v->text, &n)) return bad(why, opt, "'%.64s' is not a number", v->text);
  } else if (v->given != PL_GIVEN_NUMBER) {
    return bad(why, opt, "a number is expected%s", "");
  }
  snprintf(shown, sizeof shown, "%g", n);
  if (!isfinite(n)) return bad(why, opt, "%s is not a finite number", shown);
  if (opt->kind == PL_OPTION_INTEGER && n != floor(n))
    return bad(why, opt, "%s is not a whole number", shown);
  if (n < opt->min || n > opt->max) {
    snprintf(why, PL_URL_MAX, "%s: %s is not between %g and %g", opt->name, shown, opt->min,
             opt->max);
    return PL_INVALID;
  }
  if (!store) return PL_OK;
  if (opt->kind == PL_OPTION_INTEGER) {
    *(int64_t *)field(o, opt) = (int64_t)n;
  } else {
    *(double *)field(o, opt) = n;
  }
  return PL_OK;
}

static pl_err set_boolean(pl_options *o, const pl_option *opt, const pl_option_value *v, bool store,
                          char *why) {
  bool b = v->boolean;
  if (v->given == PL_GIVEN_TEXT) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes"};
    size_t i = 0;
    while (i < 6 && strcmp(v->text, words[i]) != 0)
      i++;
    if (i == 6) return bad(why, opt, "'%.64s' is neither true nor false", v->text);
    b = i % 2 == 1;
  } else if (v->given != PL_GIVEN_BOOLEAN) {
    return bad(why, opt, "true or false is expected%s", "");
  }
  if (store) *(bool *)field(o, opt) = b;
  return PL_OK;
}

static bool one_of(const char *text, const char *const *words) {
  for (; *words != NULL; words++) {
    if (strcmp(text, *words) == 0) return true;
  }
  return false;
}

static pl_err check_text(const pl_option *opt, const char *text, char *why) {
  static const char *const levels[] = {"debug", "info", "warn", "error", "off", NULL};
  static const char *const formats[] = {"text", "json", NULL};
  pl_id id;
  if (strlen(text) > PL_NAME_MAX) return bad(why, opt, "longer than 255 bytes%s", "");
  for (const char *c = text; *c != '\0'; c++) {
    if ((unsigned char)*c < 0x20 || *c == 0x7f)
      return bad(why, opt, "control characters are not allowed%s", "");
  }
  if (opt->offset == AT(id) && !pl_id_parse(&id, text, strlen(text))) {
    return bad(why, opt, "'%.64s' is not 32 hexadecimal digits", text);
  }
  if (opt->offset == AT(name) && text[0] == '\0') return bad(why, opt, "empty%s", "");
  if (opt->offset == AT(mesh) && text[0] != '\0' && !pl_local_mesh_name_is_valid(text)) {
    return bad(why, opt, "'%.64s' is not a name (1 to 32 characters, no '/', no leading '.')",
               text);
  }
  if (opt->offset == AT(strategy) && pl_strategy_find(text, strlen(text)) == PL_STRATEGY_UNSET) {
    return bad(why, opt,
               "'%.64s' is no strategy: least, round_robin, random, weighted, p2c, hash, local",
               text);
  }
  if (opt->offset == AT(region) && strlen(text) > PL_REGION_MAX)
    return bad(why, opt, "longer than 63 bytes%s", "");
  if (opt->offset == AT(log_level) && !one_of(text, levels)) {
    return bad(why, opt, "'%.64s' is not debug, info, warn, error or off", text);
  }
  if (opt->offset == AT(log_format) && !one_of(text, formats))
    return bad(why, opt, "'%.64s' is not text or json", text);
  return PL_OK;
}

static pl_err set_text(pl_options *o, const pl_option *opt, const pl_option_value *v, bool store,
                       char *why) {
  if (v->given != PL_GIVEN_TEXT) return bad(why, opt, "a string is expected%s", "");
  pl_err err = check_text(opt, v->text, why);
  if (err != PL_OK || !store) return err;
  char **to = field(o, opt);
  pl_free(*to);
  *to = pl_strdup(v->text);
  return PL_OK;
}

static pl_err set_file(pl_options *o, const pl_option *opt, const pl_option_value *v, bool store,
                       char *why) {
  if (v->given == PL_GIVEN_TEXT) {
    char detail[PL_URL_MAX];
    pl_err err = pl_key_file_check(v->text, detail);
    if (err != PL_OK) {
      snprintf(why, PL_URL_MAX, "%s: %.480s", opt->name, detail);
      return err;
    }
  }
  pl_err err = set_text(o, opt, v, store, why);
  if (err == PL_OK && store) pl_options_forget_key(o);
  return err;
}

static pl_err check_url(const pl_option *opt, const char *text, char *why) {
  pl_url url;
  const char *wrong = "too long";
  pl_err err = strlen(text) < PL_URL_MAX ? pl_url_parse(&url, text, &wrong) : PL_INVALID;
  if (err == PL_OK && opt->offset == AT(peers)) err = pl_url_check_dial(&url, &wrong);
  if (err == PL_OK) return PL_OK;
  snprintf(why, PL_URL_MAX, "%s: '%.128s' is not an address: %s", opt->name, text, wrong);
  return PL_INVALID;
}

static pl_err check_capability(const pl_option *opt, const char *text, char *why) {
  if (pl_capability_find(text, strlen(text)) != 0) return PL_OK;
  return bad(why, opt, "'%.64s' is none of fs, net, process, env, debug, native", text);
}

// Where a script lives is decided before it runs.
static bool is_placement(const pl_option *opt) {
  return opt->offset == AT(workers) || opt->offset == AT(isolate) || opt->offset == AT(replicas);
}

static pl_err check_replicas(const pl_option *opt, const char *text, char *why) {
  const char *equals = strrchr(text, '=');
  const char *number = equals == NULL ? text : equals + 1;
  char *end;
  long n = strtol(number, &end, 10);
  if (end != number && *end == '\0' && equals != text && n >= 1 && n <= PL_REPLICAS_MAX)
    return PL_OK;
  return bad(why, opt, "'%.128s' is not N or FILE=N with a number from 1 to 256", text);
}

static pl_err check_part(const pl_option *opt, const char *text, char *why) {
  if (opt->offset == AT(allow)) return check_capability(opt, text, why);
  if (opt->offset == AT(replicas)) return check_replicas(opt, text, why);
  if (opt->offset != AT(isolate)) return check_url(opt, text, why);
  return text[0] != '\0' ? PL_OK : bad(why, opt, "empty%s", "");
}

static pl_err set_texts(pl_options *o, pl_source source, const pl_option *opt,
                        const pl_option_value *v, bool store, char *why) {
  const char *const *texts = v->given == PL_GIVEN_TEXTS ? v->texts : &v->text;
  size_t count = v->given == PL_GIVEN_TEXTS ? v->count : 1;
  if (v->given != PL_GIVEN_TEXT && v->given != PL_GIVEN_TEXTS) {
    return bad(why, opt, "a string or a list of strings is expected%s", "");
  }
  if (count > PL_LISTENERS_MAX) return bad(why, opt, "more than 64 of them%s", "");
  for (size_t i = 0; i < count; i++) {
    pl_err err = check_part(opt, texts[i], why);
    if (err != PL_OK) return err;
  }
  if (!store) return PL_OK;
  pl_texts *to = field(o, opt);
  bool grows = source == PL_SOURCE_ARGUMENTS && o->source[opt - pl_option_list] == source;
  if (!grows) pl_texts_free(to);
  for (size_t i = 0; i < count; i++)
    pl_texts_add(to, texts[i]);
  return PL_OK;
}

static bool holds_words(const pl_option *opt) {
  return opt->offset == AT(allow) || opt->offset == AT(isolate) || opt->offset == AT(replicas);
}

// Words may also stand in one text, with commas.
static pl_err set_words(pl_options *o, pl_source source, const pl_option *opt,
                        const pl_option_value *v, bool store, char *why) {
  if (v->given != PL_GIVEN_TEXT) return set_texts(o, source, opt, v, store, why);
  pl_texts words = {0};
  pl_texts_split(&words, v->text);
  const pl_option_value list = {
      .given = PL_GIVEN_TEXTS, .texts = (const char *const *)words.items, .count = words.count};
  pl_err err = set_texts(o, source, opt, &list, store, why);
  pl_texts_free(&words);
  return err;
}

pl_err pl_option_set(pl_options *o, pl_source source, const pl_option *opt,
                     const pl_option_value *v, char *why) {
  uint8_t *set_by = &o->source[opt - pl_option_list];
  bool store = *set_by <= source;
  pl_err err = PL_OK;
  if (opt->later) {
    snprintf(why, PL_URL_MAX, "%s: not available in this version", opt->name);
    return PL_UNSUPPORTED;
  }
  if (source == PL_SOURCE_SCRIPT && is_placement(opt))
    return bad(why, opt, "where scripts live is said on the command line, %s",
               "in the environment or in a configuration file");
  switch (opt->kind) {
    case PL_OPTION_TEXT: err = set_text(o, opt, v, store, why); break;
    case PL_OPTION_FILE: err = set_file(o, opt, v, store, why); break;
    case PL_OPTION_TEXTS:
      err = (holds_words(opt) ? set_words : set_texts)(o, source, opt, v, store, why);
      break;
    case PL_OPTION_BOOLEAN: err = set_boolean(o, opt, v, store, why); break;
    case PL_OPTION_SECONDS:
    case PL_OPTION_INTEGER: err = set_number(o, opt, v, store, why); break;
  }
  if (err == PL_OK && store) *set_by = (uint8_t)source;
  return err;
}
