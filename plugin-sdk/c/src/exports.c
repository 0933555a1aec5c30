/* The component's exports: each gives a handler what came in, in the words of relais.h, and the host what it answered. */

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
  relais_outcome outcome = {REJECT, relais_vprintf(format, arguments), NULL, -1};
  va_end(arguments);
  return outcome;
}

relais_outcome relais_retry(relais_duration after, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  relais_outcome outcome = {RETRY, relais_vprintf(format, arguments), NULL, after};
  va_end(arguments);
  return outcome;
}

relais_outcome relais_with_detail(relais_outcome outcome, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  outcome.detail = relais_vprintf(format, arguments);
  va_end(arguments);
  return outcome;
}

static bool answered(relais_outcome outcome, relais_plugin_types_failure_t *failure) {
  if (outcome.kind == OK) return true;
  /* What it points to is freed after the call by the generated code, so these are copies. */
  plugin_string_t message, detail = {0};
  plugin_string_dup(&message, outcome.message);
  if (outcome.detail) plugin_string_dup(&detail, outcome.detail);
  if (outcome.kind == REJECT) {
    failure->tag = RELAIS_PLUGIN_TYPES_FAILURE_REJECT;
    failure->val.reject = (relais_plugin_types_reject_info_t){.message = message, .detail = {outcome.detail != NULL, detail}};
  } else {
    failure->tag = RELAIS_PLUGIN_TYPES_FAILURE_RETRY;
    failure->val.retry = (relais_plugin_types_retry_info_t){.message = message, .detail = {outcome.detail != NULL, detail}, .after = {outcome.after >= 0, outcome.after}};
  }
  return false;
}

relais_event relais_keep_event(const relais_plugin_types_event_t *from) {
  return (relais_event){
      .id = relais_keep(from->id), .source = relais_keep(from->source), .type = relais_keep(from->event_type),
      .subject = MAYBE(from->subject), .customer = MAYBE(from->customer), .data = relais_keep(from->data), .time = from->time,
      .attributes = relais_keep_pairs(from->attributes),
  };
}

relais_delivery relais_keep_delivery(const relais_plugin_messages_delivery_t *from) {
  static const char *const states[] = {"pending", "sent", "delivered", "read", "falling-back", "failed", "expired", "cancelled"};
  return (relais_delivery){
      .id = relais_keep(from->id), .tag = MAYBE(from->tag), .customer = MAYBE(from->customer), .code = MAYBE(from->code),
      .detail = MAYBE(from->detail), .state = states[from->state], .channel = relais_keep(from->channel),
      .settled = from->settled, .time = from->time, .attributes = relais_keep_pairs(from->attributes),
  };
}

static relais_file keep_file(const relais_plugin_messages_incoming_media_t *from) {
  return (relais_file){relais_keep(from->id), relais_keep(from->mime_type), MAYBE(from->filename), from->size.is_some ? from->size.val : 0};
}

bool exports_relais_plugin_on_event_handle(exports_relais_plugin_on_event_event_t *from, exports_relais_plugin_on_event_failure_t *failure) {
  relais_event event = relais_keep_event(from);
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
  relais_delivery delivery = relais_keep_delivery(from);
  return answered(on_delivery(&delivery), failure);
}

bool exports_relais_plugin_on_message_handle(exports_relais_plugin_on_message_incoming_t *from, exports_relais_plugin_on_message_failure_t *failure) {
  relais_file *files = relais_allocate(from->media.len * sizeof *files);
  for (size_t at = 0; at < from->media.len; at++) files[at] = keep_file(&from->media.ptr[at]);
  relais_incoming message = {
      .id = relais_keep(from->id), .sender = MAYBE(from->sender), .channel = relais_keep(from->channel),
      .kind = relais_keep(from->kind), .text = relais_keep(from->text), .customer = MAYBE(from->customer),
      .choice = MAYBE(from->choice), .in_reply_to = MAYBE(from->in_reply_to), .tag = MAYBE(from->tag),
      .opening = from->opening, .time = from->time, .files = files, .file_count = from->media.len,
      .located = from->location.is_some, .latitude = from->location.val.latitude, .longitude = from->location.val.longitude,
      .window_ends = from->window_ends.is_some ? from->window_ends.val : -1,
  };
  if (!message.located) message.latitude = message.longitude = 0;
  return answered(on_message(&message), failure);
}
