// A key that was given itself, in the environment: kept apart from what may be shown.

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"

static const char variable[] = "PERILUNE_PSK";

bool pl_key_is_path(const char *text) {
  return text[0] == '/' || strncmp(text, "./", 2) == 0;
}

void pl_options_forget_key(pl_options *o) {
  if (o->psk_key == NULL) return;
  OPENSSL_cleanse(o->psk_key, strlen(o->psk_key));
  pl_free(o->psk_key);
  o->psk_key = NULL;
}

pl_err pl_options_set_key(pl_options *o, pl_source source, const pl_option *opt, const char *key,
                          char *why) {
  pl_psk keys;
  const char *wrong;
  pl_err err = pl_psk_parse(&keys, pl_bytes_of(key, strlen(key)), &wrong);
  if (err != PL_OK) {
    snprintf(why, PL_URL_MAX, "%s: %s; the path of a key file begins with / or ./", opt->name,
             wrong);
    return err;
  }
  pl_psk_wipe(&keys);
  uint8_t *set_by = &o->source[opt - pl_option_list];
  if (*set_by > source) return PL_OK;
  pl_option_reset(o, opt);
  o->psk_key = pl_strdup(key);
  *set_by = (uint8_t)source;
  return PL_OK;
}

void pl_options_hide_key(void) {
  char *text = getenv(variable);
  if (text == NULL || pl_key_is_path(text)) return;
  OPENSSL_cleanse(text, strlen(text));  // what /proc shows is this very memory
  unsetenv(variable);
}
