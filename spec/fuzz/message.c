#include "wire/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What was decoded can be encoded, and that reads back as the same bytes.
#define CHECK(name, type)                                                      \
  static void check_##name(pl_bytes src) {                                     \
    type m, again;                                                             \
    pl_buf first = {0}, second = {0};                                          \
    if ((int)pl_msg_##name##_decode(&m, src) < 0) return;                      \
    assert(pl_msg_##name##_encode(&first, &m) == PL_OK);                       \
    pl_bytes bytes = pl_bytes_of(pl_buf_data(&first), pl_buf_len(&first));     \
    assert((int)pl_msg_##name##_decode(&again, bytes) >= 0);                   \
    assert(pl_msg_##name##_encode(&second, &again) == PL_OK);                  \
    assert(pl_buf_len(&first) == pl_buf_len(&second));                         \
    assert(memcmp(bytes.data, pl_buf_data(&second), pl_buf_len(&first)) == 0); \
    pl_buf_fini(&first);                                                       \
    pl_buf_fini(&second);                                                      \
  }

CHECK(hello, pl_msg_hello)
CHECK(ready, pl_msg_ready)
CHECK(resume, pl_msg_resume)
CHECK(goodbye, pl_msg_goodbye)
CHECK(retire, pl_msg_retire)
CHECK(advert, pl_msg_advert)
CHECK(route, pl_msg_route)
CHECK(call, pl_msg_call)
CHECK(credit, pl_msg_credit)
CHECK(cancel, pl_msg_cancel)
CHECK(path_lost, pl_msg_path_lost)
CHECK(error, pl_failure)
CHECK(reference, pl_reference)

// Without its tracebacks it is an error still.
static void check_blind(pl_bytes src) {
  pl_failure f, again;
  pl_buf room = {0}, out = {0};
  if (pl_msg_error_decode(&f, src) != PL_OK) return;
  size_t had = f.cause.len;
  pl_msg_error_blind(&f, &room);
  assert(f.traceback.len == 0 && f.cause.len <= had && (f.cause.len > 0) == (had > 0));
  assert(pl_msg_error_encode(&out, &f) == PL_OK);
  assert(pl_msg_error_decode(&again, pl_bytes_of(pl_buf_data(&out), pl_buf_len(&out))) == PL_OK);
  pl_buf_fini(&room);
  pl_buf_fini(&out);
}

// The marks of a call are as many as it says, and one more with that of a call within it.
static void check_marks(pl_bytes src) {
  pl_msg_call m;
  if (pl_msg_call_decode(&m, src) < 0) return;
  uint32_t count = pl_msg_ancestors_count(m.ancestors);
  uint8_t *line = malloc(m.ancestors.len + 5 + 9);
  assert(line != NULL);
  const uint8_t *end = pl_msg_ancestors_put(line, m.ancestors, UINT64_MAX);
  pl_bytes all = pl_bytes_of(line, (size_t)(end - line));
  uint64_t mark = 0;
  for (size_t at = 0; pl_msg_ancestors_next(m.ancestors, &at, &mark); count--) {
  }
  assert(count == 0);
  count = pl_msg_ancestors_count(all);
  for (size_t at = 0; pl_msg_ancestors_next(all, &at, &mark); count--) {
  }
  assert(count == 0 && mark == UINT64_MAX);
  free(line);
}

// The same for items, also of an advert that was never checked.
static void check_items(pl_bytes src) {
  pl_msg_advert m = {.items = src};
  pl_msg_advert_item item;
  pl_buf items = {0}, wrapped = {0};
  size_t at = 0;
  uint32_t count = 0;
  int got;
  for (; (got = pl_msg_advert_next(&m, &at, &item)) > 0; count++) {
    assert(at <= src.len);
    assert(pl_msg_advert_item_encode(&items, &item) == PL_OK);
  }
  if (got == 0 && count > 0) {
    pl_bytes all = pl_bytes_of(pl_buf_data(&items), pl_buf_len(&items));
    assert(pl_msg_advert_items_wrap(&wrapped, all, count) == PL_OK);
    m.items = pl_bytes_of(pl_buf_data(&wrapped), pl_buf_len(&wrapped));
    for (at = 0; pl_msg_advert_next(&m, &at, &item) > 0; count--) {
    }
    assert(count == 0 && at == m.items.len);
  }
  pl_buf_fini(&items);
  pl_buf_fini(&wrapped);
}

// Key 22 of a call, also of one that was never checked.
static void check_exclude(pl_bytes src) {
  pl_id ids[PL_EXCLUDE_MAX], again[PL_EXCLUDE_MAX];
  uint8_t room[PL_MSG_EXCLUDE_ROOM];
  ptrdiff_t n = pl_msg_exclude_read(ids, src);
  assert(n <= PL_EXCLUDE_MAX);
  if (n < 0) return;
  size_t len = (size_t)(pl_msg_exclude_put(room, ids, (uint32_t)n) - room);
  assert(len <= sizeof room);
  assert(pl_msg_exclude_read(again, pl_bytes_of(room, len)) == n);
  assert(memcmp(ids, again, (size_t)n * sizeof *ids) == 0);
}

// The first byte chooses the message.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static void (*const checks[])(pl_bytes) = {
      check_hello, check_goodbye,   check_advert, check_call,   check_credit,    check_cancel,
      check_error, check_path_lost, check_items,  check_ready,  check_resume,    check_route,
      check_marks, check_exclude,   check_blind,  check_retire, check_reference,
  };
  if (size == 0) return 0;
  checks[data[0] % (sizeof checks / sizeof *checks)](pl_bytes_of(data + 1, size - 1));
  return 0;
}
