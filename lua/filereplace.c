#include "lua/filereplace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

int pl_file_open_now(const char *path, int flags, unsigned mode) {
  int fd;
  do {
    fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, (mode_t)mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

int pl_file_write_all(int fd, pl_bytes data, bool sync) {
  for (size_t done = 0; done < data.len;) {
    ssize_t n = write(fd, data.data + done, data.len - done);
    if (n >= 0) {
      done += (size_t)n;
    } else if (errno != EINTR) {
      return -errno;
    }
  }
  return sync && fsync(fd) != 0 ? -errno : 0;
}

// After a crash the new name must lead to the new bytes.
static int sync_folder(const char *path) {
  char *folder = pl_strdup(path);
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder ? 1 : 0] = '\0';
  int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int err = fd < 0 || fsync(fd) != 0 ? -errno : 0;
  if (fd >= 0) close(fd);
  pl_free(folder);
  return err;
}

int pl_file_replace(const char *target, const char *temporary, unsigned mode, pl_bytes data,
                    bool sync) {
  int fd = pl_file_open_now(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (fd < 0) return -errno;
  struct stat st;
  int err = 0;
  if (stat(target, &st) == 0 && fchmod(fd, st.st_mode & 07777) != 0) err = -errno;
  if (err == 0) err = pl_file_write_all(fd, data, sync);
  if (close(fd) != 0 && err == 0 && errno != EINTR) err = -errno;
  if (err == 0 && rename(temporary, target) != 0) err = -errno;
  if (err != 0) {
    unlink(temporary);
  } else if (sync) {
    err = sync_folder(target);
  }
  return err;
}
