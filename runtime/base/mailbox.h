// A mailbox is the way from any thread to the thread of one loop: mail that is posted there is run
// by that loop, in the order of posting. What one thread wrote before posting, the other sees.
//
// The loop's thread makes and closes it. Others hold references, with which they may post for as
// long as they like: after the end, mail is dropped. An open mailbox keeps its loop running.
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

typedef struct pl_mailbox pl_mailbox;

// Embedded in what is sent, which belongs to the mailbox once it is posted.
typedef struct pl_mail {
  pl_list node;  // private
  // On the thread of the loop, from the loop. The mail is the callee's.
  void (*run)(struct pl_mail *m, void *owner);
  // Nobody will get it: frees it. On any thread.
  void (*drop)(struct pl_mail *m);
} pl_mail;

// One reference, for the owner of the loop. NULL: the system has no descriptor for it.
pl_mailbox *pl_mailbox_new(pl_loop *loop, void *owner);
// Loop thread only. Drops what waits, and whatever will be posted; the owner's reference is gone.
void pl_mailbox_close(pl_mailbox *b);

// Any thread.
pl_mailbox *pl_mailbox_hold(pl_mailbox *b);
void pl_mailbox_drop(pl_mailbox *b);
void pl_mailbox_post(pl_mailbox *b, pl_mail *m);
