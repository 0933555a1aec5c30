/* The run, its log, and memory of its own. */

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *relais_allocate(size_t size) {
  void *found = malloc(size ? size : 1);
  if (!found) __builtin_trap();
  return found;
}

plugin_string_t relais_lend(const char *text) {
  return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

const char *relais_keep(plugin_string_t text) {
  char *kept = relais_allocate(text.len + 1);
  memcpy(kept, text.ptr, text.len);
  kept[text.len] = 0;
  return kept;
}

const char *relais_vprintf(const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  size_t size = length < 0 ? 1 : (size_t)length + 1;
  char *text = relais_allocate(size);
  text[0] = 0;
  vsnprintf(text, size, format, again);
  va_end(again);
  return text;
}

const char *relais_printf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *text = relais_vprintf(format, arguments);
  va_end(arguments);
  return text;
}

relais_plugin_types_attributes_t relais_lend_pairs(const relais_pair *pairs, size_t count) {
  plugin_tuple2_string_string_t *lent = relais_allocate(count * sizeof *lent);
  for (size_t at = 0; at < count; at++) lent[at] = (plugin_tuple2_string_string_t){relais_lend(pairs[at].name), relais_lend(pairs[at].value)};
  return (relais_plugin_types_attributes_t){lent, count};
}

relais_attributes relais_keep_pairs(relais_plugin_types_attributes_t from) {
  relais_pair *kept = relais_allocate(from.len * sizeof *kept);
  for (size_t at = 0; at < from.len; at++) kept[at] = (relais_pair){relais_keep(from.ptr[at].f0), relais_keep(from.ptr[at].f1)};
  return (relais_attributes){kept, from.len};
}

const char *relais_attribute(const relais_attributes *attributes, const char *name) {
  for (size_t at = 0; at < attributes->count; at++) {
    if (strcmp(attributes->pairs[at].name, name) == 0) return attributes->pairs[at].value;
  }
  return NULL;
}

static void log_line(relais_level level, const relais_pair *fields, size_t count, const char *line) {
  plugin_string_t message = relais_lend(line);
  relais_plugin_types_attributes_t lent = relais_lend_pairs(fields, count);
  relais_plugin_run_log((relais_plugin_run_level_t)level, &message, &lent);
}

void relais_log(relais_level level, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  log_line(level, NULL, 0, relais_vprintf(format, arguments));
  va_end(arguments);
}

void relais_log_with(relais_level level, const relais_pair *fields, size_t count, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  log_line(level, fields, count, relais_vprintf(format, arguments));
  va_end(arguments);
}

relais_instant relais_now(void) { return relais_plugin_run_now(); }

uint32_t relais_run_attempt(void) { return relais_plugin_run_attempt(); }

const char *relais_run_id(void) {
  plugin_string_t found;
  relais_plugin_run_id(&found);
  return relais_keep(found);
}

const char *relais_run_entity(void) {
  plugin_string_t found;
  relais_plugin_run_entity(&found);
  return relais_keep(found);
}

const char *relais_config(void) {
  plugin_string_t found;
  relais_plugin_run_config(&found);
  return relais_keep(found);
}

const char *relais_run_customer(void) {
  plugin_string_t found;
  return relais_plugin_run_customer(&found) ? relais_keep(found) : NULL;
}

const char *relais_run_attribute(const char *name) {
  plugin_string_t asked = relais_lend(name), found;
  return relais_plugin_run_attribute(&asked, &found) ? relais_keep(found) : NULL;
}

const char *relais_secret(const char *name) {
  plugin_string_t asked = relais_lend(name), found;
  return relais_plugin_run_secret(&asked, &found) ? relais_keep(found) : NULL;
}

void relais_random(void *bytes, size_t count) {
  relais_plugin_run_bytes_t drawn;
  relais_plugin_run_random((uint32_t)count, &drawn);
  memcpy(bytes, drawn.ptr, count);
}

const char *relais_code(size_t length) {
  static const char readable[] = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";
  char *code = relais_allocate(length + 1);
  size_t filled = 0;
  while (filled < length) {
    relais_plugin_run_bytes_t drawn;
    relais_plugin_run_random((uint32_t)(2 * length + 8), &drawn);
    /* Bytes from 248 on would make the first letters likelier than the others; they are drawn again. */
    for (size_t at = 0; at < drawn.len && filled < length; at++) {
      if (drawn.ptr[at] < 248) code[filled++] = readable[drawn.ptr[at] % (sizeof readable - 1)];
    }
  }
  code[length] = 0;
  return code;
}
