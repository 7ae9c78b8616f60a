// The pure machines: handshake with its keys, heartbeat, and the log of refusals.

#include <string.h>

#include "peer/heartbeat.h"
#include "peer/hello.h"
#include "peer/refusals.h"
#include "spec/support/testing_base.h"
#include "spec/support/testing_peer.h"

#define HELLO "perilune.testing.Hello"
#define HEARTBEAT "perilune.testing.Heartbeat"
#define REFUSALS "perilune.testing.Refusals"

typedef struct hello {
  pl_hello hello;
  pl_identity self;
} hello;

static const char *const states[] = {
    [PL_HELLO_IDLE] = "idle",         [PL_HELLO_PREAMBLE] = "preamble",
    [PL_HELLO_GREETING] = "greeting", [PL_HELLO_PROVING] = "proving",
    [PL_HELLO_DECIDING] = "deciding", [PL_HELLO_EXPECTED] = "expected",
    [PL_HELLO_ACCEPTED] = "accepted", [PL_HELLO_READY] = "ready",
    [PL_HELLO_FAILED] = "failed",
};

static const char *const steps[] = {
    [PL_HELLO_STEP_MORE] = "more",     [PL_HELLO_STEP_NEXT] = "next",
    [PL_HELLO_STEP_ASK] = "ask",       [PL_HELLO_STEP_UP] = "up",
    [PL_HELLO_STEP_RESUME] = "resume", [PL_HELLO_STEP_LEFT] = "left",
    [PL_HELLO_STEP_BROKEN] = "broken",
};

static void push_out(lua_State *L, pl_buf *out) {
  lua_pushlstring(L, (const char *)pl_buf_data(out), pl_buf_len(out));
  pl_buf_fini(out);
}

// peer.hello(identity, dialler [, nonce]) -> machine, bytes to send
static int hello_new(lua_State *L) {
  pl_id nonce = {{(uint8_t)luaL_optinteger(L, 3, 7)}};
  hello *h = lua_newuserdatauv(L, sizeof *h, 0);
  memset(h, 0, sizeof *h);
  luaL_setmetatable(L, HELLO);
  testing_check_identity(L, 1, &h->self);
  pl_buf out = {0};
  pl_hello_start(&h->hello, &h->self, lua_toboolean(L, 2), &nonce, NULL, 0, &out);
  push_out(L, &out);
  return 2;
}

// hello:feed(bytes) -> {step, used, out, hello | goodbye | err and detail}
static int hello_feed(lua_State *L) {
  hello *h = luaL_checkudata(L, 1, HELLO);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  pl_buf out = {0};
  pl_hello_event e = pl_hello_feed(&h->hello, pl_bytes_of(text, len), &out);
  lua_newtable(L);
  lua_pushstring(L, steps[e.step]);
  lua_setfield(L, -2, "step");
  lua_pushinteger(L, (lua_Integer)e.used);
  lua_setfield(L, -2, "used");
  push_out(L, &out);
  lua_setfield(L, -2, "out");
  if (e.step == PL_HELLO_STEP_ASK) {
    testing_push_hello(L, &e.msg.hello);
    lua_setfield(L, -2, "hello");
  } else if (e.step == PL_HELLO_STEP_LEFT) {
    testing_push_goodbye(L, &e.msg.goodbye);
    lua_setfield(L, -2, "goodbye");
  } else if (e.step == PL_HELLO_STEP_BROKEN) {
    testing_push_err(L, e.err);
    lua_setfield(L, -2, "err");
    lua_pushstring(L, h->hello.detail);
    lua_setfield(L, -2, "detail");
    lua_pushstring(L, h->hello.reason);
    lua_setfield(L, -2, "reason");
  }
  return 1;
}

// hello:accept() -> bytes to send, whether it is up
static int hello_accept(lua_State *L) {
  hello *h = luaL_checkudata(L, 1, HELLO);
  bool up;
  pl_buf out = {0};
  pl_hello_accept(&h->hello, &up, &out);
  push_out(L, &out);
  lua_pushboolean(L, up);
  return 2;
}

static int hello_fail(lua_State *L) {
  hello *h = luaL_checkudata(L, 1, HELLO);
  pl_hello_fail(&h->hello);
  return 0;
}

static int hello_state(lua_State *L) {
  hello *h = luaL_checkudata(L, 1, HELLO);
  lua_pushstring(L, states[h->hello.state]);
  lua_pushboolean(L, h->hello.understood);
  return 2;
}

// hello:identity() -> what it was authenticated by, as bytes; "" for nothing
static int hello_identity(lua_State *L) {
  const hello *h = luaL_checkudata(L, 1, HELLO);
  const pl_auth_method *m = h->hello.method;
  lua_pushlstring(L, m != NULL ? (const char *)m->identity.data : "",
                  m != NULL ? m->identity.len : 0);
  return 1;
}

static int hello_free(lua_State *L) {
  hello *h = luaL_checkudata(L, 1, HELLO);
  if (h->hello.state != PL_HELLO_READY) pl_hello_fail(&h->hello);
  return 0;
}

static uint64_t check_us(lua_State *L, int arg) {
  return (uint64_t)luaL_checkinteger(L, arg);
}

// peer.heartbeat(interval_us, misses, now_us)
static int heartbeat_new(lua_State *L) {
  pl_heartbeat *h = lua_newuserdatauv(L, sizeof *h, 0);
  pl_heartbeat_start(h, check_us(L, 1), (unsigned)luaL_checkinteger(L, 2), check_us(L, 3));
  luaL_setmetatable(L, HEARTBEAT);
  return 1;
}

static int heartbeat_heard(lua_State *L) {
  pl_heartbeat_heard(luaL_checkudata(L, 1, HEARTBEAT), check_us(L, 2));
  return 0;
}

// heartbeat:tick(now_us) -> decision, when the next is due
static int heartbeat_tick(lua_State *L) {
  static const char *const names[] = {
      [PL_HEARTBEAT_WAIT] = "wait",
      [PL_HEARTBEAT_PING] = "ping",
      [PL_HEARTBEAT_MISSED] = "missed",
      [PL_HEARTBEAT_LOST] = "lost",
  };
  pl_heartbeat *h = luaL_checkudata(L, 1, HEARTBEAT);
  lua_pushstring(L, names[pl_heartbeat_tick(h, check_us(L, 2))]);
  lua_pushinteger(L, (lua_Integer)h->due_us);
  return 2;
}

static int heartbeat_due(lua_State *L) {
  const pl_heartbeat *h = luaL_checkudata(L, 1, HEARTBEAT);
  lua_pushinteger(L, (lua_Integer)h->due_us);
  return 1;
}

// heartbeat:measured(rtt_us) -> the smoothed one
static int heartbeat_measured(lua_State *L) {
  pl_heartbeat *h = luaL_checkudata(L, 1, HEARTBEAT);
  pl_heartbeat_measured(h, check_us(L, 2));
  lua_pushinteger(L, (lua_Integer)h->rtt_us);
  return 1;
}

static int nothing_to_free(lua_State *L) {
  (void)L;
  return 0;
}

// peer.parse_keys(text) -> how many keys; or nil, why
static int parse_keys(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len), *why;
  pl_psk keys = {0};
  if (pl_psk_parse(&keys, pl_bytes_of(text, len), &why) != PL_OK) {
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
  }
  lua_pushinteger(L, (lua_Integer)keys.count);
  return 1;
}

// peer.refusals()
static int refusals_new(lua_State *L) {
  pl_refusals **r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = pl_refusals_new();
  luaL_setmetatable(L, REFUSALS);
  return 1;
}

// refusals:note(from, seconds) -> times, from
static int refusals_note(lua_State *L) {
  pl_refusals **r = luaL_checkudata(L, 1, REFUSALS);
  const char *from = luaL_checkstring(L, 2);
  uint64_t now_us = (uint64_t)(luaL_checknumber(L, 3) * 1e6);
  lua_pushinteger(L, (lua_Integer)pl_refusals_note(*r, &from, now_us));
  lua_pushstring(L, from);
  return 2;
}

static int refusals_free(lua_State *L) {
  pl_refusals **r = luaL_checkudata(L, 1, REFUSALS);
  pl_refusals_free(*r);
  return 0;
}

void testing_add_handshake(lua_State *L) {
  static const luaL_Reg hello_methods[] = {
      {"feed", hello_feed},   {"accept", hello_accept},     {"fail", hello_fail},
      {"state", hello_state}, {"identity", hello_identity}, {NULL, NULL},
  };
  static const luaL_Reg heartbeat_methods[] = {
      {"heard", heartbeat_heard},
      {"tick", heartbeat_tick},
      {"due", heartbeat_due},
      {"measured", heartbeat_measured},
      {NULL, NULL},
  };
  static const luaL_Reg refusals_methods[] = {{"note", refusals_note}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"hello", hello_new},
      {"heartbeat", heartbeat_new},
      {"parse_keys", parse_keys},
      {"refusals", refusals_new},
      {NULL, NULL},
  };
  testing_new_class(L, REFUSALS, refusals_methods, refusals_free);
  testing_new_class(L, HELLO, hello_methods, hello_free);
  testing_new_class(L, HEARTBEAT, heartbeat_methods, nothing_to_free);
  luaL_setfuncs(L, functions, 0);
}
