// A router between two neighbours that may tell it anything, and a third that must bear what is
// passed on.
#include "route/router.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINKS = 3 };

static void on_send(pl_router_link *link, uint8_t type, pl_bytes body, void *user) {
  (void)link, (void)user;
  assert(body.len <= PL_FRAGMENT_MAX);
  // What is told must be well-formed, whatever was heard.
  if (type == PL_FRAME_ADVERT) {
    pl_msg_advert m;
    assert(pl_msg_advert_decode(&m, body) == PL_OK);
  } else {
    pl_msg_route m;
    assert(type == PL_FRAME_ROUTE && pl_msg_route_decode(&m, body) == PL_OK);
  }
}

static bool is_writable(pl_router_link *link, void *user) {
  (void)link, (void)user;
  return true;
}

static uint64_t rtt_us(pl_router_link *link, void *user) {
  (void)link, (void)user;
  return 1000;
}

static void on_item(pl_mesh_node *n, const pl_msg_advert_item *item, void *user) {
  (void)n, (void)item, (void)user;
}

static void on_route(pl_mesh_node *n, const pl_route *route, void *user) {
  (void)user;
  assert(pl_mesh_node_route(n) == NULL || route != NULL);
}

static void on_node(pl_mesh_node *n, void *user) {
  (void)n, (void)user;
}

static void on_link(pl_router_link *link, void *user) {
  (void)link, (void)user;
}

static void on_change(void *user) {
  (void)user;
}

static void on_taken(void *user) {
  (void)user;
}

static void on_raised(uint64_t epoch, void *user) {
  (void)epoch, (void)user;
}

static void on_renewed(pl_router_link *link, uint64_t epoch, void *user) {
  (void)link, (void)epoch, (void)user;
}

static const pl_router_ops ops = {
    .send = on_send,
    .writable = is_writable,
    .rtt_us = rtt_us,
    .on_item = on_item,
    .on_route = on_route,
    .on_forgotten = on_node,
    .on_synced = on_link,
    .on_change = on_change,
    .on_raised = on_raised,
    .on_renewed = on_renewed,
    .on_taken = on_taken,
};

// Frames of up to 255 bytes: one byte says which link and type, one how long.
static void feed(pl_router *r, pl_router_link **links, const uint8_t *data, size_t size,
                 pl_loop *loop) {
  for (size_t at = 0; at + 2 <= size;) {
    size_t len = data[at + 1] < size - at - 2 ? data[at + 1] : size - at - 2;
    const pl_frame f = {.type = data[at] & 1 ? PL_FRAME_ADVERT : PL_FRAME_ROUTE,
                        .body = pl_bytes_of(data + at + 2, len)};
    pl_router_frame(r, links[data[at] >> 1 & 1], &f);
    if (data[at] & 4) pl_loop_advance(loop, (uint64_t)data[at] << 12);
    at += 2 + len;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pl_log *log = pl_log_new();
  pl_log_set_level(log, PL_LOG_OFF);
  pl_loop *loop = pl_loop_new_virtual(log, 1);
  const pl_id self = {{1}}, ids[LINKS] = {{{2}}, {{3}}, {{4}}};
  const pl_router_config config = {.loop = loop, .id = &self, .epoch = 5};
  pl_router *r = pl_router_new(&config, &ops, NULL);
  pl_router_join(r, true);
  pl_router_link *links[LINKS];
  for (int i = 0; i < LINKS; i++)
    links[i] = pl_router_link_up(r, &ids[i], 7, true, NULL);
  feed(r, links, data, size, loop);
  pl_loop_advance(loop, 40 * 1000 * 1000);
  for (int i = 0; i < LINKS; i++)
    pl_router_link_down(r, links[i]);
  pl_loop_advance(loop, 40 * 1000 * 1000);
  assert(pl_router_next(r, NULL) == NULL);
  pl_router_free(r);
  pl_loop_free(loop);
  return 0;
}
