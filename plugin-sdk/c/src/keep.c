/* State, timers and events. */

#include "internal.h"

#include <string.h>

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
  relais_plugin_state_entry_options_t options = {.ttl = {ttl >= 0, ttl}, .customer = {customer != NULL, relais_lend(customer ? customer : "")}};
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

relais_entry *relais_state_scan(const char *prefix, size_t *count) {
  enum { PAGE = 100 };
  plugin_string_t begins = relais_lend(prefix), after = {0};
  relais_entry *found = NULL;
  bool more = true;
  for (*count = 0; more;) {
    relais_plugin_state_page_t page;
    relais_plugin_state_scan(&begins, after.ptr ? &after : NULL, PAGE, &page);
    relais_entry *larger = relais_allocate((*count + page.entries.len) * sizeof *larger);
    if (found) memcpy(larger, found, *count * sizeof *larger);
    found = larger;
    for (size_t at = 0; at < page.entries.len; at++) {
      relais_plugin_state_entry_t *entry = &page.entries.ptr[at];
      found[(*count)++] = (relais_entry){relais_keep(entry->key), relais_keep((plugin_string_t){entry->value.ptr, entry->value.len})};
    }
    more = page.next.is_some;
    if (more) after = page.next.val;
  }
  return found;
}

bool relais_timer_get(const char *key, relais_timer *timer) {
  plugin_string_t name = relais_lend(key);
  relais_plugin_timers_timer_t found;
  if (!relais_plugin_timers_get(&name, &found)) return false;
  *timer = (relais_timer){
      .key = relais_keep(found.key), .customer = MAYBE(found.customer), .data = relais_keep(found.data),
      .set_by = relais_keep(found.set_by), .due = found.due,
  };
  return true;
}

void relais_emit(const char *type, const char *subject, const char *data, const char *dedup_key) {
  relais_emit_with(type, subject, data, dedup_key, NULL, 0);
}

void relais_emit_with(const char *type, const char *subject, const char *data, const char *dedup_key, const relais_pair *attributes, size_t count) {
  plugin_string_t name = relais_lend(type), about = relais_lend(subject ? subject : ""), json = relais_lend(data ? data : "null");
  relais_plugin_events_emit_options_t options = {
      .dedup_key = {dedup_key != NULL, relais_lend(dedup_key ? dedup_key : "")}, .attributes = relais_lend_pairs(attributes, count),
  };
  relais_plugin_events_emit(&name, subject ? &about : NULL, &json, &options);
}
