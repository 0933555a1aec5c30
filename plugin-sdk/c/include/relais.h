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

typedef struct { const char *id, *source, *type, *subject /* or NULL */, *customer /* or NULL */, *data /* JSON */; relais_instant time; } relais_event;
typedef struct { const char *key, *customer /* or NULL */, *data /* JSON */, *set_by; relais_instant due; } relais_timer;
typedef struct { const char *id, *tag, *customer, *code, *detail /* these four or NULL */, *state, *channel; bool settled; relais_instant time; } relais_delivery;
typedef struct { const char *id, *sender, *channel, *kind, *text, *customer, *choice, *in_reply_to, *tag /* these four or NULL */; bool opening; relais_instant time; } relais_incoming;

/* ---- How a handler ends. What it asked for is kept if it gives RELAIS_OK, and else not at all. */

typedef struct { int kind; const char *message; relais_duration after; } relais_outcome;

#define RELAIS_OK ((relais_outcome){0, NULL, -1})
/* Not worth trying again: set aside, with this reason. Written like printf. */
relais_outcome relais_reject(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Worth trying again later; not before `after`, where that is not negative. */
relais_outcome relais_retry(relais_duration after, const char *format, ...) __attribute__((format(printf, 2, 3)));

relais_outcome on_event(const relais_event *event);
relais_outcome on_timer(const relais_timer *timer);
relais_outcome on_delivery(const relais_delivery *delivery);
relais_outcome on_message(const relais_incoming *message);

/* ---- Messages. Set what you need, then send: it only asks, and the message leaves once the run has ended well. */

typedef enum { RELAIS_REPLY, RELAIS_CONFIRMATION, RELAIS_ALERT, RELAIS_REMINDER } relais_purpose;
typedef struct relais_message relais_message;

relais_message *relais_message_to(const char *customer, relais_purpose purpose);
relais_message *relais_message_answer(const relais_incoming *message);
void relais_message_text(relais_message *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void relais_message_template(relais_message *, const char *name);
void relais_message_param(relais_message *, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void relais_message_choice(relais_message *, const char *id, const char *label);
void relais_message_attach_url(relais_message *, const char *url, const char *mime_type, const char *filename /* or NULL */);
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

/* RELAIS_OK, or a rejection that says why. The message's id goes to `id`, where that is not NULL. */
relais_outcome relais_message_send(relais_message *, const char **id);
/* The same, but RELAIS_OK as well where it lies with the customer: no consent, no address, quota, too late. The log says so. */
relais_outcome relais_message_send_or_skip(relais_message *);
void relais_message_cancel(const char *id);

/* ---- State, timers, events */

const char *relais_state_get(const char *key); /* or NULL */
void relais_state_set(const char *key, const char *value);
/* Forgotten after `ttl`, and erased with this customer; `ttl` negative and customer NULL for neither. */
void relais_state_set_for(const char *key, const char *value, relais_duration ttl, const char *customer);
void relais_state_remove(const char *key);

/* `data` is JSON, NULL for none. A negative `expires` is none. */
void relais_timer_at(const char *key, relais_instant due, const char *data, relais_instant expires);
void relais_timer_after(const char *key, relais_duration wait, const char *data);
void relais_timer_cancel(const char *key);

void relais_emit(const char *type, const char *subject /* or NULL */, const char *data, const char *dedup_key /* or NULL */);

/* ---- The run, its settings, the customer, dates, the log */

relais_instant relais_now(void);
const char *relais_run_id(void);
const char *relais_run_entity(void);
uint32_t relais_run_attempt(void);
const char *relais_config(void); /* JSON */
/* A code that a person can read out, without 0 and O, 1, I and L. */
const char *relais_code(size_t length);

typedef struct { const char *id, *name, *locale, *timezone /* these three or NULL */; } relais_customer;
bool relais_customer_get(const char *id, relais_customer *customer);
/* Whether the customer's language is this one: `fr` for `fr-FR`. */
bool relais_speaks(const relais_customer *customer, const char *language);

/* Reads an RFC 3339 time; one without an offset is taken in `timezone`. */
bool relais_parse_time(const char *text, const char *timezone, relais_instant *time);
typedef enum { RELAIS_DATE, RELAIS_TIME, RELAIS_DATE_TIME, RELAIS_WEEKDAY } relais_style;
const char *relais_format_time(relais_instant time, const char *timezone, const char *locale, relais_style style);

typedef enum { RELAIS_TRACE, RELAIS_DEBUG, RELAIS_INFO, RELAIS_WARN, RELAIS_ERROR } relais_level;
void relais_log(relais_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

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
