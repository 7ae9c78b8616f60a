#include "peer/auth.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "wire/fields.h"
#include "wire/msgpack.h"

static const pl_auth_method *const methods[] = {&pl_auth_psk};  // best first

enum { METHODS = sizeof methods / sizeof *methods };

static const pl_auth_method *next_offered(const pl_auth *a, size_t *at) {
  while (*at < METHODS) {
    const pl_auth_method *m = methods[(*at)++];
    if (m->is_offered(a)) return m;
  }
  return NULL;
}

bool pl_auth_is_asked(const pl_auth *a) {
  size_t at = 0;
  return next_offered(a, &at) != NULL;
}

pl_bytes pl_auth_identity(const pl_auth *a) {
  size_t at = 0;
  const pl_auth_method *m = next_offered(a, &at);
  return m != NULL ? m->identity : (pl_bytes){0};
}

pl_err pl_auth_offer(const pl_auth *a, pl_buf *out) {
  enum { NAME_ROOM = 32 };
  uint32_t count = 0;
  for (size_t at = 0; next_offered(a, &at) != NULL;)
    count++;
  if (count == 0) return PL_OK;
  uint8_t *start = pl_buf_reserve(out, PL_MP_TOKEN_MAX + METHODS * NAME_ROOM), *p = start;
  if (p == NULL) return PL_NO_MEMORY;
  p = pl_mp_put_array(p, count);
  const pl_auth_method *m;
  for (size_t at = 0; (m = next_offered(a, &at)) != NULL;)
    p = pl_mp_put_str(p, m->name, (uint32_t)strlen(m->name));
  pl_buf_commit(out, (size_t)(p - start));
  return PL_OK;
}

// The next name of a list of texts; false at its end.
static bool next_name(pl_mp_reader *r, uint32_t *left, pl_bytes *name) {
  pl_mp_token t;
  if (*left == 0 || pl_mp_read(r, &t) != PL_OK) return false;
  --*left;
  return pl_wire_get_text(name, &t, SIZE_MAX);
}

static pl_mp_reader open_names(pl_bytes names, uint32_t *count) {
  *count = 0;
  if (names.len == 0) return (pl_mp_reader){0};
  pl_mp_reader r = {names.data, names.data + names.len};
  pl_mp_token t;
  if (pl_mp_read(&r, &t) == PL_OK) *count = t.len;
  return r;
}

static bool is_named(const pl_auth_method *m, pl_bytes name) {
  return strlen(m->name) == name.len && memcmp(m->name, name.data, name.len) == 0;
}

static const pl_auth_method *find_ours(const pl_auth *a, pl_bytes name) {
  const pl_auth_method *m;
  for (size_t at = 0; (m = next_offered(a, &at)) != NULL;) {
    if (is_named(m, name)) return m;
  }
  return NULL;
}

static bool is_in(const pl_auth_method *m, pl_bytes names) {
  uint32_t left;
  pl_mp_reader r = open_names(names, &left);
  for (pl_bytes name; next_name(&r, &left, &name);) {
    if (is_named(m, name)) return true;
  }
  return false;
}

static const pl_auth_method *find_common(const pl_auth *a, bool dialler, pl_bytes offered) {
  const pl_auth_method *m;
  if (dialler) {
    for (size_t at = 0; (m = next_offered(a, &at)) != NULL;) {
      if (is_in(m, offered)) return m;
    }
    return NULL;
  }
  uint32_t left;
  pl_mp_reader r = open_names(offered, &left);
  for (pl_bytes name; next_name(&r, &left, &name);) {
    m = find_ours(a, name);
    if (m != NULL) return m;
  }
  return NULL;
}

static const pl_auth_refusal
    theirs_only = {.here =
                       "the other end asks for a pre-shared key, this node has none (option psk)",
                   .there = "no pre-shared key here (option psk)"},
    ours_only = {.here = "the other end has no pre-shared key (option psk)",
                 .there = "a pre-shared key is needed (option psk)"},
    none_common = {.here = "no method of authentication in common",
                   .there = "no method of authentication in common"};

pl_err pl_auth_choose(const pl_auth_method **out, const pl_auth *a, bool dialler, pl_bytes offered,
                      pl_auth_refusal *why) {
  uint32_t theirs;
  open_names(offered, &theirs);
  bool ours = pl_auth_is_asked(a);
  const pl_auth_method *m = find_common(a, dialler, offered);
  if (m == NULL && (ours || theirs > 0)) {
    *why = !ours ? theirs_only : theirs == 0 ? ours_only : none_common;
    return PL_UNAUTHORIZED;
  }
  *out = m;
  return PL_OK;
}

bool pl_auth_digest(uint8_t out[PL_AUTH_DIGEST], const void *preamble, size_t preamble_len,
                    const void *frame, size_t frame_len) {
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool done = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(ctx, preamble, preamble_len) == 1 &&
              EVP_DigestUpdate(ctx, frame, frame_len) == 1 &&
              EVP_DigestFinal_ex(ctx, out, NULL) == 1;
  EVP_MD_CTX_free(ctx);
  return done;
}

bool pl_auth_seal(uint8_t out[PL_AUTH_DIGEST], const uint8_t key[PL_AUTH_DIGEST], bool by_dialler,
                  const void *said, size_t len) {
  enum { SAID_MAX = 64 };
  uint8_t text[SAID_MAX + 1];
  assert(len <= SAID_MAX);
  text[0] = by_dialler ? 1 : 0;
  memcpy(text + 1, said, len);
  unsigned size = PL_AUTH_DIGEST;
  return HMAC(EVP_sha256(), key, PL_AUTH_DIGEST, text, len + 1, out, &size) != NULL;
}

void pl_auth_wipe(pl_auth *a) {
  pl_psk_wipe(&a->psk);
}
