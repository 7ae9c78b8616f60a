#include "service/intake.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "wire/message.h"

// The body of one DATA frame: whole items, each behind its length. An item that came in fragments
// is alone in one, without a length.
typedef struct parcel {
  pl_list node;
  pl_bytes bytes;  // kept
  size_t size;
  size_t at;  // consumed
  bool lone;
  bool borrows;  // refers to the slab of a read
} parcel;

enum { PARCEL_COST = sizeof(parcel) + sizeof(pl_slice) };

void pl_intake_init(pl_intake *in, pl_windows *all, uint64_t *held, uint64_t items, uint64_t bytes,
                    size_t item_max, uint64_t now_us) {
  *in = (pl_intake){.open_items = items, .open_bytes = bytes, .item_max = item_max, .held = held};
  pl_window_init(&in->window, all, items, bytes, now_us);
  pl_list_init(&in->frames);
}

// Tells the node what this holds now.
static void count(pl_intake *in) {
  size_t now = in->parcels + in->partial.cap;
  if (in->held == NULL || now == in->counted) return;
  *in->held += now;
  *in->held -= in->counted;
  in->counted = now;
}

static void parcel_free(pl_intake *in, parcel *p) {
  in->parcels -= PARCEL_COST + p->size;
  pl_bytes_drop(&p->bytes);
  pl_free(p);
}

void pl_intake_drop(pl_intake *in) {
  for (pl_list *n; (n = pl_list_pop(&in->frames)) != NULL;)
    parcel_free(in, pl_container(n, parcel, node));
  pl_slice_drop(in->taken);
  in->taken = NULL;
  in->items = 0;
  in->held_bytes = 0;
  pl_buf_fini(&in->partial);
  in->partial_type = 0;
  count(in);
}

void pl_intake_fini(pl_intake *in) {
  pl_window_fini(&in->window);
  pl_intake_drop(in);
}

static pl_err spend(pl_intake *in, uint64_t items, uint64_t bytes, uint64_t now_us) {
  if (items > in->open_items || bytes > in->open_bytes) return PL_PROTOCOL;
  in->open_items -= items;
  in->open_bytes -= bytes;
  in->came_items += items;
  in->came_bytes += bytes;
  pl_window_arrived(&in->window, items, bytes, in->items == 0, now_us);
  return PL_OK;
}

// Every item must lie whole inside the body, and there must be as many as the header says.
static pl_err check_items(const pl_frame *f) {
  size_t at = 0;
  unsigned items = 0;
  while (at < f->body.len) {
    uint32_t len;
    pl_bytes rest = pl_bytes_of(f->body.data + at, f->body.len - at);
    int n = pl_item_get_len(rest, &len);
    if (n <= 0 || len > rest.len - (size_t)n) return PL_PROTOCOL;
    at += (size_t)n + len;
    items++;
  }
  return items == f->aux && items > 0 ? PL_OK : PL_PROTOCOL;
}

static pl_err store(pl_intake *in, pl_bytes bytes, bool expected, const parcel *proto) {
  parcel *p = pl_new(parcel);
  *p = *proto;
  pl_bytes view = bytes;
  if (!expected) view.owner = NULL;  // copied: must not pin the slab until it is consumed
  if (!pl_bytes_keep(&p->bytes, view)) {
    pl_free(p);
    return PL_NO_MEMORY;
  }
  p->size = bytes.len;
  in->parcels += PARCEL_COST + p->size;
  p->borrows = view.owner != NULL && !proto->lone;
  in->borrows |= p->borrows;
  pl_list_push(&in->frames, &p->node);
  return PL_OK;
}

static pl_err take_items(pl_intake *in, const pl_frame *f, bool expected, uint64_t now_us,
                         pl_intake_event *event) {
  pl_err err = check_items(f);
  if (err == PL_OK) err = spend(in, f->aux, f->body.len, now_us);
  if (err == PL_OK) err = store(in, f->body, expected, &(parcel){0});
  if (err != PL_OK) return err;
  in->items += f->aux;
  in->held_bytes += f->body.len;
  *event = PL_INTAKE_ITEMS;
  return PL_OK;
}

// A body has room around it for whoever takes over its memory: in front for his own head, such that
// a string that is all of the body, behind the head of an array and its own, begins at half a
// multiple of 16 bytes; behind it for a NUL.
enum { FRONT = 40, BEHIND = 1 };

static size_t front_of(size_t total) {
  return FRONT - (total > UINT16_MAX ? 6 : 4);
}

// Moves what has come to where there is room for `n` bytes.
static bool make_room(pl_intake *in, size_t n, size_t total) {
  size_t front = front_of(total), len = pl_buf_len(&in->partial);
  pl_slice *s = pl_slice_new(front + n + BEHIND);
  if (s == NULL) return false;
  if (len > 0) memcpy(s->data + front, pl_buf_data(&in->partial), len);
  pl_buf_fini(&in->partial);
  in->partial = (pl_buf){.data = s->data, .start = front, .end = front + len, .cap = s->cap};
  return true;
}

// Adds to the partial body. An announced length is believed as far as a multiple of what has come,
// so that a body is rarely moved and a stranger reserves little that he does not fill.
static bool gather(pl_intake *in, size_t total, pl_bytes part) {
  enum { TRUST = 8 };
  size_t have = pl_buf_len(&in->partial) + part.len;
  if (in->partial.cap - in->partial.end < part.len + BEHIND) {
    size_t room = have < total / TRUST ? have * TRUST : total;
    if (!make_room(in, room, total)) return false;
  }
  return pl_buf_append(&in->partial, part.data, part.len);
}

// The first frame of a body that goes on. `total` is the length of the whole.
static pl_err begin(pl_intake *in, uint8_t type, uint64_t total, pl_bytes first) {
  if (total > in->item_max) return PL_TOO_LARGE;
  if (first.len >= total) return PL_PROTOCOL;
  if (!gather(in, total, first)) return PL_NO_MEMORY;
  in->partial_type = type;
  in->partial_len = (uint32_t)total;
  return PL_OK;
}

static pl_err begin_item(pl_intake *in, const pl_frame *f, uint64_t now_us) {
  uint32_t total;
  int n = pl_item_get_len(f->body, &total);
  if (n <= 0 || f->aux != 0) return PL_PROTOCOL;
  pl_err err = spend(in, 0, f->body.len, now_us);
  if (err != PL_OK) return err;
  return begin(in, PL_FRAME_DATA, total, pl_bytes_of(f->body.data + n, f->body.len - (size_t)n));
}

static pl_err begin_result(pl_intake *in, const pl_frame *f) {
  if (f->body.len < 4) return PL_PROTOCOL;
  const uint8_t *p = f->body.data;
  uint32_t total = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
  return begin(in, PL_FRAME_RESULT, total, pl_bytes_of(p + 4, f->body.len - 4));
}

// The partial body is whole: hands its memory over.
static pl_err complete(pl_intake *in, pl_intake_event *event, uint8_t *type, pl_bytes *body) {
  pl_bytes whole = pl_buf_take(&in->partial);
  uint8_t what = in->partial_type;
  in->partial_type = 0;
  if (what != PL_FRAME_DATA) {
    *body = whole;
    *type = what;
    *event = PL_INTAKE_BODY;
    return PL_OK;
  }
  size_t len = whole.len;
  pl_err err = store(in, whole, true, &(parcel){.lone = true});
  pl_bytes_drop(&whole);
  if (err != PL_OK) return err;
  in->items++;
  in->held_bytes += len;
  *event = PL_INTAKE_ITEMS;
  return PL_OK;
}

static pl_err take_body(pl_intake *in, const pl_frame *f, uint64_t now_us, pl_intake_event *event,
                        uint8_t *type, pl_bytes *body) {
  if (in->partial_type == 0) return PL_PROTOCOL;
  bool last = (f->flags & PL_FLAG_MORE) == 0;
  bool ends_item = last && in->partial_type == PL_FRAME_DATA;
  size_t have = pl_buf_len(&in->partial) + f->body.len;
  if (have > in->partial_len || last != (have == in->partial_len)) return PL_PROTOCOL;
  if (f->aux != (ends_item ? 1 : 0)) return PL_PROTOCOL;
  pl_err err = spend(in, ends_item ? 1 : 0, f->body.len, now_us);
  if (err != PL_OK) return err;
  if (!gather(in, in->partial_len, f->body)) return PL_NO_MEMORY;
  return last ? complete(in, event, type, body) : PL_OK;
}

static pl_err take_frame(pl_intake *in, const pl_frame *f, uint64_t total, bool expected,
                         uint64_t now_us, pl_intake_event *event, uint8_t *type, pl_bytes *body) {
  *event = PL_INTAKE_NOTHING;
  if (f->type == PL_FRAME_BODY) return take_body(in, f, now_us, event, type, body);
  if (in->partial_type != 0) return PL_PROTOCOL;
  if (f->flags & PL_FLAG_MORE) {
    if (f->type == PL_FRAME_DATA) return begin_item(in, f, now_us);
    if (f->type == PL_FRAME_RESULT) return begin_result(in, f);
    return begin(in, f->type, total, f->body);
  }
  if (f->type == PL_FRAME_DATA) return take_items(in, f, expected, now_us, event);
  if (f->body.len > in->item_max) return PL_TOO_LARGE;
  if (!pl_bytes_keep(body, f->body)) return PL_NO_MEMORY;
  *type = f->type;
  *event = PL_INTAKE_BODY;
  return PL_OK;
}

pl_err pl_intake_frame(pl_intake *in, const pl_frame *f, uint64_t total, bool expected,
                       uint64_t now_us, pl_intake_event *event, uint8_t *type, pl_bytes *body) {
  pl_err err = take_frame(in, f, total, expected, now_us, event, type, body);
  count(in);
  return err;
}

bool pl_intake_settle(pl_intake *in) {
  if (!in->borrows) return true;
  in->borrows = false;
  for (pl_list *n = in->frames.next; n != &in->frames; n = n->next) {
    parcel *p = pl_container(n, parcel, node);
    if (!p->borrows) continue;
    pl_slice *copy = pl_slice_copy(p->bytes.data + p->at, p->bytes.len - p->at);
    if (copy == NULL) return false;
    pl_bytes_drop(&p->bytes);
    p->bytes = (pl_bytes){.data = copy->data, .len = copy->len, .owner = copy};
    p->at = 0;
    p->borrows = false;
  }
  return true;
}

// Holds on to the bytes of the item handed out last, whatever becomes of its parcel.
static void remember(pl_intake *in, pl_slice *owner) {
  if (in->taken == owner) return;
  pl_slice_drop(in->taken);
  in->taken = pl_slice_hold(owner);
}

bool pl_intake_next(pl_intake *in, pl_bytes *item) {
  if (pl_list_empty(&in->frames)) return false;
  parcel *p = pl_container(in->frames.next, parcel, node);
  uint32_t len = (uint32_t)p->bytes.len;
  size_t skip = 0;
  if (!p->lone) {
    int n = pl_item_get_len(pl_bytes_of(p->bytes.data + p->at, p->bytes.len - p->at), &len);
    assert(n > 0);  // checked when it came
    skip = (size_t)n;
  }
  *item = (pl_bytes){.data = p->bytes.data + p->at + skip, .len = len, .owner = p->bytes.owner};
  p->at += skip + len;
  in->items--;
  in->held_bytes -= skip + len;
  if (p->at == p->bytes.len) {
    remember(in, p->bytes.owner);
    pl_list_remove(&p->node);
    parcel_free(in, p);
    count(in);
  }
  return true;
}

// What has come and was not consumed, in bytes.
static uint64_t held_by(const pl_intake *in) {
  uint64_t held = in->held_bytes;
  // What has come of an item counts only behind others: a long one that is next in turn could never
  // arrive otherwise.
  if (in->partial_type == PL_FRAME_DATA && in->items > 0) held += pl_buf_len(&in->partial);
  return held;
}

// What the window has room for.
static void measure(pl_intake *in, uint64_t *items, uint64_t *bytes) {
  pl_window *w = &in->window;
  uint64_t used_items = in->open_items + in->items;
  uint64_t used_bytes = in->open_bytes + held_by(in);
  pl_window_press(w);
  *items = used_items < w->items ? w->items - used_items : 0;
  *bytes = used_bytes < w->bytes ? w->bytes - used_bytes : 0;
}

static void open_more(pl_intake *in, uint64_t now_us, uint64_t items, uint64_t bytes) {
  pl_window_granted(&in->window, in->open_items, in->open_bytes, now_us);
  in->open_items += items;
  in->open_bytes += bytes;
  pl_window_settle(&in->window, in->open_bytes + held_by(in));
}

void pl_intake_begin(pl_intake *in, pl_windows *all, uint64_t now_us, uint64_t *items,
                     uint64_t *bytes) {
  pl_window_fini(&in->window);
  pl_window_init(&in->window, all, PL_WINDOW_ITEMS, pl_windows_first(all), now_us);
  measure(in, items, bytes);
  open_more(in, now_us, *items, *bytes);
  in->window.asked = false;  // that the sender waited for it says nothing about its size
}

bool pl_intake_grant(pl_intake *in, uint64_t now_us, uint64_t *items, uint64_t *bytes) {
  measure(in, items, bytes);
  const pl_window *w = &in->window;
  bool due = (*items > 0 && *items * 2 >= w->items) || (*bytes > 0 && *bytes * 2 >= w->bytes);
  due = due && !pl_intake_is_covered(in);
  bool late = pl_intake_is_late(in, now_us) && (*items > 0 || *bytes > 0);
  if (due || late) open_more(in, now_us, *items, *bytes);
  return due || late;
}
