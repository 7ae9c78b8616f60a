#include "service/surge.h"

#include "base/limits.h"

void pl_surge_begin(pl_surge *s, uint64_t now_us, bool easy) {
  *s = (pl_surge){.since_us = now_us, .first = true, .easy = easy};
}

// Who calls again as soon as he is answered keeps a queue where it is; chance makes it a bit less.
static bool does_not_shrink(const pl_surge *s) {
  return s->came * 4 >= s->went * 3;
}

static bool grows(const pl_surge *s) {
  return s->came * 4 >= s->went * 5;
}

static bool judge_easy(const pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us) {
  uint64_t waited_us = now_us - oldest_us;
  if (s->over) return waiting >= PL_QUEUE_SHORT / 2 && grows(s);
  if (s->first || waiting < PL_QUEUE_SHORT) return false;
  bool more = s->came * 2 >= s->went * 3;
  uint64_t bears_us = s->was_over ? PL_QUEUE_TARGET_US : PL_QUEUE_BEAR_US;
  return (more && waited_us >= bears_us) || (waited_us >= PL_QUEUE_LONG_US && does_not_shrink(s));
}

static bool judge(const pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us) {
  if (s->easy) return judge_easy(s, now_us, waiting, oldest_us);
  if (s->over) return waiting >= PL_QUEUE_SHORT / 2;
  return !s->first && waiting >= PL_QUEUE_SHORT && now_us - oldest_us >= PL_QUEUE_TARGET_US &&
         does_not_shrink(s);
}

static void look(pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us) {
  uint64_t turns = s->easy ? PL_QUEUE_LONG_TURNS : PL_QUEUE_TURNS;
  if (now_us - s->since_us < PL_QUEUE_INTERVAL_US || s->went < turns) return;
  bool over = judge(s, now_us, waiting, oldest_us);
  if (over && !s->over) s->fresh = true;
  s->over = over;
  s->was_over = s->was_over || over;
  s->grows = grows(s);
  s->first = false;
  s->since_us = now_us;
  s->came = s->went = 0;
}

void pl_surge_came(pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us) {
  s->came++;
  look(s, now_us, waiting, oldest_us);
}

void pl_surge_went(pl_surge *s, uint64_t now_us, size_t waiting, uint64_t oldest_us) {
  s->went++;
  look(s, now_us, waiting, oldest_us);
}
