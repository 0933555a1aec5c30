/* Tells a guest that a table is free, and once more shortly before it is given to somebody else. */

#include <relais.h>

static int setting(const char *name, int fallback) {
  double found;
  return relais_json_number(relais_config(), name, &found) ? (int)found : fallback;
}

relais_outcome on_event(const relais_event *event) {
  const char *restaurant = relais_json_string(event->data, "restaurant");
  if (!restaurant) return relais_reject("event %s: data.restaurant should be a string", event->id);
  if (!event->customer) return relais_reject("event %s names no customer", event->id);
  int kept = setting("kept_minutes", 15);

  relais_message *message = relais_message_to(event->customer, RELAIS_ALERT);
  relais_message_template(message, "table_free");
  relais_message_param(message, "restaurant", "%s", restaurant);
  relais_message_param(message, "minutes", "%d", kept);
  relais_message_text(message, "Your table at %s is free. We keep it for %d minutes.", restaurant, kept);
  relais_message_expires(message, event->time + RELAIS_MINUTES(kept));
  relais_message_fallback_after(message, RELAIS_MINUTES(1));
  relais_message_tag(message, "table");

  const char *data = relais_printf("{\"restaurant\":%s}", relais_json_quote(restaurant));
  relais_timer_after("last-call", RELAIS_MINUTES(kept - setting("last_call_minutes", 5)), data);
  return relais_message_send_or_skip(message);
}

relais_outcome on_timer(const relais_timer *timer) {
  const char *restaurant = relais_json_string(timer->data, "restaurant");
  if (!restaurant || !timer->customer) return relais_reject("timer %s: its data are of another version", timer->key);
  int minutes = setting("last_call_minutes", 5);
  relais_log(RELAIS_INFO, "%s has not answered", timer->customer);

  relais_message *message = relais_message_to(timer->customer, RELAIS_ALERT);
  relais_message_template(message, "table_last_call");
  relais_message_param(message, "restaurant", "%s", restaurant);
  relais_message_param(message, "minutes", "%d", minutes);
  relais_message_text(message, "Your table at %s is kept for %d more minutes.", restaurant, minutes);
  return relais_message_send_or_skip(message);
}

relais_outcome on_message(const relais_incoming *incoming) {
  relais_timer_cancel("last-call");
  relais_message *message = relais_message_answer(incoming);
  relais_message_text(message, "See you in a moment.");
  return relais_message_send_or_skip(message);
}
