#include "peer/resume.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

static const char purpose[] = "perilune resume";

enum { ID = sizeof(pl_id), SAID = sizeof purpose + 1 + 3 * ID + 8 };

static uint8_t *put(uint8_t *p, const void *data, size_t len) {
  memcpy(p, data, len);
  return p + len;
}

bool pl_resume_prove(const pl_resume *r, const pl_resume_claim *c, uint8_t proof[PL_RESUME_PROOF]) {
  uint8_t key[2 * ID], said[SAID];
  put(put(key, &r->dialler_secret, ID), &r->other_secret, ID);
  uint8_t *p = put(said, purpose, sizeof purpose);
  *p++ = c->by_dialler ? 1 : 0;
  p = put(p, &c->dialler_nonce, ID);
  p = put(p, &c->other_nonce, ID);
  p = put(p, &r->session, ID);
  for (int shift = 56; shift >= 0; shift -= 8)
    *p++ = (uint8_t)(c->position >> shift);
  unsigned len = PL_RESUME_PROOF;
  bool ok = HMAC(EVP_sha256(), key, sizeof key, said, sizeof said, proof, &len) != NULL;
  OPENSSL_cleanse(key, sizeof key);
  return ok;
}

bool pl_resume_check(const pl_resume *r, const pl_resume_claim *c,
                     const uint8_t proof[PL_RESUME_PROOF]) {
  uint8_t right[PL_RESUME_PROOF];
  return pl_resume_prove(r, c, right) && CRYPTO_memcmp(right, proof, sizeof right) == 0;
}
