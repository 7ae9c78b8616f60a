#include "edge/local_mesh.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum {
  SETTLE_US = 10000,  // one look for a burst of changes
  POLL_US = 2000000,  // between looks when the directory cannot be watched
  ID_DIGITS = PL_ID_HEX - 1,
};

struct pl_local_mesh {
  pl_loop *loop;
  const pl_local_mesh_ops *ops;
  void *user;
  pl_id self;
  uv_fs_event_t watch;
  bool watching;
  pl_timer timer;
  char dir[PL_URL_MAX];
  char url[PL_URL_MAX];
  char urls[PL_LOCAL_DIALS][PL_URL_MAX];
};

// The directory.

// Makes `path` if it is missing and checks that it is a directory of this user which nobody else
// can enter.
static pl_err own_dir(const char *path, char *detail) {
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    snprintf(detail, PL_URL_MAX, "cannot make %.200s: %s", path, strerror(errno));
    return PL_IO_ERROR;
  }
  struct stat st;
  if (lstat(path, &st) != 0) {
    snprintf(detail, PL_URL_MAX, "cannot look at %.200s: %s", path, strerror(errno));
    return PL_IO_ERROR;
  }
  const char *wrong = NULL;
  if (!S_ISDIR(st.st_mode)) {
    wrong = "is not a directory";
  } else if (st.st_uid != geteuid()) {
    wrong = "belongs to another user";
  } else if ((st.st_mode & 077) != 0) {
    wrong = "is open to other users (mode 0700 is needed)";
  }
  if (wrong == NULL) return PL_OK;
  snprintf(detail, PL_URL_MAX,
           "the local mesh needs %.200s, but it %s; remove it, or give --listen and --peer", path,
           wrong);
  return PL_FORBIDDEN;
}

static bool is_own_dir(const char *path) {
  struct stat st;
  return path != NULL && path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
         st.st_uid == geteuid();
}

bool pl_local_mesh_name_is_valid(const char *name) {
  return name[0] != '\0' && name[0] != '.' && strlen(name) <= 32 && strchr(name, '/') == NULL;
}

static pl_err open_dir(pl_local_mesh *m, const char *name, char *detail) {
  if (!pl_local_mesh_name_is_valid(name)) {
    snprintf(detail, PL_URL_MAX,
             "mesh: '%.64s' is not a name (1 to 32 characters, no '/', no leading '.')", name);
    return PL_INVALID;
  }
  char base[PL_SUN_PATH_MAX + 1];
  const char *runtime = getenv("XDG_RUNTIME_DIR");
  if (is_own_dir(runtime)) {
    int n = snprintf(base, sizeof base, "%s/perilune", runtime);
    if (n >= (int)sizeof base) base[0] = '\0';
  } else {
    snprintf(base, sizeof base, "/tmp/perilune-%lu", (unsigned long)geteuid());
  }
  size_t longest = strlen(base) + 1 + strlen(name) + 1 + ID_DIGITS + strlen(".sock");
  if (longest > PL_SUN_PATH_MAX) {
    snprintf(detail, PL_URL_MAX,
             "%.300s is too long for the path of a socket; set XDG_RUNTIME_DIR to a shorter one",
             base);
    return PL_INVALID;
  }
  pl_err err = own_dir(base, detail);
  if (err != PL_OK) return err;
  snprintf(m->dir, sizeof m->dir, "%s/%s", base, name);
  return own_dir(m->dir, detail);
}

// Looking.

// Whether somebody listens there, without connecting to him: a datagram socket is refused as of the
// wrong type by a living stream socket, and as "nobody there" by a dead one.
static bool is_stale(const char *path) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  memcpy(addr.sun_path, path, strlen(path));  // at most PL_SUN_PATH_MAX, and zeroed behind
  bool refused = connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0 && errno == ECONNREFUSED;
  close(fd);
  return refused;
}

// A socket of this user that is alive and not this node's own.
static bool is_neighbour(const pl_local_mesh *m, const char *file, pl_id *id) {
  if (strlen(file) != ID_DIGITS + 5 || strcmp(file + ID_DIGITS, ".sock") != 0) return false;
  if (!pl_id_parse(id, file, ID_DIGITS) || pl_id_equal(id, &m->self)) return false;
  char path[PL_SUN_PATH_MAX + 1];
  struct stat st;
  int len = snprintf(path, sizeof path, "%s/%s", m->dir, file);
  if (len < 0 || len > PL_SUN_PATH_MAX) return false;
  if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid()) return false;
  if (!is_stale(path)) return true;
  unlink(path);
  return false;
}

static void socket_url(const pl_local_mesh *m, const pl_id *id, char url[PL_URL_MAX]) {
  char hex[PL_ID_HEX];
  pl_id_format(id, hex);
  snprintf(url, PL_URL_MAX, "unix://%.107s/%s.sock", m->dir, hex);
}

static int by_id(const void *a, const void *b) {
  return pl_id_compare(a, b);
}

// From its place in the ring of all ids a node dials the next one, the second, the fourth, …: every
// node dials its successor, so the graph is connected, and the far ones keep it shallow.
static size_t choose(pl_local_mesh *m, pl_id *ids, size_t count, const char **urls) {
  qsort(ids, count, sizeof *ids, by_id);
  size_t place = 0;
  while (place < count && pl_id_compare(&ids[place], &m->self) < 0)
    place++;
  size_t chosen = 0;
  bool all = count <= PL_LOCAL_DIALS;
  for (size_t step = 1; chosen < PL_LOCAL_DIALS && step <= count;
       step = all ? step + 1 : step * 2) {
    socket_url(m, &ids[(place + step - 1) % count], m->urls[chosen]);
    urls[chosen] = m->urls[chosen];
    chosen++;
  }
  return chosen;
}

size_t pl_local_mesh_look(pl_local_mesh *m, const char **urls) {
  DIR *dir = opendir(m->dir);
  if (dir == NULL) return 0;
  pl_id *ids = pl_alloc(PL_LOCAL_SOCKETS * sizeof *ids);
  size_t count = 0;
  for (struct dirent *e; count < PL_LOCAL_SOCKETS && (e = readdir(dir)) != NULL;) {
    if (is_neighbour(m, e->d_name, &ids[count])) count++;
  }
  closedir(dir);
  size_t chosen = choose(m, ids, count, urls);
  pl_free(ids);
  return chosen;
}

// Watching.

static void look_again(pl_timer *t) {
  pl_local_mesh *m = pl_container(t, pl_local_mesh, timer);
  const char *urls[PL_LOCAL_DIALS];
  size_t count = pl_local_mesh_look(m, urls);
  if (!m->watching) pl_timer_start(&m->loop->clock, t, POLL_US, look_again);
  m->ops->on_neighbours(urls, count, m->user);
}

static void on_change(uv_fs_event_t *handle, const char *file, int events, int status) {
  (void)file, (void)events;
  pl_local_mesh *m = handle->data;
  if (status == 0 && !pl_timer_active(&m->timer))
    pl_timer_start(&m->loop->clock, &m->timer, SETTLE_US, look_again);
}

static void start_watching(pl_local_mesh *m) {
  uv_fs_event_init(m->loop->uv, &m->watch);
  m->watch.data = m;
  m->watching = uv_fs_event_start(&m->watch, on_change, m->dir, 0) == 0;
  if (m->watching) return;
  pl_log_warn(m->loop->log, "the local mesh cannot be watched, looking every two seconds",
              pl_f_text("dir", m->dir));
  pl_timer_start(&m->loop->clock, &m->timer, POLL_US, look_again);
}

pl_err pl_local_mesh_open(pl_local_mesh **out, pl_loop *loop, const char *name, const pl_id *self,
                          const pl_local_mesh_ops *ops, void *user, char *detail) {
  if (loop->uv == NULL) {
    snprintf(detail, PL_URL_MAX, "a simulated node has no local mesh");
    return PL_UNSUPPORTED;
  }
  pl_local_mesh *m = pl_new(pl_local_mesh);
  m->loop = loop;
  m->ops = ops;
  m->user = user;
  m->self = *self;
  pl_err err = open_dir(m, name, detail);
  if (err != PL_OK) {
    pl_free(m);
    return err;
  }
  socket_url(m, self, m->url);
  start_watching(m);
  *out = m;
  return PL_OK;
}

static void on_closed(uv_handle_t *handle) {
  pl_free(handle->data);
}

void pl_local_mesh_close(pl_local_mesh *m) {
  pl_timer_stop(&m->timer);
  uv_close((uv_handle_t *)&m->watch, on_closed);
}

const char *pl_local_mesh_url(const pl_local_mesh *m) {
  return m->url;
}
