/* Requests to services that the manifest names and the operator grants. */

#include "internal.h"

#include <string.h>

static const char *const CODES[] = {"not-permitted", "bad-request", "unreachable", "timed-out", "too-large", "over-quota", "other"};

relais_outcome relais_fetch(const relais_request *request, relais_response *response) {
  relais_plugin_http_request_t asked = {
      .method = relais_lend(request->method ? request->method : "GET"),
      .url = relais_lend(request->url),
      .headers = relais_lend_pairs(request->headers, request->header_count),
      .body = {request->body != NULL, {(uint8_t *)request->body, request->body ? strlen(request->body) : 0}},
      .timeout = {request->timeout > 0, request->timeout},
  };
  relais_plugin_http_response_t answer;
  relais_plugin_http_http_error_t error;
  if (relais_plugin_http_send(&asked, &answer, &error)) {
    *response = (relais_response){answer.status, relais_keep_pairs(answer.headers), relais_keep((plugin_string_t){answer.body.ptr, answer.body.len}), answer.body.len};
    return RELAIS_OK;
  }
  bool silent = error.tag == RELAIS_PLUGIN_HTTP_HTTP_ERROR_TIMED_OUT || error.tag == RELAIS_PLUGIN_HTTP_HTTP_ERROR_TOO_LARGE;
  /* Every other case holds a string, in the same place of the union. */
  const char *why = silent ? "no further reason" : relais_keep(error.val.other);
  bool passing = error.tag == RELAIS_PLUGIN_HTTP_HTTP_ERROR_UNREACHABLE || error.tag == RELAIS_PLUGIN_HTTP_HTTP_ERROR_TIMED_OUT;
  if (passing) return relais_retry(-1, "%s: %s: %s", request->url, CODES[error.tag], why);
  return relais_reject("%s: %s: %s", request->url, CODES[error.tag], why);
}
