// Streams that change hands, for those above (perilune_pass.h).

#include "node/node_impl.h"
#include "service/passed.h"
#include "wire/message.h"

pl_err pl_reference_put(pl_buf *out, const pl_reference *r) {
  return pl_msg_reference_encode(out, r);
}

pl_err pl_reference_get(pl_reference *out, pl_bytes in) {
  return pl_msg_reference_decode(out, in);
}

bool pl_node_refer(pl_node *n, int codec, uint64_t idle_us, pl_reference *out) {
  return pl_service_refer(n->service, codec, idle_us, out);
}

void pl_node_pass(pl_node *n, const pl_reference *r, pl_call *c, const pl_failure *why,
                  pl_list *carried) {
  pl_service_pass(n->service, r, c, why, carried);
}

void pl_node_pass_on(pl_node *n, const pl_reference *r, pl_list *carried) {
  pl_service_pass_on(n->service, r, carried);
}

pl_err pl_node_take(pl_call **out, pl_node *n, const pl_reference *r, const pl_call_options *o,
                    const pl_call_ops *ops, void *user, pl_failure *why) {
  return pl_service_take(out, n->service, r, o, ops, user, why);
}

void pl_node_let_go(pl_node *n, const pl_reference *r) {
  pl_service_let_go(n->service, r);
}
