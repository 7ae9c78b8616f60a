// Finding commands and their options by what was typed.

#include <string.h>

#include "base/guess.h"
#include "main.h"

const pl_command *pl_command_find(const char *name) {
  for (const pl_command *c = pl_command_list; c->name != NULL; c++) {
    if (strcmp(c->name, name) == 0) return c;
  }
  return NULL;
}

const pl_flag *pl_flag_find(const pl_command *command, const char *name) {
  for (const pl_flag *f = command->flags; f != NULL && f->name != NULL; f++) {
    if (strcmp(f->name, name) == 0) return f;
  }
  return NULL;
}

const pl_flag *pl_flag_find_letter(const pl_command *command, char letter) {
  for (const pl_letter *l = command->letters; l != NULL && l->letter != 0; l++) {
    if (l->letter == letter) return pl_flag_find(command, l->name);
  }
  return NULL;
}

char pl_flag_letter(const pl_command *command, const pl_flag *flag) {
  for (const pl_letter *l = command->letters; l != NULL && l->letter != 0; l++) {
    if (strcmp(l->name, flag->name) == 0) return l->letter;
  }
  return 0;
}

// A client comes and goes: it does not listen, serves nothing and needs no identity of its own.
bool pl_command_takes(const pl_command *command, const pl_option *option) {
  static const char *const of_nodes[] = {
      "name",        "id",           "listen",          "advertise",
      "insecure",    "drain",        "max_concurrency", "max_queue",
      "load_limit",  "reload_drain", "probation",       "state_dir",
      "state_limit", "region",       "relay",           "link_cost",
      "sandbox",     "allow",        "workers",         "isolate",
      "replicas",    "max_restarts", "restart_window",  "admin"};
  if (command->use != PL_USE_CLIENT) return command->use == PL_USE_NODE;
  for (size_t i = 0; i < sizeof of_nodes / sizeof *of_nodes; i++) {
    if (strcmp(of_nodes[i], option->name) == 0) return false;
  }
  return true;
}

static const char *const later[] = {"emit"};

bool pl_command_is_later(const char *name) {
  for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
    if (strcmp(later[i], name) == 0) return true;
  }
  return false;
}

const char *pl_command_guess(const char *name) {
  enum { COMMANDS_MAX = 64 };
  const char *names[COMMANDS_MAX];
  size_t count = 0;
  for (const pl_command *c = pl_command_list; c->name != NULL && count < COMMANDS_MAX; c++)
    names[count++] = c->name;
  return pl_guess(name, names, count);
}
