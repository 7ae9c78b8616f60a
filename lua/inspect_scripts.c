// Of `_perilune.ps`: the scripts of a node, and what came of the newest reload of each.

#include "lua/inspect.h"
#include "lua/pack.h"
#include "lua/script.h"

static void pack_failure(pl_pack *k, const pl_reload_report *r) {
  pl_buf text = {0};
  pl_reload_failure_put(r, &text);
  pl_pack_text(k, "code");
  pl_pack_text(k, pl_err_name(r->failure.code));
  pl_pack_text(k, "failure");
  pl_pack_bytes(k, pl_buf_data(&text), pl_buf_len(&text));
  pl_buf_fini(&text);
}

static void pack_reload(pl_pack *k, const pl_reload_report *r, uint64_t ago_us) {
  pl_pack_map(k, r->failed ? 5 : 3);
  pl_pack_text(k, "generation");
  pl_pack_uint(k, r->generation);
  pl_pack_text(k, "ago");
  pl_pack_seconds(k, ago_us);
  pl_pack_text(k, "took");
  pl_pack_seconds(k, r->took_us);
  if (r->failed) pack_failure(k, r);
}

static void pack_script(pl_script *s, void *user) {
  pl_pack *k = user;
  uint64_t ended_us;
  const pl_reload_report *last = pl_reload_last(pl_script_reload(s), &ended_us);
  pl_pack_map(k, last == NULL ? 3 : 4);
  pl_pack_text(k, "script");
  pl_pack_text(k, pl_script_path(s));
  pl_pack_text(k, "generation");
  pl_pack_uint(k, pl_script_current(s)->number);
  pl_pack_text(k, "generations");
  pl_pack_uint(k, pl_script_generations(s));
  if (last == NULL) return;
  pl_pack_text(k, "reload");
  pack_reload(k, last, pl_now_us(pl_script_loop(s)) - ended_us);
}

void pl_inspect_pack_scripts(pl_pack *k, pl_host *h) {
  pl_pack_array(k, pl_host_each_file(h, NULL, NULL, NULL));
  pl_host_each_file(h, NULL, pack_script, k);
}
