/* State, timers, events, the run, customers, dates and the log. */

#include "relais.h"
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

void relais_log(relais_level level, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  plugin_string_t line = relais_lend(relais_vprintf(format, arguments));
  va_end(arguments);
  relais_plugin_run_log((relais_plugin_run_level_t)level, &line);
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

const char *relais_state_get(const char *key) {
  plugin_string_t name = relais_lend(key);
  relais_plugin_state_bytes_t found;
  if (!relais_plugin_state_get(&name, &found)) return NULL;
  return relais_keep((plugin_string_t){found.ptr, found.len});
}

void relais_state_set(const char *key, const char *value) { relais_state_set_for(key, value, -1, NULL); }

void relais_state_set_for(const char *key, const char *value, relais_duration ttl, const char *customer) {
  plugin_string_t name = relais_lend(key);
  relais_plugin_state_bytes_t bytes = {(uint8_t *)value, strlen(value)};
  relais_plugin_state_entry_options_t options = {{ttl >= 0, ttl}, {customer != NULL, relais_lend(customer ? customer : "")}};
  relais_plugin_state_set(&name, &bytes, &options);
}

void relais_state_remove(const char *key) {
  plugin_string_t name = relais_lend(key);
  relais_plugin_state_remove(&name);
}

void relais_timer_at(const char *key, relais_instant due, const char *data, relais_instant expires) {
  plugin_string_t name = relais_lend(key), json = relais_lend(data ? data : "null");
  relais_plugin_timers_set(&name, due, &json, expires >= 0 ? &expires : NULL);
}

void relais_timer_after(const char *key, relais_duration wait, const char *data) {
  relais_timer_at(key, relais_now() + wait, data, -1);
}

void relais_timer_cancel(const char *key) {
  plugin_string_t name = relais_lend(key);
  relais_plugin_timers_cancel(&name);
}

void relais_emit(const char *type, const char *subject, const char *data, const char *dedup_key) {
  plugin_string_t name = relais_lend(type), about = relais_lend(subject ? subject : ""), json = relais_lend(data ? data : "null");
  relais_plugin_events_emit_options_t options = {{false, {0}}, {dedup_key != NULL, relais_lend(dedup_key ? dedup_key : "")}};
  relais_plugin_events_emit(&name, subject ? &about : NULL, &json, &options);
}

bool relais_customer_get(const char *id, relais_customer *customer) {
  plugin_string_t name = relais_lend(id);
  relais_plugin_customers_customer_t found;
  if (!relais_plugin_customers_get(&name, &found)) return false;
  customer->id = relais_keep(found.id);
  customer->name = found.name.is_some ? relais_keep(found.name.val) : NULL;
  customer->locale = found.locale.is_some ? relais_keep(found.locale.val) : NULL;
  customer->timezone = found.timezone.is_some ? relais_keep(found.timezone.val) : NULL;
  return true;
}

bool relais_speaks(const relais_customer *customer, const char *language) {
  size_t length = strlen(language);
  if (!customer->locale || strncmp(customer->locale, language, length) != 0) return false;
  char next = customer->locale[length];
  return next == 0 || next == '-' || next == '_';
}

bool relais_parse_time(const char *text, const char *timezone, relais_instant *time) {
  plugin_string_t written = relais_lend(text), zone = relais_lend(timezone);
  return relais_plugin_calendar_parse(&written, &zone, time);
}

const char *relais_format_time(relais_instant time, const char *timezone, const char *locale, relais_style style) {
  plugin_string_t zone = relais_lend(timezone), language = relais_lend(locale), found;
  relais_plugin_calendar_format(time, &zone, &language, (relais_plugin_calendar_style_t)style, &found);
  return relais_keep(found);
}
