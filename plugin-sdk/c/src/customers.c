/* Customers, and dates as they read them. */

#include "internal.h"

#include <string.h>

static const char *const CONSENTS[] = {"unknown", "granted", "refused"};

bool relais_customer_get(const char *id, relais_customer *customer) {
  plugin_string_t name = relais_lend(id);
  relais_plugin_customers_customer_t found;
  if (!relais_plugin_customers_get(&name, &found)) return false;
  customer->id = relais_keep(found.id);
  customer->name = found.name.is_some ? relais_keep(found.name.val) : NULL;
  customer->locale = found.locale.is_some ? relais_keep(found.locale.val) : NULL;
  customer->timezone = found.timezone.is_some ? relais_keep(found.timezone.val) : NULL;
  customer->attributes = relais_keep_pairs(found.attributes);
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

relais_route *relais_routes(const char *customer, size_t *count) {
  plugin_string_t id = relais_lend(customer);
  relais_plugin_customers_list_route_t found;
  relais_plugin_customers_routes(&id, &found);
  relais_route *routes = relais_allocate(found.len * sizeof *routes);
  for (size_t at = 0; at < found.len; at++) {
    relais_plugin_customers_route_t *from = &found.ptr[at];
    routes[at] = (relais_route){relais_keep(from->channel), CONSENTS[from->consent], from->addressable, from->window_ends.is_some ? from->window_ends.val : -1};
  }
  *count = found.len;
  return routes;
}

const char *relais_consent(const char *customer, const char *channel, const char *scope) {
  plugin_string_t id = relais_lend(customer), on = relais_lend(channel), to = relais_lend(scope);
  return CONSENTS[relais_plugin_customers_get_consent(&id, &on, &to)];
}

relais_event *relais_history(const char *customer, const char *type, uint32_t limit, size_t *count) {
  plugin_string_t id = relais_lend(customer), name = relais_lend(type);
  relais_plugin_customers_list_event_t found;
  relais_plugin_customers_history(&id, &name, limit, &found);
  relais_event *events = relais_allocate(found.len * sizeof *events);
  for (size_t at = 0; at < found.len; at++) events[at] = relais_keep_event(&found.ptr[at]);
  *count = found.len;
  return events;
}

bool relais_to_local(relais_instant time, const char *timezone, relais_local_time *local) {
  plugin_string_t zone = relais_lend(timezone);
  relais_plugin_calendar_local_time_t found;
  if (!relais_plugin_calendar_to_local(time, &zone, &found)) return false;
  *local = (relais_local_time){found.year, found.month, found.day, found.hour, found.minute, found.second, found.weekday};
  return true;
}

bool relais_from_local(const relais_local_time *local, const char *timezone, relais_instant *time) {
  plugin_string_t zone = relais_lend(timezone);
  relais_plugin_calendar_local_time_t given = {
      local->year, (uint8_t)local->month, (uint8_t)local->day, (uint8_t)local->hour, (uint8_t)local->minute, (uint8_t)local->second, 1,
  };
  return relais_plugin_calendar_from_local(&given, &zone, time);
}
