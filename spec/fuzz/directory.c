#include "service/directory.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What a node says of an action is read with any bytes, and leaves values within their bounds.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const pl_id id = {{1}};
  pl_laps laps = {0};
  pl_directory d;
  pl_directory_init(&d, &laps);
  pl_provider p;
  pl_bytes name = pl_bytes_of("action", 6);
  pl_provider_init(&p, &id, "node");
  if (pl_directory_offer(&d, &p, name, pl_bytes_of(data, size)) == PL_OK) {
    const pl_offer *o = pl_directory_own(&d, &p, name);
    assert(o->codec == 0 || o->codec == 1);
    assert(o->weight <= PL_WEIGHT_MAX);
    assert(pl_strategy_name((pl_strategy)o->strategy) != NULL);
  }
  pl_directory_withdraw_all(&d, &p);
  pl_provider_fini(&p);
  pl_directory_fini(&d);
  return 0;
}
