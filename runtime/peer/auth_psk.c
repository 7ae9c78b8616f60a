#include "peer/auth_psk.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "peer/auth.h"
#include "wire/msgpack.h"

enum { MAC = 32, FACTS_MAX = 512 };

// Keys.

static bool is_blank(uint8_t c) {
  return c == ' ' || c == '\t' || c == '\r';
}

static pl_bytes trim(pl_bytes line) {
  while (line.len > 0 && is_blank(line.data[0]))
    line.data++, line.len--;
  while (line.len > 0 && is_blank(line.data[line.len - 1]))
    line.len--;
  return line;
}

static const char *check_key(pl_bytes line) {
  if (line.len < PL_PSK_MIN) return "a key has at least 16 bytes";
  if (line.len > PL_PSK_MAX) return "a key has at most 256 bytes";
  for (size_t i = 0; i < line.len; i++) {
    if (line.data[i] < 0x20 || line.data[i] == 0x7f) return "a key is a line of text";
  }
  return NULL;
}

static const char *parse(pl_psk *k, pl_bytes text) {
  while (text.len > 0) {
    const uint8_t *end = memchr(text.data, '\n', text.len);
    size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
    pl_bytes line = trim(pl_bytes_of(text.data, len));
    size_t used = end != NULL ? len + 1 : len;
    text.data += used;
    text.len -= used;
    if (line.len == 0) continue;
    const char *why = check_key(line);
    if (why != NULL) return why;
    if (k->count == PL_PSK_KEYS) return "more than two keys";
    pl_psk_key *key = &k->keys[k->count++];
    key->len = line.len;
    memcpy(key->bytes, line.data, line.len);
  }
  return k->count == 0 ? "no key in it" : NULL;
}

pl_err pl_psk_parse(pl_psk *out, pl_bytes text, const char **why) {
  pl_psk keys = {0};
  *why = parse(&keys, text);
  if (*why == NULL) *out = keys;
  pl_psk_wipe(&keys);
  return *why == NULL ? PL_OK : PL_INVALID;
}

void pl_psk_wipe(pl_psk *k) {
  OPENSSL_cleanse(k, sizeof *k);
}

bool pl_psk_equal(const pl_psk *a, const pl_psk *b) {
  return CRYPTO_memcmp(a, b, sizeof *a) == 0;  // what is not used of a key is zero
}

// Proofs.

static uint8_t *put_field(uint8_t *p, const void *data, size_t len) {
  p = pl_put_be32(p, (uint32_t)len);
  memcpy(p, data, len);
  return p + len;
}

static uint8_t *put_epoch(uint8_t *p, uint64_t epoch) {
  uint8_t bytes[8];
  pl_put_be64(bytes, epoch);
  return put_field(p, bytes, sizeof bytes);
}

// What a proof is about, each field behind its length, so that none can be read as a part of
// another.
static size_t put_facts(uint8_t out[FACTS_MAX], const char *role, const pl_auth_facts *f) {
  static const char label[] = "perilune-psk-1";
  const pl_auth_side *d = &f->dialler, *o = &f->other;
  uint8_t *p = put_field(out, label, sizeof label - 1);
  p = put_field(p, role, strlen(role));
  p = put_field(p, d->id.bytes, sizeof d->id.bytes);
  p = put_field(p, o->id.bytes, sizeof o->id.bytes);
  p = put_epoch(p, d->epoch);
  p = put_epoch(p, o->epoch);
  p = put_field(p, d->nonce.bytes, sizeof d->nonce.bytes);
  p = put_field(p, o->nonce.bytes, sizeof o->nonce.bytes);
  p = put_field(p, d->said, sizeof d->said);
  p = put_field(p, o->said, sizeof o->said);
  p = put_field(p, f->binding, sizeof f->binding);
  return (size_t)(p - out);
}

static bool make_mac(uint8_t out[MAC], const pl_psk_key *key, const char *role,
                     const pl_auth_facts *f) {
  uint8_t facts[FACTS_MAX];
  unsigned len = MAC;
  size_t used = put_facts(facts, role, f);
  return HMAC(EVP_sha256(), key->bytes, (int)key->len, facts, used, out, &len) != NULL;
}

static const char of_dialler[] = "dialler", of_other[] = "other", of_link[] = "link";

// The key that one of the proofs was made with; NULL when it is none of ours. It takes the same
// time for all that are wrong.
static const pl_psk_key *find_key(const pl_psk *k, const char *role, const pl_auth_facts *f,
                                  pl_bytes proofs) {
  const pl_psk_key *found = NULL;
  uint8_t mac[MAC];
  for (size_t i = 0; i < k->count; i++) {
    if (!make_mac(mac, &k->keys[i], role, f)) continue;
    for (size_t at = 0; at < proofs.len; at += MAC) {
      if (CRYPTO_memcmp(mac, proofs.data + at, MAC) == 0) found = &k->keys[i];
    }
  }
  OPENSSL_cleanse(mac, sizeof mac);
  return found;
}

static pl_err put_proof(pl_buf *out, const pl_psk_key *key, const char *role,
                        const pl_auth_facts *f) {
  uint8_t *to = pl_buf_reserve(out, MAC);
  if (to == NULL || !make_mac(to, key, role, f)) return PL_NO_MEMORY;
  pl_buf_commit(out, MAC);
  return PL_OK;
}

static bool is_offered(const pl_auth *a) {
  return a->psk.count > 0;
}

// One proof with each key: which of them the other end has is not known yet.
static pl_err prove(const pl_auth *a, const pl_auth_facts *f, pl_buf *proof) {
  pl_err err = PL_OK;
  for (size_t i = 0; i < a->psk.count && err == PL_OK; i++)
    err = put_proof(proof, &a->psk.keys[i], of_dialler, f);
  return err;
}

static pl_err answer(const pl_auth *a, const pl_auth_facts *f, pl_bytes proof, pl_buf *out,
                     uint8_t link_key[MAC]) {
  if (proof.len == 0 || proof.len % MAC != 0 || proof.len > PL_PSK_KEYS * MAC) return PL_PROTOCOL;
  const pl_psk_key *key = find_key(&a->psk, of_dialler, f, proof);
  if (key == NULL) return PL_UNAUTHORIZED;
  pl_err err = put_proof(out, key, of_other, f);
  if (err != PL_OK) return err;
  return make_mac(link_key, key, of_link, f) ? PL_OK : PL_NO_MEMORY;
}

static pl_err check(const pl_auth *a, const pl_auth_facts *f, pl_bytes proof,
                    uint8_t link_key[MAC]) {
  if (proof.len != MAC) return PL_PROTOCOL;
  const pl_psk_key *key = find_key(&a->psk, of_other, f, proof);
  if (key == NULL) return PL_UNAUTHORIZED;
  return make_mac(link_key, key, of_link, f) ? PL_OK : PL_NO_MEMORY;
}

const pl_auth_method pl_auth_psk = {
    .name = "psk",
    .identity = {.data = (const uint8_t *)"\xa3psk", .len = 4},
    .refused = "the pre-shared keys differ",
    .is_offered = is_offered,
    .prove = prove,
    .answer = answer,
    .check = check,
};
