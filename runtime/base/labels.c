#include "base/labels.h"

#include "base/mem.h"

enum { PLACES_MIN = 32, PLACES_MAX = 32 * 1024 };

void pl_labels_fini(pl_labels *t) {
  pl_free(t->places);
  pl_map_fini(&t->others);
  *t = (pl_labels){0};
}

void *pl_labels_find_other(const pl_labels *t, uint32_t label) {
  return pl_map_find(&t->others, label);
}

static void place(pl_labels *t, uint32_t label, void *value) {
  pl_label *p = pl_labels_place(t, label);
  if (p->label == 0) {
    *p = (pl_label){label, value};
  } else {
    pl_map_put(&t->others, label, value);
  }
}

static void resize(pl_labels *t, size_t places) {
  pl_labels old = *t;
  size_t old_places = old.places == NULL ? 0 : old.mask + 1;
  t->places = pl_alloc(places * sizeof *t->places);
  t->mask = places - 1;
  t->others = (pl_map){0};
  for (size_t i = 0; i < old_places; i++) {
    if (old.places[i].label != 0) place(t, old.places[i].label, old.places[i].value);
  }
  size_t at = 0;
  for (pl_map_entry *e; (e = pl_map_next(&old.others, &at)) != NULL;)
    place(t, (uint32_t)e->key, e->value);
  pl_free(old.places);
  pl_map_fini(&old.others);
}

void pl_labels_put_other(pl_labels *t, uint32_t label, void *value) {
  size_t places = t->places == NULL ? 0 : t->mask + 1;
  if (t->count >= places / 2 && places < PLACES_MAX) {
    resize(t, places == 0 ? PLACES_MIN : places * 2);
  }
  place(t, label, value);
  t->count++;
}

void *pl_labels_remove(pl_labels *t, uint32_t label) {
  if (t->count == 0) return NULL;
  pl_label *p = pl_labels_place(t, label);
  void *value;
  if (p->label == label) {
    value = p->value;
    p->label = 0;
  } else {
    value = pl_map_remove(&t->others, label);
  }
  if (value != NULL) t->count--;
  return value;
}
