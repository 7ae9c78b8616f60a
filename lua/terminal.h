// The terminal that standard input is, while a tool reads its keys one by one. It is restored when
// the process ends in any way that can be seen coming. Main thread only.
#pragma once

#include <stdbool.h>

enum { PL_TERMINAL_LEAVE_MAX = 64 };  // bytes of `leave`

// Keys come as they are pressed, and are not shown; the one that interrupts still does, and what is
// printed still looks as it should. Writes `enter`; `leave` is written when it is restored. Fine
// when it is raw already. Returns 0 or a negative errno: ENOTTY.
int pl_terminal_raw(const char *enter, const char *leave);
// Puts it back as it was. Fine at any time, also in a signal handler.
void pl_terminal_restore(void);
// The size of the terminal that standard output, or else input, is. False: it is none, or does not
// tell.
bool pl_terminal_size(unsigned *columns, unsigned *rows);

// From now on Ctrl-C is not to end the process: `fn` is called in its place, from the loop. NULL
// gives it back.
void pl_terminal_take_interrupt(void (*fn)(void));
// It was pressed. False: nobody has taken it.
bool pl_terminal_interrupt(void);
