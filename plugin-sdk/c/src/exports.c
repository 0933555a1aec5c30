/* The component's exports: each gives a handler what came in, in the words of relais.h, and the host what it answered. */

#include "relais.h"
#include "internal.h"

enum { OK, REJECT, RETRY };

static relais_outcome nothing_to_do(void) { return RELAIS_OK; }

/* A plugin defines those that it has; the host calls those that the manifest asks for. */
__attribute__((weak)) relais_outcome on_event(const relais_event *event) { (void)event; return nothing_to_do(); }
__attribute__((weak)) relais_outcome on_timer(const relais_timer *timer) { (void)timer; return nothing_to_do(); }
__attribute__((weak)) relais_outcome on_delivery(const relais_delivery *delivery) { (void)delivery; return nothing_to_do(); }
__attribute__((weak)) relais_outcome on_message(const relais_incoming *message) { (void)message; return nothing_to_do(); }

relais_outcome relais_reject(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  relais_outcome outcome = {REJECT, relais_vprintf(format, arguments), -1};
  va_end(arguments);
  return outcome;
}

relais_outcome relais_retry(relais_duration after, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  relais_outcome outcome = {RETRY, relais_vprintf(format, arguments), after};
  va_end(arguments);
  return outcome;
}

static bool answered(relais_outcome outcome, relais_plugin_types_failure_t *failure) {
  if (outcome.kind == OK) return true;
  /* What it points to is freed after the call by the generated code, so it is a copy. */
  plugin_string_t message;
  plugin_string_dup(&message, outcome.message);
  if (outcome.kind == REJECT) {
    failure->tag = RELAIS_PLUGIN_TYPES_FAILURE_REJECT;
    failure->val.reject = message;
  } else {
    failure->tag = RELAIS_PLUGIN_TYPES_FAILURE_RETRY;
    failure->val.retry = (relais_plugin_types_retry_info_t){message, {outcome.after >= 0, outcome.after}};
  }
  return false;
}

#define MAYBE(option) ((option).is_some ? relais_keep((option).val) : NULL)

bool exports_relais_plugin_on_event_handle(exports_relais_plugin_on_event_event_t *from, exports_relais_plugin_on_event_failure_t *failure) {
  relais_event event = {
      .id = relais_keep(from->id), .source = relais_keep(from->source), .type = relais_keep(from->event_type),
      .subject = MAYBE(from->subject), .customer = MAYBE(from->customer), .data = relais_keep(from->data), .time = from->time,
  };
  return answered(on_event(&event), failure);
}

bool exports_relais_plugin_on_timer_handle(exports_relais_plugin_on_timer_timer_t *from, exports_relais_plugin_on_timer_failure_t *failure) {
  relais_timer timer = {
      .key = relais_keep(from->key), .customer = MAYBE(from->customer), .data = relais_keep(from->data),
      .set_by = relais_keep(from->set_by), .due = from->due,
  };
  return answered(on_timer(&timer), failure);
}

bool exports_relais_plugin_on_delivery_handle(exports_relais_plugin_on_delivery_delivery_t *from, exports_relais_plugin_on_delivery_failure_t *failure) {
  static const char *const states[] = {"pending", "sent", "delivered", "read", "falling-back", "failed", "expired", "cancelled"};
  relais_delivery delivery = {
      .id = relais_keep(from->id), .tag = MAYBE(from->tag), .customer = MAYBE(from->customer), .code = MAYBE(from->code),
      .detail = MAYBE(from->detail), .state = states[from->state], .channel = relais_keep(from->channel),
      .settled = from->settled, .time = from->time,
  };
  return answered(on_delivery(&delivery), failure);
}

bool exports_relais_plugin_on_message_handle(exports_relais_plugin_on_message_incoming_t *from, exports_relais_plugin_on_message_failure_t *failure) {
  relais_incoming message = {
      .id = relais_keep(from->id), .sender = relais_keep(from->sender), .channel = relais_keep(from->channel),
      .kind = relais_keep(from->kind), .text = relais_keep(from->text), .customer = MAYBE(from->customer),
      .choice = MAYBE(from->choice), .in_reply_to = MAYBE(from->in_reply_to), .tag = MAYBE(from->tag),
      .opening = from->opening, .time = from->time,
  };
  return answered(on_message(&message), failure);
}
