// The pre-shared keys of a node: read at the start, and again when their file changes.

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "node/node_impl.h"

static pl_err bad(char *why, const char *format, const char *path) {
  char shown[PL_NAME_MAX + 1];
  snprintf(shown, sizeof shown, "%s", path);
  snprintf(why, PL_URL_MAX, format, shown);
  return PL_INVALID;
}

static const char *check_kind(const struct stat *file) {
  if (!S_ISREG(file->st_mode)) return "%s is not a regular file";
  if ((file->st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return "%1$s is open to others than its owner: chmod 600 %1$s";
  if (file->st_size > PL_PSK_FILE_MAX) return "%s is larger than 4 KiB";
  return NULL;
}

// Reads until the end or until `room` is full; -1: errno.
static ssize_t read_all(int fd, uint8_t *to, size_t room) {
  size_t len = 0;
  while (len < room) {
    ssize_t n = read(fd, to + len, room - len);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    len += (size_t)n;
  }
  return (ssize_t)len;
}

static pl_err parse_file(pl_psk *out, int fd, const char *path, char *why) {
  uint8_t text[PL_PSK_FILE_MAX + 1];
  ssize_t len = read_all(fd, text, sizeof text);
  const char *wrong = "";
  pl_err err = PL_INVALID;
  if (len < 0) {
    wrong = strerror(errno);
  } else if (len > PL_PSK_FILE_MAX) {
    wrong = "larger than 4 KiB";
  } else {
    err = pl_psk_parse(out, pl_bytes_of(text, (size_t)len), &wrong);
  }
  OPENSSL_cleanse(text, sizeof text);
  if (err != PL_OK) snprintf(why, PL_URL_MAX, "%.255s: %s", path, wrong);
  return err;
}

// Also fills *file as far as it is known, or with zeros. Never waits for whoever would write into a
// pipe of that name.
static pl_err read_file(pl_psk *out, const char *path, struct stat *file, char *why) {
  *file = (struct stat){0};
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  int error = errno;
  if (fd < 0) {
    snprintf(why, PL_URL_MAX,
             "cannot open the key file: %s; the option names a file, the key itself belongs into "
             "it or into PERILUNE_PSK",
             strerror(error));
    return PL_INVALID;
  }
  const char *wrong = fstat(fd, file) == 0 ? check_kind(file) : "%s cannot be looked at";
  pl_err err = wrong != NULL ? bad(why, wrong, path) : parse_file(out, fd, path, why);
  close(fd);
  return err;
}

pl_err pl_key_file_check(const char *path, char *why) {
  struct stat file;
  pl_psk keys = {0};
  pl_err err = read_file(&keys, path, &file, why);
  pl_psk_wipe(&keys);
  return err;
}

pl_err pl_keys_open(pl_node *n, char *detail) {
  const pl_options *o = &n->options;
  pl_psk *keys = &n->identity.auth.psk;
  if (o->psk_key != NULL) {
    const char *wrong;
    pl_err err = pl_psk_parse(keys, pl_bytes_of(o->psk_key, strlen(o->psk_key)), &wrong);
    if (err != PL_OK) snprintf(detail, PL_URL_MAX, "psk: %s", wrong);
    return err;
  }
  if (o->psk == NULL) return PL_OK;
  char why[PL_URL_MAX];
  pl_err err = read_file(keys, o->psk, &n->key_file, why);
  if (err != PL_OK) snprintf(detail, PL_URL_MAX, "psk: %.500s", why);
  return err;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool is_same_file(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         is_same_time(&a->st_mtim, &b->st_mtim) && is_same_time(&a->st_ctim, &b->st_ctim);
}

// No link ends by it, and who was refused is dialled again. False: they are what it has.
static bool take_keys(pl_node *n, const pl_psk *keys) {
  if (pl_psk_equal(keys, &n->identity.auth.psk)) return false;
  n->identity.auth.psk = *keys;
  if (!n->closing) pl_peers_retry_refused(n->peers);
  return true;
}

pl_err pl_node_set_keys(pl_node *n, pl_bytes text, const char **why) {
  pl_psk keys = {0};
  pl_err err = pl_psk_parse(&keys, text, why);
  if (err == PL_OK) take_keys(n, &keys);
  pl_psk_wipe(&keys);
  return err;
}

void pl_node_reload_keys(pl_node *n) {
  if (n->options.psk == NULL || n->closing) return;
  pl_log *log = n->loop->log;
  pl_psk keys = {0};
  char why[PL_URL_MAX];
  if (read_file(&keys, n->options.psk, &n->key_file, why) != PL_OK) {
    pl_log_warn(log, "the pre-shared keys stay as they were", pl_f_text("detail", why));
  } else if (take_keys(n, &keys)) {
    pl_log_info(log, "pre-shared keys read", pl_f_text("file", n->options.psk),
                pl_f_int("keys", (int64_t)keys.count));
  }
  pl_psk_wipe(&keys);
}

void pl_keys_refresh(pl_node *n) {
  if (n->options.psk == NULL) return;
  struct stat file;
  if (stat(n->options.psk, &file) != 0) file = (struct stat){0};
  if (!is_same_file(&file, &n->key_file)) pl_node_reload_keys(n);
}
