/* Uses every interface of the contract, and writes what it saw to the log. */

#include <relais.h>
#include <string.h>

#define TRUTH(given) ((given) ? "true" : "false")
#define QUOTED(text) relais_json_quote(text)

static void saw(const char *what, const char *json) {
  relais_pair part = {"part", what};
  relais_log_with(RELAIS_INFO, &part, 1, "saw %s: %s", what, json);
}

/* What comes of a message: `sent`, or the code of its refusal, which its outcome begins with. */
static const char *outcome(relais_message *message) {
  relais_outcome ended = relais_message_send(message, NULL);
  if (!ended.message) return "sent";
  const char *code = strstr(ended.message, ": ") + 2;
  return relais_printf("%.*s", (int)strcspn(code, ":"), code);
}

static void of_run(void) {
  unsigned char drawn[16];
  relais_random(drawn, sizeof drawn);
  saw("run", relais_printf("{\"attempt\":%u,\"entity\":%s,\"customer\":%s,\"identified\":%s,\"now\":%s,\"plugin\":%s,\"unknown\":%s,\"random\":%zu,\"greeting\":%s,\"secret\":%s}",
      relais_run_attempt(), QUOTED(relais_run_entity()), QUOTED(relais_run_customer()), TRUTH(relais_run_id()[0]), TRUTH(relais_now() > 0),
      QUOTED(relais_run_attribute("plugin")), TRUTH(!relais_run_attribute("no-such-name")), sizeof drawn,
      QUOTED(relais_json_string(relais_config(), "greeting")), TRUTH(!relais_secret("no-such-secret"))));
}

static void of_state(void) {
  bool before = !relais_state_get("a/1");
  relais_state_set_for("a/1", "one", RELAIS_HOURS(1), NULL);
  relais_state_set_for("a/2", "two", -1, "paul");
  size_t count;
  relais_entry *entries = relais_state_scan("a/", &count);
  const char *scanned = "";
  for (size_t at = 0; at < count; at++) scanned = relais_printf("%s%s%s", scanned, at ? "," : "", QUOTED(entries[at].key));
  relais_state_remove("a/1");
  saw("state", relais_printf("{\"before\":%s,\"scanned\":[%s],\"removed\":%s,\"kept\":%s}", TRUTH(before), scanned, TRUTH(!relais_state_get("a/1")), QUOTED(relais_state_get("a/2"))));
}

static void of_timers(void) {
  relais_timer soon, never;
  relais_timer_at("soon", relais_now() + RELAIS_MINUTES(10), "{\"n\":2}", relais_now() + RELAIS_HOURS(1));
  relais_timer_after("never", RELAIS_MINUTES(1), NULL);
  relais_timer_cancel("never");
  double n = 0;
  relais_timer_get("soon", &soon);
  relais_json_number(soon.data, "n", &n);
  saw("timers", relais_printf("{\"due_in\":%.0f,\"data\":%.0f,\"set_by\":%s,\"cancelled\":%s}", soon.due - relais_now(), n, QUOTED(soon.set_by), TRUTH(!relais_timer_get("never", &never))));
}

static void of_customers(void) {
  relais_customer paul, nobody;
  relais_customer_get("paul", &paul);
  size_t routes, events;
  relais_route *route = relais_routes("paul", &routes);
  const char *addressable = "", *history = "";
  for (size_t at = 0; at < routes; at++) {
    if (route[at].addressable) addressable = relais_printf("%s%s%s", addressable, at ? "," : "", QUOTED(route[at].channel));
  }
  relais_event *event = relais_history("paul", "com.example.polite.*", 5, &events);
  for (size_t at = 0; at < events; at++) history = relais_printf("%s%s%s", history, at ? "," : "", QUOTED(event[at].type));
  saw("customers", relais_printf("{\"locale\":%s,\"timezone\":%s,\"unknown\":%s,\"routes\":[%s],\"consent\":%s,\"marketing\":%s,\"history\":[%s]}",
      QUOTED(paul.locale), QUOTED(paul.timezone), TRUTH(!relais_customer_get("nobody", &nobody)), addressable, QUOTED(route[0].consent),
      QUOTED(relais_consent("paul", "whatsapp", "marketing")), history));
}

static void of_calendar(void) {
  relais_instant at = 0, skipped = 0;
  relais_local_time local, nowhere, missing = {2026, 3, 29, 2, 30, 0, 0};
  relais_parse_time("2026-03-29T01:30:00", "Europe/Paris", &at);
  relais_to_local(at, "Europe/Paris", &local);
  relais_from_local(&missing, "Europe/Paris", &skipped);
  saw("calendar", relais_printf("{\"at\":%.0f,\"hour\":%d,\"weekday\":%d,\"skipped\":%.0f,\"unknown\":%s,\"written\":%s}", at, local.hour, local.weekday, skipped,
      TRUTH(!relais_to_local(at, "Europe/Nowhere", &nowhere)), QUOTED(relais_format_time(at, "Europe/Paris", "fr-FR", RELAIS_DATE))));
}

static relais_message *to_paul(void) { return relais_message_to("paul", RELAIS_ALERT); }

static relais_message *text_to_paul(const char *text) {
  relais_message *message = to_paul();
  relais_message_text(message, "%s", text);
  return message;
}

static relais_message *whole(const relais_event *event) {
  relais_message *message = text_to_paul("hello");
  relais_message_because(message, relais_printf("%s#%s", event->source, event->id));
  relais_message_template(message, "polite_note");
  relais_message_param(message, "text", "hello");
  relais_message_choice(message, "yes", "Yes");
  relais_message_sms_text(message, "hello by SMS");
  relais_message_fallback_after(message, RELAIS_SECONDS(30));
  relais_message_expires(message, relais_now() + RELAIS_HOURS(1));
  relais_message_dedup_key(message, "polite");
  relais_message_locale(message, "en");
  relais_message_tag(message, "polite");
  return message;
}

static relais_outcome of_messages(const relais_event *event) {
  const char *id, *again, *given;
  relais_outcome ended = relais_message_send(whole(event), &id);
  if (ended.message) return ended;
  relais_message *unwanted = text_to_paul("cancelled");
  relais_message_sms_only(unwanted);
  ended = relais_message_send(unwanted, &given);
  if (ended.message) return ended;
  relais_message_cancel(given);
  ended = relais_message_send(whole(event), &again);
  if (ended.message) return ended;

  relais_delivery known, unknown;
  relais_message *phone = relais_message_to_phone("+33612345678", RELAIS_ALERT), *nobody = relais_message_to("nobody", RELAIS_ALERT);
  relais_message *content = to_paul(), *setting = text_to_paul("no"), *asset = to_paul(), *bytes = to_paul(), *url = to_paul(), *location = text_to_paul("here");
  relais_message_text(phone, "no");
  relais_message_text(nobody, "no");
  relais_message_content(content, "com.example.nothing", "{}");
  relais_message_setting(setting, "com.example.nothing", "1");
  relais_message_attach_asset(asset, "no-such-file.png");
  relais_message_attach_bytes(bytes, "\x89PNG", 4, "image/png", NULL);
  relais_message_no_sms(bytes);
  relais_message_attach_url(url, "ftp://files.example/a.png", "image/png", NULL);
  relais_message_location(location, 48.85, 2.35, "Paris");
  relais_message_sms_only(location);
  relais_message_status(id, &known);
  const char *codes = relais_printf("\"phone\":\"%s\",\"nobody\":\"%s\",\"content\":\"%s\",\"setting\":\"%s\",\"asset\":\"%s\",\"bytes\":\"%s\",\"url\":\"%s\",\"location\":\"%s\"",
      outcome(phone), outcome(nobody), outcome(content), outcome(setting), outcome(asset), outcome(bytes), outcome(url), outcome(location));
  saw("messages", relais_printf("{\"sent\":%s,\"again\":%s,\"state\":%s,\"unknown\":%s,%s}", TRUTH(id[0]), TRUTH(strcmp(id, again) == 0), QUOTED(known.state),
      TRUTH(!relais_message_status("no-such-message", &unknown)), codes));
  return RELAIS_OK;
}

static void of_http(void) {
  relais_pair headers[] = {{"x-polite", "yes"}, {"content-type", "application/json"}};
  relais_request request = {.method = "POST", .url = "https://service.example/", .headers = headers, .header_count = 2, .body = "{\"hello\":true}", .timeout = RELAIS_SECONDS(2)};
  relais_response response;
  relais_outcome ended = relais_fetch(&request, &response);
  if (!ended.message) return;
  const char *code = strstr(ended.message, "/: ") + 3;
  saw("http", relais_printf("{\"code\":\"%.*s\"}", (int)strcspn(code, ":"), code));
}

relais_outcome on_event(const relais_event *event) {
  double n = 0;
  relais_json_number(event->data, "n", &n);
  saw("event", relais_printf("{\"id\":%s,\"source\":%s,\"type\":%s,\"subject\":%s,\"customer\":%s,\"data\":%.0f,\"tone\":%s}", QUOTED(event->id), QUOTED(event->source),
      QUOTED(event->type), QUOTED(event->subject), QUOTED(event->customer), n, QUOTED(relais_attribute(&event->attributes, "tone"))));
  of_run();
  of_state();
  of_timers();
  of_customers();
  of_calendar();
  relais_outcome ended = of_messages(event);
  if (ended.message) return ended;
  of_http();
  relais_pair tone = {"tone", "kind"};
  relais_emit_with("com.example.polite.told", "it", "{\"n\":1}", "told", &tone, 1);
  return RELAIS_OK;
}

relais_outcome on_timer(const relais_timer *timer) {
  double n = 0;
  relais_json_number(timer->data, "n", &n);
  saw("timer", relais_printf("{\"key\":%s,\"data\":%.0f,\"customer\":%s,\"set_by\":%s}", QUOTED(timer->key), n, QUOTED(timer->customer), QUOTED(timer->set_by)));
  return RELAIS_OK;
}

relais_outcome on_delivery(const relais_delivery *delivery) {
  saw("delivery", relais_printf("{\"state\":%s,\"settled\":%s,\"tag\":%s,\"customer\":%s}", QUOTED(delivery->state), TRUTH(delivery->settled), QUOTED(delivery->tag), QUOTED(delivery->customer)));
  return RELAIS_OK;
}

relais_outcome on_message(const relais_incoming *message) {
  relais_message *answer = relais_message_answer(message);
  relais_message_text(answer, "thank you");
  relais_message_quote(answer, message->id);
  size_t count;
  relais_file file = {.id = "no-such-file"};
  saw("message", relais_printf("{\"text\":%s,\"kind\":%s,\"customer\":%s,\"channel\":%s,\"sender\":%s,\"media\":%s,\"answer\":\"%s\"}", QUOTED(message->text), QUOTED(message->kind),
      QUOTED(message->customer), QUOTED(message->channel), TRUTH(!message->sender), TRUTH(!relais_file_bytes(&file, &count)), outcome(answer)));
  return RELAIS_OK;
}
