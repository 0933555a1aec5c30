/* Goes wrong as the event says. */

#include <relais.h>
#include <stdlib.h>
#include <string.h>

/* Not inlined, so that a backtrace has them. */
#define FRAME __attribute__((noinline))

static volatile unsigned turns;

static FRAME void loop(void) {
  for (;;) turns++;
}

/* Volatile, or else the compiler sees that nobody reads it and asks for nothing. */
static void *volatile kept;

static FRAME void memory(void) {
  do kept = malloc(1 << 20);
  while (kept);
  __builtin_trap();
}

static FRAME void exception(void) { __builtin_trap(); }

static FRAME int deeper(volatile int *depth) {
  volatile int here = *depth + 1;
  return here < 0 ? 0 : deeper(&here) + here;
}

static FRAME void flood(void) {
  char *line = malloc(8193);
  memset(line, 'x', 8192);
  line[8192] = 0;
  for (;;) relais_log(RELAIS_INFO, "%s", line);
}

relais_outcome on_event(const relais_event *event) {
  const char *how = strrchr(event->type, '.') + 1;
  volatile int depth = 0;
  if (strcmp(how, "loop") == 0) loop();
  if (strcmp(how, "memory") == 0) memory();
  if (strcmp(how, "exception") == 0) exception();
  if (strcmp(how, "recursion") == 0) turns += (unsigned)deeper(&depth);
  if (strcmp(how, "log") == 0) flood();
  return RELAIS_OK;
}
