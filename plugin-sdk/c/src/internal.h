/* What the files of the SDK share: strings of the contract, and memory of the run's own. */

#ifndef RELAIS_INTERNAL_H
#define RELAIS_INTERNAL_H

#include "plugin.h"
#include "relais.h"
#include <stdarg.h>

/* Never NULL: a run that is out of memory ends here, and the host says why. It is not freed; the instance goes with it. */
void *relais_allocate(size_t size);
const char *relais_vprintf(const char *format, va_list arguments);

/* Borrowed by the host for the time of a call. */
plugin_string_t relais_lend(const char *text);
/* A copy that ends with NUL. */
const char *relais_keep(plugin_string_t text);
#define MAYBE(option) ((option).is_some ? relais_keep((option).val) : NULL)

/* The contract's list of names and values, lent; and one of its lists, kept. */
relais_plugin_types_attributes_t relais_lend_pairs(const relais_pair *pairs, size_t count);
relais_attributes relais_keep_pairs(relais_plugin_types_attributes_t from);
relais_delivery relais_keep_delivery(const relais_plugin_messages_delivery_t *from);
relais_event relais_keep_event(const relais_plugin_types_event_t *from);

#endif
