// An address that parses formats to one that parses to the same.
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "link/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = pl_alloc(size + 1);
  memcpy(text, data, size);
  pl_url url, again;
  const char *why;
  if (pl_url_parse(&url, text, &why) == PL_OK) {
    char shown[PL_URL_MAX];
    pl_url_format(&url, shown);
    assert(pl_url_parse(&again, shown, &why) == PL_OK);
    assert(strcmp(url.host, again.host) == 0 && url.port == again.port);
  }
  pl_free(text);
  return 0;
}
