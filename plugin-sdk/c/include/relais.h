/* Write relais plugins in C.
 *
 * Define the handlers that plugin.toml asks for; those that you leave out do nothing:
 *
 *     relais_outcome on_event(const relais_event *event) {
 *         const char *restaurant = relais_json_string(event->data, "restaurant");
 *         if (!restaurant) return relais_reject("data.restaurant should be a string");
 *         ...
 *         return RELAIS_OK;
 *     }
 *
 * Strings are UTF-8, end with NUL, and are never NULL unless it says so: NULL is then "nothing there". What these functions
 * give is yours for the run and need not be freed: each run has a fresh instance, and its memory goes with it.
 * Times are milliseconds since 1970, lengths of time are milliseconds. */

#ifndef RELAIS_H
#define RELAIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef double relais_instant;
typedef double relais_duration;

#define RELAIS_SECONDS(n) ((relais_duration)(n) * 1000.0)
#define RELAIS_MINUTES(n) ((relais_duration)(n) * 60000.0)
#define RELAIS_HOURS(n) ((relais_duration)(n) * 3600000.0)

/* ---- What comes in */

/* Names and values, in no particular order. */
typedef struct { const char *name, *value; } relais_pair;
typedef struct { const relais_pair *pairs; size_t count; } relais_attributes;
/* The value of a name, or NULL. */
const char *relais_attribute(const relais_attributes *attributes, const char *name);

typedef struct { const char *id, *source, *type, *subject /* or NULL */, *customer /* or NULL */, *data /* JSON */; relais_instant time; relais_attributes attributes; } relais_event;
typedef struct { const char *key, *customer /* or NULL */, *data /* JSON */, *set_by; relais_instant due; } relais_timer;
typedef struct { const char *id, *tag, *customer, *code, *detail /* these four or NULL */, *state, *channel; bool settled; relais_instant time; relais_attributes attributes; } relais_delivery;
typedef struct { const char *id, *mime_type, *filename /* or NULL */; size_t bytes /* or 0 */; } relais_file;
typedef struct {
  const char *id, *channel, *kind, *text, *sender, *customer, *choice, *in_reply_to, *tag /* these five or NULL */;
  bool opening, located;
  relais_instant time, window_ends /* or -1 */;
  double latitude, longitude;
  const relais_file *files;
  size_t file_count;
} relais_incoming;
/* The bytes of a file that a customer sent, with a NUL behind them; NULL where they cannot be had. */
const void *relais_file_bytes(const relais_file *file, size_t *count);

/* ---- How a handler ends. What it asked for is kept if it gives RELAIS_OK, and else not at all. */

typedef struct { int kind; const char *message, *detail /* or NULL */; relais_duration after; } relais_outcome;

#define RELAIS_OK ((relais_outcome){0, NULL, NULL, -1})
/* Not worth trying again: set aside, with this reason. Written like printf. */
relais_outcome relais_reject(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Worth trying again later; not before `after`, where that is not negative. */
relais_outcome relais_retry(relais_duration after, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same outcome, with what else helps to find what went wrong. */
relais_outcome relais_with_detail(relais_outcome outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));

relais_outcome on_event(const relais_event *event);
relais_outcome on_timer(const relais_timer *timer);
relais_outcome on_delivery(const relais_delivery *delivery);
relais_outcome on_message(const relais_incoming *message);

/* ---- Messages. Set what you need, then send: it only asks, and the message leaves once the run has ended well. */

typedef enum { RELAIS_REPLY, RELAIS_CONFIRMATION, RELAIS_ALERT, RELAIS_REMINDER } relais_purpose;
typedef struct relais_message relais_message;

relais_message *relais_message_to(const char *customer, relais_purpose purpose);
/* To a telephone number in E.164 form, where the manifest has the permission `phone`. */
relais_message *relais_message_to_phone(const char *number, relais_purpose purpose);
relais_message *relais_message_answer(const relais_incoming *message);
void relais_message_text(relais_message *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void relais_message_template(relais_message *, const char *name);
void relais_message_param(relais_message *, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void relais_message_choice(relais_message *, const char *id, const char *label);
void relais_message_attach_url(relais_message *, const char *url, const char *mime_type, const char *filename /* or NULL */);
/* A file of the plugin's package, and the bytes themselves. */
void relais_message_attach_asset(relais_message *, const char *path);
void relais_message_attach_bytes(relais_message *, const void *bytes, size_t count, const char *mime_type, const char *filename /* or NULL */);
void relais_message_location(relais_message *, double latitude, double longitude, const char *name /* or NULL */);
void relais_message_because(relais_message *, const char *reference);
void relais_message_sms_text(relais_message *, const char *text);
void relais_message_no_sms(relais_message *);
void relais_message_sms_only(relais_message *);
void relais_message_fallback_after(relais_message *, relais_duration wait);
void relais_message_expires(relais_message *, relais_instant at);
void relais_message_dedup_key(relais_message *, const char *key);
void relais_message_tag(relais_message *, const char *tag);
void relais_message_locale(relais_message *, const char *tag);
void relais_message_quote(relais_message *, const char *id);
/* What has no function here, by the registry's name. */
void relais_message_content(relais_message *, const char *kind, const char *json);
void relais_message_setting(relais_message *, const char *name, const char *value);

/* RELAIS_OK, or a rejection that says why. The message's id goes to `id`, where that is not NULL. */
relais_outcome relais_message_send(relais_message *, const char **id);
/* The same, but RELAIS_OK as well where it lies with the customer: no consent, no address, quota, too late. The log says so. */
relais_outcome relais_message_send_or_skip(relais_message *);
void relais_message_cancel(const char *id);
/* What is known of a message that this plugin sent; false where it is none. */
bool relais_message_status(const char *id, relais_delivery *delivery);

/* ---- State, timers, events */

const char *relais_state_get(const char *key); /* or NULL */
void relais_state_set(const char *key, const char *value);
/* Forgotten after `ttl`, and erased with this customer; `ttl` negative and customer NULL for neither. */
void relais_state_set_for(const char *key, const char *value, relais_duration ttl, const char *customer);
void relais_state_remove(const char *key);
typedef struct { const char *key, *value; } relais_entry;
/* Every entry whose key begins with `prefix`, in the order of the keys. */
relais_entry *relais_state_scan(const char *prefix, size_t *count);

/* `data` is JSON, NULL for none. A negative `expires` is none. */
void relais_timer_at(const char *key, relais_instant due, const char *data, relais_instant expires);
void relais_timer_after(const char *key, relais_duration wait, const char *data);
void relais_timer_cancel(const char *key);
bool relais_timer_get(const char *key, relais_timer *timer);

void relais_emit(const char *type, const char *subject /* or NULL */, const char *data, const char *dedup_key /* or NULL */);

/* The same with CloudEvents extension attributes, of lower-case letters and digits. */
void relais_emit_with(const char *type, const char *subject, const char *data, const char *dedup_key, const relais_pair *attributes, size_t count);

/* ---- Services, where the manifest has the permission and the operator grants it. Each request carries an Idempotency-Key that is the same in every execution of the run. */

typedef struct {
  const char *method /* or NULL for GET */, *url;
  const relais_pair *headers; /* A placeholder of relais_secret in a value is replaced by the secret, by the host. */
  size_t header_count;
  const char *body; /* or NULL */
  relais_duration timeout; /* 0 for the host's own */
} relais_request;
typedef struct { unsigned status; relais_attributes headers /* names in lower case */; const char *body; size_t body_bytes; } relais_response;

/* RELAIS_OK where there is a response, whatever its status; else the outcome for the run, which is tried again where that may help. */
relais_outcome relais_fetch(const relais_request *request, relais_response *response);

/* ---- The run, its settings, the customer, dates, the log */

relais_instant relais_now(void);
const char *relais_run_id(void);
const char *relais_run_entity(void);
uint32_t relais_run_attempt(void);
const char *relais_run_customer(void);                  /* or NULL */
const char *relais_run_attribute(const char *name);     /* or NULL: `tenant`, `plugin`, `version`, `deadline` */
/* A placeholder for a secret, or NULL. */
const char *relais_secret(const char *name);
/* Fit for secrets, and the same in every execution of the run. */
void relais_random(void *bytes, size_t count);
const char *relais_config(void); /* JSON */
/* A code that a person can read out, without 0 and O, 1, I and L. */
const char *relais_code(size_t length);

typedef struct { const char *id, *name, *locale, *timezone /* these three or NULL */; relais_attributes attributes; } relais_customer;
bool relais_customer_get(const char *id, relais_customer *customer);
/* Whether the customer's language is this one: `fr` for `fr-FR`. */
bool relais_speaks(const relais_customer *customer, const char *language);

/* The ways to reach the customer, the preferred one first. `consent` is `unknown`, `granted` or `refused`; `window_ends` -1 where free content is not allowed. */
typedef struct { const char *channel, *consent; bool addressable; relais_instant window_ends; } relais_route;
relais_route *relais_routes(const char *customer, size_t *count);
/* What the customer has agreed to: `service` for messages of the four purposes, or `marketing`. */
const char *relais_consent(const char *customer, const char *channel, const char *scope);
/* The customer's latest events of a type, or of any type that begins with it where it ends in `.*`. */
relais_event *relais_history(const char *customer, const char *type, uint32_t limit, size_t *count);

/* Reads an RFC 3339 time; one without an offset is taken in `timezone`. */
bool relais_parse_time(const char *text, const char *timezone, relais_instant *time);
typedef struct { int year, month, day, hour, minute, second, weekday /* 1 for Monday to 7 for Sunday */; } relais_local_time;
bool relais_to_local(relais_instant time, const char *timezone, relais_local_time *local);
bool relais_from_local(const relais_local_time *local, const char *timezone, relais_instant *time);
typedef enum { RELAIS_DATE, RELAIS_TIME, RELAIS_DATE_TIME, RELAIS_WEEKDAY } relais_style;
const char *relais_format_time(relais_instant time, const char *timezone, const char *locale, relais_style style);

typedef enum { RELAIS_TRACE, RELAIS_DEBUG, RELAIS_INFO, RELAIS_WARN, RELAIS_ERROR } relais_level;
void relais_log(relais_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with fields to find the line by. */
void relais_log_with(relais_level level, const relais_pair *fields, size_t count, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- JSON. A path is names with dots, `order.id`; "" is the whole. */

const char *relais_json_string(const char *json, const char *path); /* NULL where there is no string */
bool relais_json_number(const char *json, const char *path, double *number);
bool relais_json_bool(const char *json, const char *path, bool *value);
/* Whether there is anything else than null. */
bool relais_json_has(const char *json, const char *path);

/* printf into a string of the run's own, and the same with quotes and escapes around it, as JSON has it. */
const char *relais_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *relais_json_quote(const char *text);

#endif
