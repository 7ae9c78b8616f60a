// `require('perilune.testing').wire.message`: the bodies of frames as tables with the names of
// the C members. Ids are strings of 16 bytes, raw values encoded ones.

#include <string.h>

#include "base/failure.h"
#include "spec/support/testing_wire.h"
#include "wire/message.h"

typedef enum member_kind { U64, U32, I64, FLAG, BYTES, ID, CODE, OUTCOME, END } member_kind;

typedef struct member {
  const char *name;
  member_kind kind;
  size_t at;
} member;

#define HELLO(kind, name) \
  { #name, kind, offsetof(pl_msg_hello, name) }
static const member hello[] = {
    HELLO(ID, id),           HELLO(U64, epoch),        HELLO(BYTES, name),
    HELLO(U64, role),        HELLO(ID, nonce),         HELLO(BYTES, methods),
    HELLO(BYTES, addresses), HELLO(U64, features),     HELLO(U64, body_window),
    HELLO(U64, message_max), HELLO(U64, heartbeat_ms), HELLO(BYTES, payload),
    HELLO(ID, resume),       HELLO(BYTES, version),    HELLO(BYTES, compressions),
    HELLO(BYTES, mesh),      HELLO(FLAG, draining),    {NULL, END, 0},
};

static const member ready[] = {
    {"secret", ID, offsetof(pl_msg_ready, secret)},
    {"seal", BYTES, offsetof(pl_msg_ready, seal)},
    {NULL, END, 0},
};

#define RESUME(kind, name) \
  { #name, kind, offsetof(pl_msg_resume, name) }
static const member resume[] = {
    RESUME(ID, session), RESUME(U64, position), RESUME(BYTES, proof), {NULL, END, 0}};

#define GOODBYE(kind, name) \
  { #name, kind, offsetof(pl_msg_goodbye, name) }
static const member goodbye[] = {
    GOODBYE(I64, code),           GOODBYE(BYTES, reason), GOODBYE(FLAG, allow_reconnect),
    GOODBYE(U64, retry_after_ms), GOODBYE(U64, epoch),    {NULL, END, 0},
};

static const member retire[] = {
    {"unkept", FLAG, offsetof(pl_msg_retire, unkept)},
    {NULL, END, 0},
};

#define ADVERT(kind, name) \
  { #name, kind, offsetof(pl_msg_advert, name) }
static const member advert[] = {
    ADVERT(U64, version), ADVERT(FLAG, snapshot), ADVERT(FLAG, complete), ADVERT(BYTES, items),
    ADVERT(ID, origin),   ADVERT(U64, epoch),     ADVERT(U64, base),      ADVERT(FLAG, gone),
    ADVERT(U64, boot),    ADVERT(U64, over),      {NULL, END, 0},
};

#define ROUTE(kind, name) \
  { #name, kind, offsetof(pl_msg_route, name) }
static const member route[] = {
    ROUTE(BYTES, digest), ROUTE(FLAG, last),   ROUTE(FLAG, answer), ROUTE(BYTES, pull),
    ROUTE(U64, hash),     ROUTE(FLAG, synced), ROUTE(ID, after),    ROUTE(ID, rival),
    ROUTE(U64, epoch),    ROUTE(U64, boot),    ROUTE(U64, over),    {NULL, END, 0},
};

#define ENTRY(kind, name) \
  { #name, kind, offsetof(pl_msg_route_entry, name) }
static const member entry[] = {
    ENTRY(ID, id), ENTRY(U64, epoch), ENTRY(U64, version), {NULL, END, 0}};

#define ITEM(kind, name) \
  { #name, kind, offsetof(pl_msg_advert_item, name) }
static const member item[] = {
    ITEM(BYTES, kind),     ITEM(BYTES, name), ITEM(BYTES, attributes),
    ITEM(FLAG, withdrawn), {NULL, END, 0},
};

#define CALL(kind, name) \
  { #name, kind, offsetof(pl_msg_call, name) }
static const member call[] = {
    CALL(U64, call_id),     CALL(BYTES, action),      CALL(U64, timeout_ms),
    CALL(FLAG, stream),     CALL(U64, window_items),  CALL(U64, window_bytes),
    CALL(BYTES, source),    CALL(BYTES, destination), CALL(U64, hops_left),
    CALL(U64, priority),    CALL(U64, attempt),       CALL(U64, first_call_id),
    CALL(BYTES, trace),     CALL(BYTES, meta),        CALL(BYTES, identity),
    CALL(BYTES, ancestors), CALL(U64, codec),         CALL(U64, compression),
    CALL(U64, body_len),    CALL(U64, idle_ms),       CALL(FLAG, input),
    CALL(BYTES, exclude),   CALL(BYTES, via),         {NULL, END, 0},
};

#define REFERENCE(kind, name) \
  { #name, kind, offsetof(pl_reference, name) }
static const member reference[] = {
    REFERENCE(ID, node),     REFERENCE(ID, token), REFERENCE(U64, codec),
    REFERENCE(U64, idle_ms), REFERENCE(ID, via),   {NULL, END, 0},
};

#define CREDIT(kind, name) \
  { #name, kind, offsetof(pl_msg_credit, name) }
static const member credit[] = {CREDIT(U64, items), CREDIT(U64, bytes), {NULL, END, 0}};

#define CANCEL(kind, name) \
  { #name, kind, offsetof(pl_msg_cancel, name) }
static const member cancel[] = {
    CANCEL(U64, call_id),
    CANCEL(I64, code),
    CANCEL(BYTES, reason),
    {NULL, END, 0},
};

static const member path_lost[] = {
    {"node", ID, offsetof(pl_msg_path_lost, node)},
    {NULL, END, 0},
};

#define ERROR(kind, name) \
  { #name, kind, offsetof(pl_failure, name) }
static const member failure[] = {
    ERROR(CODE, code),    ERROR(OUTCOME, outcome),    ERROR(BYTES, name),  ERROR(BYTES, message),
    ERROR(BYTES, action), ERROR(BYTES, traceback),    ERROR(BYTES, cause), ERROR(BYTES, details),
    ERROR(ID, node),      ERROR(U32, retry_after_ms), {NULL, END, 0},
};

typedef union any_message {
  pl_msg_hello hello;
  pl_msg_ready ready;
  pl_msg_resume resume;
  pl_msg_goodbye goodbye;
  pl_msg_retire retire;
  pl_msg_advert advert;
  pl_msg_advert_item item;
  pl_msg_route route;
  pl_msg_call call;
  pl_msg_credit credit;
  pl_msg_cancel cancel;
  pl_msg_path_lost path_lost;
  pl_failure failure;
} any_message;

typedef pl_err encoder(pl_buf *out, const void *m);
typedef pl_err decoder(void *out, pl_bytes src);

// The typed functions behind untyped ones.
#define WRAP(name, type)                                     \
  static pl_err encode_##name(pl_buf *out, const void *m) {  \
    return pl_msg_##name##_encode(out, (const type *)m);     \
  }                                                          \
  static pl_err decode_##name(void *out, pl_bytes src) {     \
    return (pl_err)pl_msg_##name##_decode((type *)out, src); \
  }
WRAP(hello, pl_msg_hello)
WRAP(ready, pl_msg_ready)
WRAP(resume, pl_msg_resume)
WRAP(goodbye, pl_msg_goodbye)
WRAP(retire, pl_msg_retire)
WRAP(advert, pl_msg_advert)
WRAP(route, pl_msg_route)
WRAP(call, pl_msg_call)
WRAP(credit, pl_msg_credit)
WRAP(reference, pl_reference)
WRAP(cancel, pl_msg_cancel)
WRAP(path_lost, pl_msg_path_lost)
WRAP(error, pl_failure)

static const struct {
  const member *members;
  encoder *encode;
  decoder *decode;
} messages[] = {
    {hello, encode_hello, decode_hello},
    {ready, encode_ready, decode_ready},
    {resume, encode_resume, decode_resume},
    {goodbye, encode_goodbye, decode_goodbye},
    {advert, encode_advert, decode_advert},
    {route, encode_route, decode_route},
    {call, encode_call, decode_call},
    {credit, encode_credit, decode_credit},
    {cancel, encode_cancel, decode_cancel},
    {path_lost, encode_path_lost, decode_path_lost},
    {failure, encode_error, decode_error},
    {retire, encode_retire, decode_retire},
    {reference, encode_reference, decode_reference},
};
static const char *const names[] = {"hello", "ready",  "resume",    "goodbye", "advert",
                                    "route", "call",   "credit",    "cancel",  "path_lost",
                                    "error", "retire", "reference", NULL};

// Sets a member from the value on the top of the stack.
static void set_member(lua_State *L, void *v, member_kind kind) {
  size_t len = 0;
  const char *text = NULL;
  switch (kind) {
    case U64:
    case I64: *(int64_t *)v = luaL_checkinteger(L, -1); break;
    case U32: *(uint32_t *)v = (uint32_t)luaL_checkinteger(L, -1); break;
    case FLAG: *(bool *)v = lua_toboolean(L, -1); break;
    case BYTES:
      text = luaL_checklstring(L, -1, &len);
      *(pl_bytes *)v = pl_bytes_of(text, len);  // the table keeps it
      break;
    case ID:
      text = luaL_checklstring(L, -1, &len);
      if (len != sizeof(pl_id)) luaL_error(L, "an id has 16 bytes");
      memcpy(v, text, len);
      break;
    case CODE: *(pl_err *)v = (pl_err)luaL_checkinteger(L, -1); break;
    case OUTCOME: *(pl_outcome *)v = (pl_outcome)luaL_checkinteger(L, -1); break;
    case END: break;
  }
}

static void read_table(lua_State *L, int index, void *m, const member *members) {
  luaL_checktype(L, index, LUA_TTABLE);
  for (; members->kind != END; members++) {
    lua_getfield(L, index, members->name);
    if (!lua_isnil(L, -1)) set_member(L, (char *)m + members->at, members->kind);
    lua_pop(L, 1);
  }
}

static void push_member(lua_State *L, const void *v, member_kind kind) {
  const pl_bytes *view = v;
  switch (kind) {
    case U64:
    case I64: lua_pushinteger(L, *(const int64_t *)v); break;
    case U32: lua_pushinteger(L, *(const uint32_t *)v); break;
    case FLAG: lua_pushboolean(L, *(const bool *)v); break;
    case BYTES: lua_pushlstring(L, view->len > 0 ? (const char *)view->data : "", view->len); break;
    case ID: lua_pushlstring(L, v, sizeof(pl_id)); break;
    case CODE: lua_pushinteger(L, *(const pl_err *)v); break;
    case OUTCOME: lua_pushinteger(L, *(const pl_outcome *)v); break;
    case END: lua_pushnil(L); break;
  }
}

// Without what is zero, false or empty.
static void push_table(lua_State *L, const void *m, const member *members) {
  static const char zeros[sizeof(pl_bytes)];
  lua_newtable(L);
  for (; members->kind != END; members++) {
    const char *v = (const char *)m + members->at;
    size_t size = members->kind == FLAG                          ? sizeof(bool)
                  : members->kind == ID                          ? sizeof(pl_id)
                  : members->kind == BYTES                       ? sizeof(pl_bytes)
                  : members->kind == U64 || members->kind == I64 ? sizeof(uint64_t)
                                                                 : sizeof(uint32_t);
    if (memcmp(v, zeros, size) == 0) continue;
    push_member(L, v, members->kind);
    lua_setfield(L, -2, members->name);
  }
}

// encode(name, table) -> bytes; nil, error
static int message_encode(lua_State *L) {
  int which = luaL_checkoption(L, 1, NULL, names);
  any_message m;
  memset(&m, 0, sizeof m);
  read_table(L, 2, &m, messages[which].members);
  pl_buf out = {0};
  return testing_push_encoded(L, messages[which].encode(&out, &m), &out);
}

// usual_call(call_id, action, timeout_ms, to | nil) -> bytes
static int message_usual_call(lua_State *L) {
  pl_id to;
  bool routed = !lua_isnoneornil(L, 4);
  if (routed) memcpy(to.bytes, testing_check_bytes(L, 4).data, sizeof to.bytes);
  const pl_msg_call_usual m = {
      .call_id = (uint64_t)luaL_checkinteger(L, 1),
      .action = testing_check_bytes(L, 2),
      .timeout_ms = (uint64_t)luaL_checkinteger(L, 3),
      .to = routed ? &to : NULL,
  };
  luaL_Buffer out;
  size_t room = PL_MSG_CALL_USUAL_ROOM + m.action.len;
  uint8_t *start = (uint8_t *)luaL_buffinitsize(L, &out, room);
  size_t len = (size_t)(pl_msg_call_put_usual(start, &m) - start);
  if (len > room) return luaL_error(L, "more than its room");
  luaL_pushresultsize(&out, len);
  return 1;
}

// decode(name, bytes) -> table, bytes taken by a call; nil, error
static int message_decode(lua_State *L) {
  int which = luaL_checkoption(L, 1, NULL, names);
  pl_bytes src = testing_check_bytes(L, 2);
  any_message m;
  any_message untouched;
  memset(&m, 0xa5, sizeof m);
  untouched = m;
  int result = messages[which].decode(&m, src);
  if (result < 0) {
    if (memcmp(&m, &untouched, sizeof m) != 0) return luaL_error(L, "a failure wrote the output");
    return testing_push_error(L, result);
  }
  push_table(L, &m, messages[which].members);
  lua_pushinteger(L, result);
  return 2;
}

// items{table, ...} -> the raw array of an advert
static int message_items(lua_State *L) {
  pl_buf items = {0};
  pl_buf out = {0};
  luaL_checktype(L, 1, LUA_TTABLE);
  uint32_t n = (uint32_t)lua_rawlen(L, 1);
  for (uint32_t i = 1; i <= n; i++) {
    pl_msg_advert_item m = {0};
    lua_rawgeti(L, 1, i);
    read_table(L, lua_gettop(L), &m, item);
    lua_pop(L, 1);
    pl_msg_advert_item_encode(&items, &m);
  }
  pl_bytes all = n > 0 ? pl_bytes_of(pl_buf_data(&items), pl_buf_len(&items)) : (pl_bytes){0};
  pl_err err = pl_msg_advert_items_wrap(&out, all, n);
  pl_buf_fini(&items);
  return testing_push_encoded(L, err, &out);
}

// walk(items) -> list of tables; nil, error
static int message_walk(lua_State *L) {
  pl_msg_advert m = {.items = testing_check_bytes(L, 1)};
  pl_msg_advert_item found;
  size_t at = 0;
  int got = 0;
  lua_newtable(L);
  for (lua_Integer i = 1; (got = pl_msg_advert_next(&m, &at, &found)) > 0; i++) {
    push_table(L, &found, item);
    lua_rawseti(L, -2, i);
  }
  return got < 0 ? testing_push_error(L, got) : 1;
}

// digest{entry, ...} -> the raw array; pull{id, ...} likewise
static int message_digest(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  pl_buf entries = {0}, out = {0};
  uint32_t n = (uint32_t)lua_rawlen(L, 1);
  for (uint32_t i = 1; i <= n; i++) {
    pl_msg_route_entry e = {0};
    if (lua_rawgeti(L, 1, i) == LUA_TSTRING) {
      memcpy(e.id.bytes, lua_tostring(L, -1), sizeof e.id.bytes);
      pl_msg_route_id_encode(&entries, &e.id);
    } else {
      read_table(L, lua_gettop(L), &e, entry);
      pl_msg_route_entry_encode(&entries, &e);
    }
    lua_pop(L, 1);
  }
  pl_bytes all = n > 0 ? pl_bytes_of(pl_buf_data(&entries), pl_buf_len(&entries)) : (pl_bytes){0};
  pl_err err = pl_msg_route_wrap(&out, all, n);
  pl_buf_fini(&entries);
  return testing_push_encoded(L, err, &out);
}

// walk_digest(bytes) -> list of entries; nil, error
static int message_walk_digest(lua_State *L) {
  pl_bytes digest = testing_check_bytes(L, 1);
  pl_msg_route_entry found;
  size_t at = 0;
  int got = 0;
  lua_newtable(L);
  for (lua_Integer i = 1; (got = pl_msg_route_next_entry(digest, &at, &found)) > 0; i++) {
    push_table(L, &found, entry);
    lua_rawseti(L, -2, i);
  }
  return got < 0 ? testing_push_error(L, got) : 1;
}

// exclude{id, ...} -> the raw array of a CALL
static int message_exclude(lua_State *L) {
  pl_id ids[PL_EXCLUDE_MAX];
  uint8_t room[PL_MSG_EXCLUDE_ROOM];
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Unsigned n = lua_rawlen(L, 1);
  luaL_argcheck(L, n <= PL_EXCLUDE_MAX, 1, "too many");
  for (lua_Unsigned i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    memcpy(ids[i].bytes, luaL_checkstring(L, -1), sizeof ids[i].bytes);
    lua_pop(L, 1);
  }
  uint8_t *end = pl_msg_exclude_put(room, ids, (uint32_t)n);
  lua_pushlstring(L, (const char *)room, (size_t)(end - room));
  return 1;
}

// read_exclude(raw) -> list of ids; nil, error
static int message_read_exclude(lua_State *L) {
  pl_id ids[PL_EXCLUDE_MAX];
  ptrdiff_t n = pl_msg_exclude_read(ids, testing_check_bytes(L, 1));
  if (n < 0) return testing_push_error(L, (int)n);
  lua_createtable(L, (int)n, 0);
  for (ptrdiff_t i = 0; i < n; i++) {
    lua_pushlstring(L, (const char *)ids[i].bytes, sizeof ids[i].bytes);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

// blind(body of an ERROR) -> the same without tracebacks; nil, error
static int message_blind(lua_State *L) {
  pl_failure f;
  pl_err err = pl_msg_error_decode(&f, testing_check_bytes(L, 1));
  if (err != PL_OK) return testing_push_error(L, err);
  pl_buf room = {0}, out = {0};
  pl_msg_error_blind(&f, &room);
  err = pl_msg_error_encode(&out, &f);
  pl_buf_fini(&room);
  return testing_push_encoded(L, err, &out);
}

void testing_push_message(lua_State *L) {
  static const luaL_Reg functions[] = {{"encode", message_encode},
                                       {"usual_call", message_usual_call},
                                       {"decode", message_decode},
                                       {"items", message_items},
                                       {"walk", message_walk},
                                       {"digest", message_digest},
                                       {"walk_digest", message_walk_digest},
                                       {"exclude", message_exclude},
                                       {"read_exclude", message_read_exclude},
                                       {"blind", message_blind},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
}
