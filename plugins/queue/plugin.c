/* Tells people who wait elsewhere that it is nearly their turn, and then that it is.
 *
 * Each is said once for a ticket, however often the queue moves: what was said is kept with the ticket. */

#include <relais.h>
#include <string.h>

#define WAITING_HOURS_MAX 12

static int setting(const char *name, int fallback) {
  double found;
  return relais_json_number(relais_config(), name, &found) ? (int)found : fallback;
}

static bool in_french(const char *customer) {
  relais_customer found;
  return relais_customer_get(customer, &found) && relais_speaks(&found, "fr");
}

static relais_outcome tell(relais_message *message, const relais_event *event, const char *ticket, const char *what) {
  relais_message_expires(message, event->time + RELAIS_MINUTES(setting("useful_minutes", 10)));
  relais_message_fallback_after(message, RELAIS_SECONDS(setting("fallback_seconds", 30)));
  relais_message_dedup_key(message, relais_printf("%s/%s", what, ticket));
  relais_message_tag(message, what);
  relais_state_set_for("said", what, RELAIS_HOURS(WAITING_HOURS_MAX), event->customer);
  return relais_message_send_or_skip(message);
}

static relais_outcome moved(const relais_event *event, const char *ticket, const char *place) {
  double ahead;
  if (!relais_json_number(event->data, "ahead", &ahead) || ahead < 0) return relais_reject("event %s: data.ahead should be a number from 0", event->id);
  if (ahead > setting("near", 3) || relais_state_get("said")) return RELAIS_OK;

  relais_message *message = relais_message_to(event->customer, RELAIS_ALERT);
  relais_message_template(message, "queue_near");
  relais_message_param(message, "ticket", "%s", ticket);
  relais_message_param(message, "ahead", "%.0f", ahead);
  relais_message_param(message, "place", "%s", place);
  const char *text = in_french(event->customer) ? "Ticket %s : encore %.0f avant vous à %s. Merci de venir." : "Ticket %s: %.0f before you at %s. Please come.";
  relais_message_text(message, text, ticket, ahead, place);
  return tell(message, event, ticket, "near");
}

static relais_outcome called(const relais_event *event, const char *ticket, const char *place) {
  const char *counter = relais_json_string(event->data, "counter");
  if (!counter) return relais_reject("event %s: data.counter should be a string", event->id);

  relais_message *message = relais_message_to(event->customer, RELAIS_ALERT);
  relais_message_template(message, "queue_called");
  relais_message_param(message, "ticket", "%s", ticket);
  relais_message_param(message, "counter", "%s", counter);
  relais_message_param(message, "place", "%s", place);
  const char *text = in_french(event->customer) ? "Ticket %s : c'est à vous, %s, %s." : "Ticket %s: it is your turn at %s, %s.";
  relais_message_text(message, text, ticket, counter, place);
  return tell(message, event, ticket, "called");
}

relais_outcome on_event(const relais_event *event) {
  const char *ticket = relais_json_string(event->data, "ticket"), *place = relais_json_string(event->data, "place");
  if (!ticket) return relais_reject("event %s: data.ticket should be a string", event->id);
  if (!place) return relais_reject("event %s: data.place should be a string", event->id);
  if (!event->customer) return relais_reject("event %s names no customer: give it the extension attribute `customer`", event->id);
  return strcmp(event->type, "com.example.queue.called") == 0 ? called(event, ticket, place) : moved(event, ticket, place);
}
