// `_perilune.describe`: what an action of this node is, as its script said when it registered it.

#include <stdio.h>

#include "lua/bind_action.h"
#include "lua/inspect.h"
#include "lua/pack.h"

static void refuse(pl_request *r, pl_err code, const char *message) {
  const pl_failure f = pl_failure_of(code, PL_NOT_EXECUTED, message);
  pl_request_end(r, NULL, &f);
}

// One string and nothing else.
static bool read_name(pl_request *r, pl_bytes *name) {
  pl_bytes args = pl_request_args(r);
  pl_mp_reader in = {args.data, args.data + args.len};
  pl_mp_token t;
  if (pl_request_codec(r) != 0 || pl_mp_read(&in, &t) != PL_OK) return false;
  if (t.kind != PL_MP_ARRAY || t.len != 1 || pl_mp_read(&in, &t) != PL_OK) return false;
  if ((t.kind != PL_MP_STR && t.kind != PL_MP_BIN) || t.len == 0 || t.len > PL_NAME_MAX)
    return false;
  *name = pl_bytes_of(t.data, t.len);
  return in.at == in.end;
}

static void on_describe(pl_request *r, void *user) {
  pl_host *h = user;
  pl_bytes name;
  if (!read_name(r, &name)) {
    refuse(r, PL_INVALID, "_perilune.describe: the name of an action is expected");
    return;
  }
  const pl_registration *a = pl_node_action_user(pl_host_node(h), name, &pl_registration_ops);
  if (a == NULL) {
    char why[PL_NAME_MAX + 64];
    snprintf(why, sizeof why, "no script of the node provides '%.*s'", (int)name.len,
             (const char *)name.data);
    refuse(r, PL_NOT_FOUND, why);
    return;
  }
  pl_pack k = {0};
  pl_pack_array(&k, 1);
  k.failed |= !pl_buf_append(&k.out, a->description.data, a->description.len);
  pl_pack_end(&k, r);
}

void pl_inspect_open_describe(pl_host *h) {
  static const pl_action_ops ops = {.on_start = on_describe};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "describe", &ops, h);
}
