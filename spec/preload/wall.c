// LD_PRELOADed into a node under test: a wall clock that leaps. The seconds by which it is off
// stand in the file that PERILUNE_SPEC_WALL names, as eight bytes; every other clock is as it is.

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("PERILUNE_SPEC_WALL");
  int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) offset = at;
  close(fd);
}

static int64_t seconds_off(clockid_t id) {
  bool wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
  return wall && offset != NULL ? *offset : 0;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *out) {
  long rc = syscall(SYS_clock_gettime, id, out);
  if (rc == 0) out->tv_sec += seconds_off(id);
  return (int)rc;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict out,
                                                        void *restrict zone) {
  (void)zone;
  struct timespec now;
  int rc = clock_gettime(CLOCK_REALTIME, &now);
  if (rc == 0) *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return rc;
}

__attribute__((visibility("default"))) time_t time(time_t *out) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  if (out != NULL) *out = now.tv_sec;
  return now.tv_sec;
}
