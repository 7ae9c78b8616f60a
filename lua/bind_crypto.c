// perilune.core.crypto: digests, randomness, and bytes as text.

#include <lauxlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/id.h"
#include "base/loop.h"
#include "base/random.h"
#include "lua/base64.h"
#include "lua/fileop.h"
#include "lua/modules.h"

enum {
  RANDOM_MAX = 1024 * 1024,
  DIGEST_BYTES = 32,
  KEY_MAX = 1024 * 1024,
  INLINE_BYTES = 256 * 1024,  // digested in well under a millisecond
};

// The digest of `len` bytes, keyed unless `key` is NULL. False: the library failed.
static bool digest(const void *key, size_t key_len, const void *bytes, size_t len,
                   unsigned char out[DIGEST_BYTES]) {
  unsigned size = DIGEST_BYTES;
  if (key == NULL) return EVP_Digest(bytes, len, out, &size, EVP_sha256(), NULL) == 1;
  return HMAC(EVP_sha256(), key, (int)key_len, bytes, len, out, &size) != NULL;
}

// Much work goes to a thread: `data` is the key of `count` bytes and what is digested.
static void run_digest(pl_fileop *o) {
  const uint8_t *key = pl_buf_data(&o->data);
  size_t len = pl_buf_len(&o->data) - o->count;
  unsigned char out[DIGEST_BYTES];
  if (!digest(o->flags != 0 ? key : NULL, o->count, key + o->count, len, out)) {
    o->error = UV_EIO;
    return;
  }
  pl_buf_clear(&o->data);
  pl_buf_append(&o->data, out, sizeof out);
}

static int push_digest(lua_State *L, pl_fileop *o) {
  lua_pushlstring(L, (const char *)pl_buf_data(&o->data), pl_buf_len(&o->data));
  return 1;
}

static const pl_fileop_type digest_type = {
    .op = PL_FILEOP("crypto.digest"), .verb = "digest", .run = run_digest, .push = push_digest};

static int push_digest_of(lua_State *L, const char *key, size_t key_len, const char *bytes,
                          size_t len) {
  luaL_argcheck(L, key_len <= KEY_MAX, 1, "the key is too long");
  if (len > INLINE_BYTES) {
    pl_fileop *o = pl_fileop_new(L, &digest_type, "", NULL);
    o->flags = key != NULL;
    o->count = key_len;
    if (key_len > 0) pl_fileop_copy(L, o, key, key_len);
    pl_fileop_copy(L, o, bytes, len);
    return pl_fileop_run(L, o);
  }
  unsigned char out[DIGEST_BYTES];
  if (!digest(key, key_len, bytes, len, out)) return luaL_error(L, "the digest failed");
  lua_pushlstring(L, (const char *)out, sizeof out);
  return 1;
}

// sha256(bytes) -> 32 bytes
static int crypto_sha256(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  return push_digest_of(L, NULL, 0, bytes, len);
}

#define HASHER_TYPE "perilune.Hasher"

static EVP_MD_CTX *check_hasher(lua_State *L) {
  EVP_MD_CTX **box = luaL_checkudata(L, 1, HASHER_TYPE);
  return *box;
}

// hasher() -> a SHA-256 that is given its bytes in parts
static int crypto_hasher(lua_State *L) {
  EVP_MD_CTX **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, HASHER_TYPE);
  *box = EVP_MD_CTX_new();
  if (*box == NULL || EVP_DigestInit_ex(*box, EVP_sha256(), NULL) != 1)
    return luaL_error(L, "the digest failed");
  return 1;
}

// hasher:update(bytes, from): at most INLINE_BYTES of them, from that position on -> the next one
static int hasher_update(lua_State *L) {
  EVP_MD_CTX *ctx = check_hasher(L);
  size_t len;
  const char *bytes = luaL_checklstring(L, 2, &len);
  lua_Integer from = luaL_checkinteger(L, 3);
  luaL_argcheck(L, from >= 1 && (lua_Unsigned)from <= len + 1, 3, "out of range");
  size_t at = (size_t)from - 1, size = len - at;
  if (size > INLINE_BYTES) size = INLINE_BYTES;
  if (EVP_DigestUpdate(ctx, bytes + at, size) != 1) return luaL_error(L, "the digest failed");
  lua_pushinteger(L, (lua_Integer)(at + size) + 1);
  return 1;
}

// hasher:digest() -> 32 bytes: of what it was given so far
static int hasher_digest(lua_State *L) {
  EVP_MD_CTX *ctx = check_hasher(L), *copy = EVP_MD_CTX_new();
  unsigned char out[DIGEST_BYTES];
  bool done = copy != NULL && EVP_MD_CTX_copy_ex(copy, ctx) == 1 &&
              EVP_DigestFinal_ex(copy, out, NULL) == 1;
  EVP_MD_CTX_free(copy);
  if (!done) return luaL_error(L, "the digest failed");
  lua_pushlstring(L, (const char *)out, sizeof out);
  return 1;
}

static int hasher_gc(lua_State *L) {
  EVP_MD_CTX **box = luaL_checkudata(L, 1, HASHER_TYPE);
  EVP_MD_CTX_free(*box);
  *box = NULL;
  return 0;
}

static void register_hasher(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"update", hasher_update}, {"digest", hasher_digest}, {NULL, NULL}};
  luaL_newmetatable(L, HASHER_TYPE);
  lua_pushcfunction(L, hasher_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

// hmac(key, bytes) -> 32 bytes
static int crypto_hmac(lua_State *L) {
  size_t key_len, len;
  const char *key = luaL_checklstring(L, 1, &key_len);
  const char *bytes = luaL_checklstring(L, 2, &len);
  return push_digest_of(L, key, key_len, bytes, len);
}

// equal(a, b): in a time that does not tell where they differ
static int crypto_equal(lua_State *L) {
  size_t a_len, b_len;
  const char *a = luaL_checklstring(L, 1, &a_len);
  const char *b = luaL_checklstring(L, 2, &b_len);
  lua_pushboolean(L, a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0);
  return 1;
}

// random(n) -> n bytes from the kernel
static int crypto_random(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "out of range");
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, (size_t)n);
  if (n > 0) pl_random_secret(p, (size_t)n);
  luaL_pushresultsize(&b, (size_t)n);
  return 1;
}

// Upvalue: the generator, so that ids of one VM increase.
static int crypto_uuid(lua_State *L) {
  pl_uuid_source *source = lua_touserdata(L, lua_upvalueindex(1));
  pl_id id;
  char text[PL_UUID_TEXT];
  pl_uuid_next(source, pl_wall_us() / 1000, &id);
  pl_uuid_format(&id, text);
  lua_pushstring(L, text);
  return 1;
}

static int crypto_hex(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, len * 2);
  for (size_t i = 0; i < len; i++) {
    *p++ = digits[(unsigned char)bytes[i] >> 4];
    *p++ = digits[bytes[i] & 15];
  }
  luaL_pushresultsize(&b, len * 2);
  return 1;
}

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// unhex(text) -> bytes, or nil and the position of the first bad character
static int crypto_unhex(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, len / 2 + 1);
  for (size_t i = 0; i < len; i += 2) {
    int high = digit_of(text[i]), low = i + 1 < len ? digit_of(text[i + 1]) : -1;
    if (high < 0 || low < 0) {
      lua_pushnil(L);
      lua_pushinteger(L, (lua_Integer)(high < 0 ? i : i + 1) + 1);
      return 2;
    }
    p[i / 2] = (char)(high << 4 | low);
  }
  luaL_pushresultsize(&b, len / 2);
  return 1;
}

static int crypto_base64(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  luaL_Buffer b;
  pl_base64_encode(luaL_buffinitsize(L, &b, pl_base64_len(len)), bytes, len);
  luaL_pushresultsize(&b, pl_base64_len(len));
  return 1;
}

// unbase64(text) -> bytes, or nil
static int crypto_unbase64(lua_State *L) {
  size_t len, size;
  const char *text = luaL_checklstring(L, 1, &len);
  luaL_Buffer b;
  if (!pl_base64_decode(luaL_buffinitsize(L, &b, pl_base64_max(len)), &size, text, len)) return 0;
  luaL_pushresultsize(&b, size);
  return 1;
}

static const luaL_Reg functions[] = {
    {"sha256", crypto_sha256}, {"hmac", crypto_hmac},
    {"equal", crypto_equal},   {"random", crypto_random},
    {"hex", crypto_hex},       {"unhex", crypto_unhex},
    {"base64", crypto_base64}, {"unbase64", crypto_unbase64},
    {"hasher", crypto_hasher}, {NULL, NULL},
};

int pl_open_crypto(lua_State *L) {
  register_hasher(L);
  luaL_newlib(L, functions);
  pl_uuid_source *source = lua_newuserdatauv(L, sizeof *source, 0);
  *source = (pl_uuid_source){0};
  lua_pushcclosure(L, crypto_uuid, 1);
  lua_setfield(L, -2, "uuid");
  return 1;
}
