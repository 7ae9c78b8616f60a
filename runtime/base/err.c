#include "base/err.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

static const struct {
  pl_err err;
  const char *name;
  const char *text;
} errors[] = {
#define X(name, number, text) {PL_##name, #name, text},
    PL_ERRORS(X)
#undef X
};

enum { ERRORS = sizeof errors / sizeof *errors };

const char *pl_err_name(pl_err err) {
  if (err == PL_OK) return "OK";
  for (size_t i = 0; i < ERRORS; i++) {
    if (errors[i].err == err) return errors[i].name;
  }
  return "UNKNOWN_ERROR";
}

const char *pl_err_text(pl_err err) {
  if (err == PL_OK) return "no error";
  for (size_t i = 0; i < ERRORS; i++) {
    if (errors[i].err == err) return errors[i].text;
  }
  return "an error of a newer version";
}

pl_err pl_err_find(const char *name) {
  for (size_t i = 0; i < ERRORS; i++) {
    if (strcmp(errors[i].name, name) == 0) return errors[i].err;
  }
  return PL_OK;
}

const char *pl_outcome_name(pl_outcome outcome) {
  switch (outcome) {
    case PL_NOT_SENT: return "not_sent";
    case PL_NOT_EXECUTED: return "not_executed";
    case PL_UNKNOWN: return "unknown";
    case PL_EXECUTED: return "executed";
  }
  return "unknown";
}

void pl_err_print(pl_err err, const char *detail) {
  enum { SHOWN = 1500 };
  char text[SHOWN * 4 + 4];  // each byte may become four
  size_t len = 0, at = 0;
  if (detail == NULL || detail[0] == '\0') detail = pl_err_text(err);
  for (; detail[at] != '\0' && at < SHOWN; at++) {
    unsigned char c = (unsigned char)detail[at];
    int plain = (c >= ' ' && c != 0x7f) || c == '\n' || c == '\t';
    len += (size_t)snprintf(text + len, 5, plain ? "%c" : "\\x%02x", c);
  }
  fprintf(stderr, "%s: %.*s%s\n", pl_err_name(err), (int)len, text,
          detail[at] != '\0' ? "..." : "");
}

pl_err pl_err_from_uv(int uv_error) {
  switch (uv_error) {
    case 0: return PL_OK;
    case UV_EADDRINUSE: return PL_ADDRESS_IN_USE;
    case UV_ENOMEM: return PL_NO_MEMORY;
    case UV_ETIMEDOUT: return PL_TIMEOUT;
    case UV_ECANCELED: return PL_CANCELLED;
    case UV_ECONNREFUSED:
    case UV_EHOSTDOWN:
    case UV_EHOSTUNREACH:
    case UV_ENETDOWN:
    case UV_ENETUNREACH:
    case UV_EADDRNOTAVAIL:
    case UV_EAI_AGAIN:
    case UV_EAI_FAIL:
    case UV_EAI_NODATA:
    case UV_EAI_NONAME: return PL_CONNECT_FAILED;
    case UV_EOF:
    case UV_EPIPE:
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_ENOTCONN: return PL_PEER_LOST;
    case UV_EACCES:
    case UV_EPERM: return PL_FORBIDDEN;
    case UV_EINVAL:
    case UV_ENAMETOOLONG: return PL_INVALID;
    case UV_E2BIG:
    case UV_EFBIG:
    case UV_EMSGSIZE: return PL_TOO_LARGE;
    case UV_EAGAIN:
    case UV_EBUSY:
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_ENOBUFS: return PL_BUSY;
    case UV_ENOSYS:
    case UV_ENOTSUP:
    case UV_EAFNOSUPPORT:
    case UV_EPROTONOSUPPORT: return PL_UNSUPPORTED;
    default: return PL_IO_ERROR;
  }
}
