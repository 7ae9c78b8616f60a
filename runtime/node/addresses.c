// Where others can dial this node: what its listeners are bound to, with wildcards replaced by the
// addresses of this machine, or what `advertise` says.

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/node_impl.h"
#include "wire/msgpack.h"

static void add(pl_node *n, const char *url) {
  if (n->addresses.count < PL_ADDRESSES_MAX) pl_texts_add(&n->addresses, url);
}

static bool is_wildcard(const pl_url *u) {
  return strcmp(u->scheme, "tcp") == 0 &&
         (strcmp(u->host, "0.0.0.0") == 0 || strcmp(u->host, "::") == 0);
}

// One address for each interface that others may reach, of the families the listener has.
static void add_interfaces(pl_node *n, const pl_url *wild) {
  uv_interface_address_t *list;
  int count;
  if (uv_interface_addresses(&list, &count) != 0) return;
  bool both = strcmp(wild->host, "::") == 0;
  for (int i = 0; i < count; i++) {
    bool v4 = list[i].address.address4.sin_family == AF_INET;
    if (list[i].is_internal || (!v4 && !both)) continue;
    pl_url u = *wild;
    int err = v4 ? uv_ip4_name(&list[i].address.address4, u.host, sizeof u.host)
                 : uv_ip6_name(&list[i].address.address6, u.host, sizeof u.host);
    if (err != 0 || strncmp(u.host, "fe80:", 5) == 0)
      continue;  // link-local needs a zone that only we know
    char text[PL_URL_MAX];
    pl_url_format(&u, text);
    add(n, text);
  }
  uv_free_interface_addresses(list, count);
}

void pl_addresses_add(pl_node *n, const char *bound) {
  pl_url u;
  const char *why;
  pl_texts_add(&n->listeners, bound);
  if (pl_url_parse(&u, bound, &why) != PL_OK) return;
  if (!is_wildcard(&u)) {
    add(n, bound);
    return;
  }
  size_t before = n->addresses.count;
  add_interfaces(n, &u);
  if (n->addresses.count > before) return;
  char text[PL_URL_MAX];
  snprintf(u.host, sizeof u.host, "127.0.0.1");
  pl_url_format(&u, text);
  add(n, text);
}

void pl_addresses_publish(pl_node *n) {
  if (n->options.advertise.count > 0) {
    pl_texts_free(&n->addresses);
    for (size_t i = 0; i < n->options.advertise.count; i++)
      add(n, n->options.advertise.items[i]);
  }
  pl_buf *out = &n->identity.addresses;
  pl_buf_clear(out);
  uint8_t *p = pl_buf_reserve(out, PL_MP_TOKEN_MAX);
  if (p == NULL) return;
  pl_buf_commit(out, (size_t)(pl_mp_put_array(p, (uint32_t)n->addresses.count) - p));
  for (size_t i = 0; i < n->addresses.count; i++) {
    uint32_t len = (uint32_t)strlen(n->addresses.items[i]);
    p = pl_buf_reserve(out, PL_MP_TOKEN_MAX + len);
    if (p == NULL) return;
    pl_buf_commit(out, (size_t)(pl_mp_put_str(p, n->addresses.items[i], len) - p));
  }
}
