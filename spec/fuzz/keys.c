// The text of a key file.
#include "peer/auth_psk.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_psk none;
  pl_psk keys = {0};
  const char *why = NULL;
  if (pl_psk_parse(&keys, pl_bytes_of(data, size), &why) == PL_OK) {
    assert(keys.count > 0 && keys.count <= PL_PSK_KEYS);
    for (size_t i = 0; i < keys.count; i++) {
      assert(keys.keys[i].len >= PL_PSK_MIN && keys.keys[i].len <= PL_PSK_MAX);
      assert(memchr(keys.keys[i].bytes, '\n', keys.keys[i].len) == NULL);
    }
  } else {
    assert(why != NULL && pl_psk_equal(&keys, &none));
  }
  pl_psk_wipe(&keys);
  assert(pl_psk_equal(&keys, &none));
  return 0;
}
