// The file of a store, and the canonical form of the values in it: what was read is written and
// read the same again.
#include "wire/store_file.h"

#include <assert.h>
#include <string.h>

#include "wire/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const pl_store_time time = {1000, 2000};

// The sum at the end is made right, or nothing would be looked at but that.
static void repair(pl_buf *file) {
  if (pl_buf_len(file) < 8) return;
  uint64_t sum = 0xcbf29ce484222325;
  uint8_t *end = file->data + file->end - 8;
  for (const uint8_t *at = pl_buf_data(file); at < end; at++)
    sum = (sum ^ *at) * 0x100000001b3;
  for (int i = 0; i < 8; i++)
    end[i] = (uint8_t)(sum >> (56 - 8 * i));
}

static void check_value(const pl_item *i) {
  pl_buf once = {0}, twice = {0};
  if (pl_mp_canonical(&once, pl_bytes_of(pl_item_value(i), i->len)) == PL_OK) {
    pl_bytes form = pl_bytes_of(pl_buf_data(&once), pl_buf_len(&once));
    pl_err err = pl_mp_canonical(&twice, form);
    assert(err == PL_OK && pl_buf_len(&twice) == form.len);
    assert(memcmp(pl_buf_data(&twice), form.data, form.len) == 0);
  }
  pl_buf_fini(&once);
  pl_buf_fini(&twice);
}

static void check_again(pl_store *s) {
  pl_items all;
  pl_buf file = {0};
  const char *why;
  bool ok = pl_store_snapshot(s, time.now_us, &all) && pl_store_encode(&file, &all, time);
  assert(ok);
  pl_store *again = pl_store_new(0);
  pl_bytes bytes = pl_bytes_of(pl_buf_data(&file), pl_buf_len(&file));
  pl_err err = pl_store_decode(again, bytes, time, &why);
  assert(err == PL_OK && pl_store_usage(again).bytes == pl_store_usage(s).bytes);
  for (size_t k = 0; k < all.count; k++)
    check_value(all.items[k]);
  pl_items_drop(&all);
  pl_buf_fini(&file);
  pl_store_drop(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pl_buf file = {0};
  pl_buf_append(&file, data, size);
  repair(&file);
  enum { LIMIT = 1 << 16 };
  pl_store *s = pl_store_new(LIMIT);
  const char *why = NULL;
  pl_bytes bytes = pl_bytes_of(pl_buf_data(&file), size);
  if (pl_store_decode(s, bytes, time, &why) == PL_OK) {
    assert(pl_store_usage(s).bytes <= LIMIT);
    check_again(s);
  } else {
    assert(why != NULL && pl_store_usage(s).keys == 0);
  }
  pl_store_drop(s);
  pl_buf_fini(&file);
  return 0;
}
