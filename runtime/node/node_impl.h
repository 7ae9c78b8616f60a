// Shared by the files of this layer.
#pragma once

#include <sys/stat.h>

#include "base/list.h"
#include "edge/admin.h"
#include "edge/local_mesh.h"
#include "peer/peer.h"
#include "perilune.h"
#include "service/service.h"

// An address that the node was told to keep connected.
typedef struct pl_contact {
  pl_list node;
  pl_node *owner;
  pl_dial *dial;
  pl_peer *peer;  // held, once its first attempt succeeded and while its directory is awaited
  bool awaited;   // the join waits for it
  bool local;     // found in the local mesh, not given
  pl_err err;     // of the first attempt
  char why[128];
  char url[PL_URL_MAX];
} pl_contact;

struct pl_node {
  pl_loop *loop;
  pl_options options;
  pl_identity identity;
  const pl_node_ops *ops;
  void *user;
  pl_peers *peers;
  pl_service *service;
  pl_local_mesh *mesh;
  pl_admin *admin;  // NULL: none
  pl_list contacts;
  pl_texts addresses;  // that others can dial
  pl_texts listeners;  // as bound
  uint64_t started_wall_us;
  uint64_t made_us;  // on the clock of the loop
  bool started, promoted, stopping, closing;
  bool ready;
  pl_work change;  // on_change, once a turn
  pl_work yield;   // leaves the mesh to another node with the same id
  pl_work join;    // looks whether the join is complete
  void (*joined)(void *user);
  void *joined_user;
  pl_timer local_join;  // until when the join waits for nodes of the local mesh
  pl_timer drain;
  void (*stopped)(void *user);
  void *stopped_user;
  struct stat key_file;  // as it was when it was last looked at; zeros: it was not there
  unsigned open;         // of peers and service, while closing
  pl_work finish;
};

// contacts.c
// Keeps the address connected. If it is kept already, but was told not to be dialled again, it is.
pl_err pl_contact_add(pl_node *n, const char *url, bool awaited, bool local, pl_contact **out,
                      char *detail);
// A dial that has succeeded is kept: as the contact of its address, unless there is one.
void pl_contact_keep(pl_node *n, pl_dial *dial);
void pl_contact_free(pl_contact *c);
// Contacts of the local mesh that are not in `urls` any more are given up.
void pl_contacts_set_local(pl_node *n, const char *const *urls, size_t count, bool awaited);
void pl_contacts_check_join(pl_node *n);
// The join does not wait for nodes of the local mesh any more.
void pl_contacts_join_without_local(pl_node *n);

// addresses.c
void pl_addresses_add(pl_node *n, const char *bound);
void pl_addresses_publish(pl_node *n);

// keys.c
// Gives the identity the keys that the options name. PL_INVALID with `detail` (PL_URL_MAX bytes).
pl_err pl_keys_open(pl_node *n, char *detail);
// Reads the key file again if it has changed.
void pl_keys_refresh(pl_node *n);
// PL_INVALID with `why` (PL_URL_MAX bytes): what is wrong with the key file at `path`. A path that
// leads nowhere is not repeated: it may be a key.
pl_err pl_key_file_check(const char *path, char *why);

// admin.c: if the options want one.
pl_err pl_node_open_admin(pl_node *n, char *detail);

// Answers `_perilune.exposition`.
void pl_exposition_open(pl_node *n);

// report.c: answers `_perilune.info` and `_perilune.metrics`.
void pl_report_open(pl_node *n);
// Ends such a request with what was written, and frees that.
void pl_report_answer(pl_request *r, pl_buf *out, bool written);

// options_key.c
// What PERILUNE_PSK may be instead of a key.
bool pl_key_is_path(const char *text);
// As pl_option_set with the key itself. `why` does not repeat it.
pl_err pl_options_set_key(pl_options *o, pl_source source, const pl_option *opt, const char *key,
                          char *why);
void pl_options_forget_key(pl_options *o);
