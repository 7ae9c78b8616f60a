// `_perilune.mem`: what the scripts of a node hold, and the node itself, by kind.

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pages.h"
#include "lua/core.h"
#include "lua/inspect.h"
#include "lua/pack.h"

// Of the whole process; 0 where the system does not tell.
static uint64_t resident_bytes(void) {
  FILE *f = fopen("/proc/self/statm", "re");
  if (f == NULL) return 0;
  unsigned long long pages = 0;
  bool read = fscanf(f, "%*u %llu", &pages) == 1;
  fclose(f);
  return read ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

// What is in use, of the C library's and of the pages that scripts have their small objects in.
static uint64_t allocated_bytes(void) {
  uint64_t bytes = pl_pages_bytes();
#if defined(__GLIBC__)
  struct mallinfo2 info = mallinfo2();
  bytes += info.uordblks + info.hblkhd;
#endif
  return bytes;
}

static void pack_entry(pl_pack *k, const char *name, uint64_t value) {
  pl_pack_text(k, name);
  pl_pack_uint(k, value);
}

static void pack_vm(pl_pack *k, const pl_vm *vm) {
  pl_pack_map(k, 5);
  pl_pack_text(k, "script");
  pl_pack_text(k, vm->options.name);
  pack_entry(k, "generation", vm->options.generation);
  pack_entry(k, "bytes", vm->alloc.used);
  pack_entry(k, "limit", vm->alloc.limit);
  pack_entry(k, "tasks", vm->count);
}

static void pack_node(pl_pack *k, pl_node *n) {
  pl_node_memory m;
  pl_node_memory_get(n, &m);
  pl_pack_text(k, "held");
  pl_pack_map(k, 6);
  pack_entry(k, "circuits", m.circuits);
  pack_entry(k, "links", m.links);
  pack_entry(k, "relays", m.relays);
  pack_entry(k, "limit", m.limit);
  pack_entry(k, "stream_count", m.stream_count);
  pack_entry(k, "link_count", m.link_count);
}

static void on_mem(pl_request *r, void *user) {
  pl_host *h = user;
  size_t vms = 0;
  for (pl_list *n = pl_vm_all()->next; n != pl_vm_all(); n = n->next)
    vms += pl_inspect_is_of(pl_container(n, pl_vm, node), h);
  pl_pack k = {0};
  pl_pack_array(&k, 1);
  pl_pack_map(&k, 3);
  pl_pack_text(&k, "process");
  pl_pack_map(&k, 3);
  pack_entry(&k, "resident", resident_bytes());
  pack_entry(&k, "allocated", allocated_bytes());
  pack_entry(&k, "blocks", pl_mem_live());
  pack_node(&k, pl_host_node(h));
  pl_pack_text(&k, "scripts");
  pl_pack_array(&k, vms);
  for (pl_list *n = pl_vm_all()->next; n != pl_vm_all(); n = n->next) {
    const pl_vm *vm = pl_container(n, pl_vm, node);
    if (pl_inspect_is_of(vm, h)) pack_vm(&k, vm);
  }
  pl_pack_end(&k, r);
}

void pl_inspect_open_memory(pl_host *h) {
  static const pl_action_ops ops = {.on_start = on_mem};
  pl_node_add_system_action(pl_host_node(h), PL_SYSTEM_PREFIX "mem", &ops, h);
}
