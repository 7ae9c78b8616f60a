// What a link reads: slabs that all links of a loop share, what is left of a partial frame, and
// what is put off until work that is queued has run.
//
//     slab:  | kept by views | front | read now ... |
//                               ^ the rest of the last frame is put before what is read now
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "link/link_impl.h"

enum {
  REST_MAX = PL_READ_SLAB / 2,  // of a frame that does not end
  READ_MIN = PL_READ_SLAB / 4,  // a slab with less room is exchanged
};

static void drop_rest(pl_link *l) {
  pl_slice_drop(l->rest);
  l->rest = NULL;
}

static pl_bytes take_more(pl_link *l) {
  pl_bytes more = l->more;
  if (more.owner != NULL) l->env->put_off--;
  l->more = (pl_bytes){0};
  pl_work_cancel(&l->more_work);
  return more;
}

void pl_link_drop_read(pl_link *l) {
  drop_rest(l);
  pl_bytes more = take_more(l);
  pl_bytes_drop(&more);
}

// Makes a slab current that nobody keeps views of, or that has `need` bytes behind them.
static pl_slice *pick_slab(pl_link_env *env, size_t need) {
  pl_slice *s = env->slabs[env->slab];
  if (s != NULL && s->refs == 1) env->slab_used = 0;
  if (s != NULL && s->cap - env->slab_used >= need) return s;

  for (unsigned i = 1; i <= PL_SLABS; i++) {
    unsigned at = (env->slab + i) % PL_SLABS;
    s = env->slabs[at];
    if (s != NULL && s->refs > 1 && i < PL_SLABS) continue;
    if (s == NULL || s->refs > 1) {
      pl_slice *fresh = pl_slice_new(PL_READ_SLAB);
      if (fresh == NULL) return NULL;
      pl_slice_drop(s);
      env->slabs[at] = s = fresh;
    }
    env->slab = at;
    env->slab_used = 0;
    return s;
  }
  return NULL;
}

uint8_t *pl_link_room(pl_link *l, size_t *len) {
  pl_link_env *env = l->env;
  l->front = l->rest != NULL ? l->rest->len : 0;
  if (l->more.owner != NULL) l->front = l->more.len < REST_MAX ? l->more.len : REST_MAX;
  pl_slice *s = pick_slab(env, l->front + READ_MIN);
  if (s == NULL) return NULL;
  *len = s->cap - env->slab_used - l->front;
  return s->data + env->slab_used + l->front;
}

static void keep_rest(pl_link *l, const uint8_t *data, size_t len) {
  if (len == 0) {
    drop_rest(l);
    return;
  }
  if (len > REST_MAX) {
    pl_link_abort(l, PL_PROTOCOL, "a frame that does not end");
    return;
  }
  if (l->rest == NULL || l->rest->cap < len) {
    drop_rest(l);
    l->rest = pl_slice_new(len * 2);  // it will grow by what comes next, up to a whole frame
    if (l->rest == NULL) {
      pl_link_abort(l, PL_NO_MEMORY, "");
      return;
    }
  }
  memcpy(l->rest->data, data, len);
  l->rest->len = len;
}

void pl_link_pause(pl_link *l) {
  l->paused = true;
}

// Offers all of it; what is left of a partial frame is kept.
static void offer(pl_link *l, pl_bytes in) {
  size_t used = 0;
  do {
    l->paused = false;
    used += l->ops->on_bytes(l, (pl_bytes){in.data + used, in.len - used, in.owner}, l->user);
    assert(used <= in.len);
  } while (l->paused && l->state == PL_LINK_OPEN);
  if (l->state == PL_LINK_OPEN) keep_rest(l, in.data + used, in.len - used);
}

static void run_more(pl_work *w);

static void put_off(pl_link *l, pl_bytes left) {
  drop_rest(l);
  l->env->put_off++;
  pl_bytes_keep(&l->more, left);  // it has an owner: that cannot fail
  pl_loop_defer(l->loop, &l->more_work, run_more);
}

// Offers it up to a pause.
static void offer_portion(pl_link *l, pl_bytes in) {
  l->paused = false;
  size_t used = l->ops->on_bytes(l, in, l->user);
  assert(used <= in.len);
  if (l->state != PL_LINK_OPEN) return;
  pl_bytes left = {in.data + used, in.len - used, in.owner};
  if (!l->paused) {
    keep_rest(l, left.data, left.len);
  } else if (l->env->put_off < PL_PUT_OFF) {
    put_off(l, left);
  } else {
    offer(l, left);
  }
}

static void run_more(pl_work *w) {
  pl_link *l = pl_container(w, pl_link, more_work);
  pl_bytes more = take_more(l);
  offer_portion(l, more);
  pl_bytes_drop(&more);
}

// What was put off, now.
void pl_link_take_all(pl_link *l) {
  if (l->more.owner == NULL) return;
  pl_bytes more = take_more(l);
  offer(l, more);
  pl_bytes_drop(&more);
}

// What was read before comes first. Then what is left of that stands before what came now.
void pl_link_received(pl_link *l, size_t n) {
  l->loop->metrics.bytes_read += n;
  if (l->state != PL_LINK_OPEN || n == 0) return;
  pl_link_env *env = l->env;
  pl_slice *slab = env->slabs[env->slab];
  uint8_t *start = slab->data + env->slab_used + l->front;
  slab->len = env->slab_used + l->front + n;
  pl_link_take_all(l);
  if (l->state != PL_LINK_OPEN) return;
  size_t rest = l->rest != NULL ? l->rest->len : 0;
  assert(rest <= l->front);
  if (rest > 0) memcpy(start - rest, l->rest->data, rest);
  offer_portion(l, (pl_bytes){start - rest, rest + n, slab});
  if (slab->refs > 1) env->slab_used = slab->len;
}
