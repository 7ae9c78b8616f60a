// What a script in a sandbox may be given.

#include <string.h>

#include "node/node_impl.h"

static const struct {
  const char *name;
  unsigned bits;
} capabilities[] = {
#define X(name, upper, implied) {#name, PL_CAN_##upper | (implied)},
    PL_CAPABILITIES(X)
#undef X
};

unsigned pl_capability_find(const char *name, size_t len) {
  for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
    const char *known = capabilities[i].name;
    if (strlen(known) == len && memcmp(known, name, len) == 0) return capabilities[i].bits;
  }
  return 0;
}

const char *pl_capability_name(unsigned capability) {
  for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++) {
    if (capabilities[i].bits & capability) return capabilities[i].name;
  }
  return "";
}

bool pl_options_sandbox(const pl_options *o, unsigned *allowed) {
  *allowed = 0;
  for (size_t i = 0; i < o->allow.count; i++)
    *allowed |= pl_capability_find(o->allow.items[i], strlen(o->allow.items[i]));
  return o->sandbox || pl_option_is_given(o, "allow");
}
