// perilune COMMAND ...: finds the command, reads its arguments, does it.

#include <errno.h>
#include <fcntl.h>
#include <lua.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "main.h"

// A descriptor that is missing would be given to the next socket, and prints would go there. What
// stands in its place refuses reading and writing as a closed one does.
static void fill_standard_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    if (got != fd) abort();  // without /dev/null nothing can be promised
  }
}

static int show_version(int argc, char **argv) {
  if (argc > 0) return pl_usage_fail(NULL, PL_INVALID, "unexpected argument '%.64s'", argv[0]);
  printf("perilune %s (%s, libuv %s)\n", PL_VERSION, LUA_RELEASE, uv_version_string());
  return PL_EXIT_OK;
}

static int show_help(int argc, char **argv) {
  const char *topic = argc > 0 ? argv[0] : NULL;
  if (argc > 1) return pl_usage_fail(NULL, PL_INVALID, "unexpected argument '%.64s'", argv[1]);
  const pl_command *c = topic == NULL ? NULL : pl_command_find(topic);
  if (topic == NULL) {
    pl_help_print(stdout);
  } else if (strcmp(topic, "--man") == 0) {
    pl_man_print(stdout);
  } else if (c != NULL) {
    pl_help_print_command(stdout, c);
  } else if (pl_command_is_later(topic)) {
    return pl_usage_fail(NULL, PL_UNSUPPORTED, "'%s' is not available in this version", topic);
  } else {
    return pl_usage_fail(NULL, PL_INVALID, "no command '%s'", topic);
  }
  return PL_EXIT_OK;
}

static int refuse(const char *name) {
  if (pl_command_is_later(name))
    return pl_usage_fail(NULL, PL_UNSUPPORTED, "'%s' is not available in this version", name);
  if (name[0] == '-') return pl_usage_fail(NULL, PL_INVALID, "the command comes before '%s'", name);
  size_t len = strlen(name);
  if (len > 4 && strcmp(name + len - 4, ".lua") == 0)
    return pl_usage_fail(NULL, PL_INVALID, "no command '%s'; a script is run by 'perilune run %s'",
                         name, name);
  const char *guess = pl_command_guess(name);
  if (guess != NULL)
    return pl_usage_fail(NULL, PL_INVALID, "no command '%s'; did you mean '%s'?", name, guess);
  return pl_usage_fail(NULL, PL_INVALID, "no command '%s'", name);
}

static int act(const pl_command *command, int argc, char **argv) {
  pl_invocation inv;
  int code = pl_invocation_read(&inv, command, argc, argv);
  if (code == PL_EXIT_OK && inv.help) {
    pl_help_print_command(stdout, command);
  } else if (code == PL_EXIT_OK) {
    code = command->act != NULL ? command->act(&inv) : pl_run_client(&inv);
  }
  pl_invocation_free(&inv);
  return code;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c) {
  return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

static int begin(int argc, char **argv) {
  if (argc < 2) {
    pl_help_print(stderr);
    return PL_EXIT_USAGE;
  }
  if (is_one_of(argv[1], "help", "--help", "-h")) return show_help(argc - 2, argv + 2);
  if (is_one_of(argv[1], "version", "--version", "-V")) {
    bool asks = argc == 3 && is_one_of(argv[2], "help", "--help", "-h");
    char *topic[] = {"version"};
    return asks ? show_help(1, topic) : show_version(argc - 2, argv + 2);
  }
  const pl_command *command = pl_command_find(argv[1]);
  return command == NULL ? refuse(argv[1]) : act(command, argc - 2, argv + 2);
}

// A reader that went away had enough, and who closed the descriptor wants no output.
static bool is_wanted(int fd) {
  struct pollfd p = {.fd = fd};
  bool has_reader = poll(&p, 1, 0) != 1 || (p.revents & POLLERR) == 0;
  return has_reader && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

// What a full disk swallowed is a failure.
static int end(int code) {
  errno = 0;
  bool failed = fflush(stdout) != 0 || ferror(stdout);
  if (!failed || !is_wanted(STDOUT_FILENO)) return code;
  fprintf(stderr, "IO_ERROR: cannot write to standard output%s%s\n", errno != 0 ? ": " : "",
          errno != 0 ? strerror(errno) : "");
  return code == PL_EXIT_OK ? PL_EXIT_FAILED : code;
}

int main(int argc, char **argv) {
  pl_mem_tune();
  fill_standard_descriptors();
  signal(SIGPIPE, SIG_IGN);  // a peer or reader that goes away is an error of one write
  // Whoever reads a pipe sees each line when it is printed, as a terminal does.
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  return end(begin(argc, argv));
}
