/* Messages: a draft of the contract, with its parameters and choices gathered until it is sent. */

#include "internal.h"

#include <string.h>

/* More than WhatsApp takes of either; one too many ends in `bad-content` or `bad-template` and not in silence. */
#define PARAMS_MAX 64
#define CHOICES_MAX 64

struct relais_message {
  relais_plugin_messages_own_draft_t own;
  relais_plugin_messages_borrow_draft_t draft;
  const char *template_name;
  plugin_tuple2_string_string_t params[PARAMS_MAX];
  size_t param_count;
  relais_plugin_messages_choice_t choices[CHOICES_MAX];
  size_t choice_count;
};

static relais_message *begin(relais_plugin_messages_own_draft_t own) {
  relais_message *message = relais_allocate(sizeof *message);
  memset(message, 0, sizeof *message);
  message->own = own;
  message->draft = relais_plugin_messages_borrow_draft(own);
  return message;
}

relais_message *relais_message_to(const char *customer, relais_purpose purpose) {
  plugin_string_t id = relais_lend(customer);
  return begin(relais_plugin_messages_static_draft_to_customer(&id, (relais_plugin_messages_purpose_t)purpose));
}

relais_message *relais_message_to_phone(const char *number, relais_purpose purpose) {
  plugin_string_t lent = relais_lend(number);
  return begin(relais_plugin_messages_static_draft_to_phone(&lent, (relais_plugin_messages_purpose_t)purpose));
}

relais_message *relais_message_answer(const relais_incoming *incoming) {
  plugin_string_t id = relais_lend(incoming->id);
  return begin(relais_plugin_messages_static_draft_answer(&id));
}

void relais_message_text(relais_message *message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  plugin_string_t text = relais_lend(relais_vprintf(format, arguments));
  va_end(arguments);
  relais_plugin_messages_method_draft_text(message->draft, &text);
}

void relais_message_template(relais_message *message, const char *name) { message->template_name = name; }

void relais_message_param(relais_message *message, const char *name, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const char *value = relais_vprintf(format, arguments);
  va_end(arguments);
  if (message->param_count == PARAMS_MAX) __builtin_trap();
  message->params[message->param_count++] = (plugin_tuple2_string_string_t){relais_lend(name), relais_lend(value)};
}

void relais_message_choice(relais_message *message, const char *id, const char *label) {
  if (message->choice_count == CHOICES_MAX) __builtin_trap();
  message->choices[message->choice_count++] = (relais_plugin_messages_choice_t){.id = relais_lend(id), .label = relais_lend(label)};
}

void relais_message_attach_url(relais_message *message, const char *url, const char *mime_type, const char *filename) {
  plugin_string_t place = relais_lend(url), type = relais_lend(mime_type), name = relais_lend(filename ? filename : "");
  relais_plugin_messages_method_draft_attach_url(message->draft, &place, &type, filename ? &name : NULL);
}

void relais_message_attach_bytes(relais_message *message, const void *bytes, size_t count, const char *mime_type, const char *filename) {
  relais_plugin_messages_bytes_t content = {(uint8_t *)bytes, count};
  plugin_string_t type = relais_lend(mime_type), name = relais_lend(filename ? filename : "");
  relais_plugin_messages_method_draft_attach_bytes(message->draft, &content, &type, filename ? &name : NULL);
}

void relais_message_content(relais_message *message, const char *kind, const char *data) {
  plugin_string_t name = relais_lend(kind), json = relais_lend(data);
  relais_plugin_messages_method_draft_content(message->draft, &name, &json);
}

void relais_message_setting(relais_message *message, const char *name, const char *value) {
  plugin_string_t setting = relais_lend(name), text = relais_lend(value);
  relais_plugin_messages_method_draft_setting(message->draft, &setting, &text);
}

void relais_message_location(relais_message *message, double latitude, double longitude, const char *name) {
  relais_plugin_messages_place_t place = {latitude, longitude, {name != NULL, relais_lend(name ? name : "")}, {false, {0}}};
  relais_plugin_messages_method_draft_location(message->draft, &place);
}

/* The setters that take one string and do nothing else. */
#define SETTER(name)                                                      \
  void relais_message_##name(relais_message *message, const char *value) { \
    plugin_string_t text = relais_lend(value);                            \
    relais_plugin_messages_method_draft_##name(message->draft, &text);    \
  }
SETTER(because)
SETTER(sms_text)
SETTER(dedup_key)
SETTER(tag)
SETTER(locale)
SETTER(quote)
SETTER(attach_asset)

void relais_message_no_sms(relais_message *message) { relais_plugin_messages_method_draft_no_sms(message->draft); }

void relais_message_sms_only(relais_message *message) { relais_plugin_messages_method_draft_sms_only(message->draft); }

void relais_message_fallback_after(relais_message *message, relais_duration wait) {
  relais_plugin_messages_method_draft_fallback_after(message->draft, wait);
}

void relais_message_expires(relais_message *message, relais_instant at) {
  relais_plugin_messages_method_draft_expires(message->draft, at);
}

static const char *const REASONS[] = {
    "unknown-customer", "no-address", "no-consent", "not-expected", "template-needed", "bad-template",
    "bad-content",      "not-permitted", "over-quota", "expired",   "other",
};

static const char *why(const relais_plugin_messages_send_error_t *refused) {
  switch (refused->tag) {
    case RELAIS_PLUGIN_MESSAGES_SEND_ERROR_UNKNOWN_CUSTOMER:
    case RELAIS_PLUGIN_MESSAGES_SEND_ERROR_NO_ADDRESS:
    case RELAIS_PLUGIN_MESSAGES_SEND_ERROR_TEMPLATE_NEEDED:
    case RELAIS_PLUGIN_MESSAGES_SEND_ERROR_EXPIRED:
      return REASONS[refused->tag];
    default:
      /* Every other case holds a string, in the same place of the union. */
      return relais_printf("%s: %s", REASONS[refused->tag], relais_keep(refused->val.other));
  }
}

/* Nobody has made a mistake: this customer cannot or does not want to be written to now. */
static bool about_the_customer(const relais_plugin_messages_send_error_t *refused) {
  return refused->tag == RELAIS_PLUGIN_MESSAGES_SEND_ERROR_NO_ADDRESS || refused->tag == RELAIS_PLUGIN_MESSAGES_SEND_ERROR_NO_CONSENT ||
         refused->tag == RELAIS_PLUGIN_MESSAGES_SEND_ERROR_OVER_QUOTA || refused->tag == RELAIS_PLUGIN_MESSAGES_SEND_ERROR_EXPIRED;
}

static bool sent(relais_message *message, plugin_string_t *id, relais_plugin_messages_send_error_t *refused) {
  if (message->template_name) {
    plugin_string_t name = relais_lend(message->template_name);
    relais_plugin_messages_attributes_t params = {message->params, message->param_count};
    relais_plugin_messages_method_draft_template(message->draft, &name, &params);
  }
  if (message->choice_count > 0) {
    relais_plugin_messages_list_choice_t choices = {message->choices, message->choice_count};
    relais_plugin_messages_method_draft_choices(message->draft, &choices);
  }
  return relais_plugin_messages_method_draft_send(message->draft, id, refused);
}

relais_outcome relais_message_send(relais_message *message, const char **id) {
  plugin_string_t given;
  relais_plugin_messages_send_error_t refused;
  if (!sent(message, &given, &refused)) return relais_reject("the message was not taken: %s", why(&refused));
  if (id) *id = relais_keep(given);
  return RELAIS_OK;
}

relais_outcome relais_message_send_or_skip(relais_message *message) {
  plugin_string_t given;
  relais_plugin_messages_send_error_t refused;
  if (sent(message, &given, &refused)) return RELAIS_OK;
  if (!about_the_customer(&refused)) return relais_reject("the message was not taken: %s", why(&refused));
  relais_log(RELAIS_INFO, "no message: %s", why(&refused));
  return RELAIS_OK;
}

void relais_message_cancel(const char *id) {
  plugin_string_t name = relais_lend(id);
  relais_plugin_messages_cancel(&name);
}

bool relais_message_status(const char *id, relais_delivery *delivery) {
  plugin_string_t name = relais_lend(id);
  relais_plugin_messages_delivery_t found;
  if (!relais_plugin_messages_status(&name, &found)) return false;
  *delivery = relais_keep_delivery(&found);
  return true;
}

const void *relais_file_bytes(const relais_file *file, size_t *count) {
  plugin_string_t id = relais_lend(file->id);
  relais_plugin_messages_bytes_t found;
  if (!relais_plugin_messages_media(&id, &found)) return NULL;
  *count = found.len;
  return relais_keep((plugin_string_t){found.ptr, found.len});
}
