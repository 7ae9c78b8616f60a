// One frame of the mesh protocol, and the only code that knows its layout
// (docs/protocol.md, "Frames"). Pure: no I/O, no allocation.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
  PL_PROTOCOL_MAJOR = 1,
  PL_PROTOCOL_MINOR = 0,
  PL_PREAMBLE = 8,  // "PLN\n", major, minor, two zero bytes: the first bytes each way
  PL_FRAME_HEADER = 12,
};

// Numbers are protocol. 1-31 concern the link and have label 0; 32-63 belong to a circuit.
typedef enum pl_frame_type {
  PL_FRAME_HELLO = 1,
  PL_FRAME_PROOF = 2,  // authentication, reserved for its methods
  PL_FRAME_READY = 3,
  PL_FRAME_GOODBYE = 4,
  PL_FRAME_PING = 5,
  PL_FRAME_PONG = 6,
  PL_FRAME_ADVERT = 7,
  PL_FRAME_ACK = 8,  // position received, for session resume
  PL_FRAME_RESUME = 9,
  PL_FRAME_ROUTE = 10,   // link-state adverts
  PL_FRAME_EVENT = 11,   // events and messages
  PL_FRAME_RETIRE = 12,  // the sender opens no more circuits on this link
  PL_FRAME_LINK_LAST = PL_FRAME_RETIRE,

  PL_FRAME_CALL = 32,
  PL_FRAME_BODY = 33,  // continues the last frame of this label that had MORE
  PL_FRAME_DATA = 34,  // stream items
  PL_FRAME_END = 35,   // the caller sends no more DATA
  PL_FRAME_RESULT = 36,
  PL_FRAME_ERROR = 37,
  PL_FRAME_CREDIT = 38,
  PL_FRAME_CANCEL = 39,
  PL_FRAME_PATH_LOST = 40,
  PL_FRAME_STOP = 41,  // the callee takes no more DATA
  PL_FRAME_INFO = 42,  // of a stream, before its first item
  PL_FRAME_CIRCUIT_LAST = PL_FRAME_INFO,
} pl_frame_type;

enum {
  PL_FLAG_MORE = 1,        // the body goes on in BODY frames
  PL_FLAG_COMPRESSED = 2,  // by the circuit's compression
  PL_FLAG_LANE = 0x0c,     // two bits: 0 control, 1 high, 2 normal, 3 low
  PL_LANE_HIGH = 0x04,
  PL_LANE_NORMAL = 0x08,
  PL_LANE_LOW = 0x0c,
  PL_FLAG_CALLEE = 0x10,  // sent by the callee of the circuit; else by its opener
};

// `body` points into the decoded bytes; a frame owns nothing.
typedef struct pl_frame {
  uint8_t type;  // also types this version does not know
  uint8_t flags;
  uint16_t aux;    // DATA, BODY: items that end in this frame; else 0
  uint32_t label;  // of the circuit, 0 for the link
  pl_bytes body;
} pl_frame;

// Decodes the frame at the start of `src`. Returns the bytes it took (> 0), 0 if `src`
// holds only part of it, or a negative pl_err: TOO_LARGE when the announced body is over
// `body_max`, PROTOCOL. Writes `f` only on success; the body borrows from `src`.
ptrdiff_t pl_frame_decode(pl_frame *f, pl_bytes src, size_t body_max);

// Writes the PL_FRAME_HEADER bytes of a frame whose body of `len` bytes follows.
void pl_frame_put_header(uint8_t *out, uint8_t type, uint8_t flags, uint16_t aux, uint32_t label,
                         size_t len);

void pl_preamble_put(uint8_t out[PL_PREAMBLE]);
// 1 when it is ours, 0 when more bytes are needed, PL_PROTOCOL as soon as it cannot be.
// *major and *minor are set when the magic is right, also for another major version.
int pl_preamble_check(pl_bytes src, unsigned *major, unsigned *minor);

static inline bool pl_frame_is_circuit(uint8_t type) {
  return type >= 32;
}
