/* Reads single values out of JSON text that the host has checked already, so that a malformed text is only not followed. */

#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *space(const char *at) {
  while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t') at++;
  return at;
}

/* Behind a string, whose opening quote is at `at`. */
static const char *past_string(const char *at) {
  for (at++; *at && *at != '"'; at++) {
    if (*at == '\\' && at[1]) at++;
  }
  return *at ? at + 1 : at;
}

static const char *past_value(const char *at) {
  int depth = 0;
  do {
    at = space(at);
    if (*at == '"') at = past_string(at);
    else if (*at == '{' || *at == '[') depth++, at++;
    else if (*at == '}' || *at == ']') depth--, at++;
    else if (*at == ',' || *at == ':') at++;
    else while (*at && !strchr(",:]}[{\" \n\r\t", *at)) at++;
  } while (*at && depth > 0);
  return at;
}

static const char *find(const char *json, const char *path) {
  const char *at = space(json);
  while (*path) {
    size_t length = strcspn(path, ".");
    if (*at != '{') return NULL;
    at = space(at + 1);
    bool found = false;
    while (*at == '"' && !found) {
      const char *name = at + 1;
      const char *end = past_string(at);
      found = (size_t)(end - 1 - name) == length && memcmp(name, path, length) == 0;
      at = space(end);
      if (*at != ':') return NULL;
      at = space(at + 1);
      if (!found) {
        at = space(past_value(at));
        if (*at == ',') at = space(at + 1);
      }
    }
    if (!found) return NULL;
    path += length;
    if (*path == '.') path++;
  }
  return at;
}

static unsigned hex4(const char *at) {
  char digits[5] = {0};
  strncpy(digits, at, 4);
  return (unsigned)strtoul(digits, NULL, 16);
}

static char *utf8(char *to, unsigned point) {
  if (point < 0x80) *to++ = (char)point;
  else if (point < 0x800) *to++ = (char)(0xc0 | point >> 6), *to++ = (char)(0x80 | (point & 63));
  else if (point < 0x10000) *to++ = (char)(0xe0 | point >> 12), *to++ = (char)(0x80 | (point >> 6 & 63)), *to++ = (char)(0x80 | (point & 63));
  else *to++ = (char)(0xf0 | point >> 18), *to++ = (char)(0x80 | (point >> 12 & 63)), *to++ = (char)(0x80 | (point >> 6 & 63)), *to++ = (char)(0x80 | (point & 63));
  return to;
}

const char *relais_json_string(const char *json, const char *path) {
  const char *at = find(json, path);
  if (!at || *at != '"') return NULL;
  const char *end = past_string(at) - 1;
  /* An escape is never shorter than what it stands for. */
  char *text = relais_allocate((size_t)(end - at)), *to = text;
  for (at++; at < end; at++) {
    if (*at != '\\') { *to++ = *at; continue; }
    at++;
    switch (*at) {
      case 'n': *to++ = '\n'; break;
      case 't': *to++ = '\t'; break;
      case 'r': *to++ = '\r'; break;
      case 'b': *to++ = '\b'; break;
      case 'f': *to++ = '\f'; break;
      case 'u': {
        unsigned point = hex4(at + 1);
        at += 4;
        if (point >= 0xd800 && point < 0xdc00 && at[1] == '\\' && at[2] == 'u') {
          point = 0x10000 + ((point - 0xd800) << 10) + (hex4(at + 3) - 0xdc00);
          at += 6;
        }
        to = utf8(to, point);
        break;
      }
      default: *to++ = *at;
    }
  }
  *to = 0;
  return text;
}

bool relais_json_number(const char *json, const char *path, double *number) {
  const char *at = find(json, path);
  if (!at || !(*at == '-' || (*at >= '0' && *at <= '9'))) return false;
  *number = strtod(at, NULL);
  return true;
}

bool relais_json_bool(const char *json, const char *path, bool *value) {
  const char *at = find(json, path);
  if (!at || (strncmp(at, "true", 4) != 0 && strncmp(at, "false", 5) != 0)) return false;
  *value = *at == 't';
  return true;
}

bool relais_json_has(const char *json, const char *path) {
  const char *at = find(json, path);
  return at && strncmp(at, "null", 4) != 0;
}

const char *relais_json_quote(const char *text) {
  /* At worst each byte becomes an escape of six. */
  char *quoted = relais_allocate(strlen(text) * 6 + 3), *to = quoted;
  *to++ = '"';
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\') *to++ = '\\', *to++ = (char)c;
    else if (c < 0x20) to += sprintf(to, "\\u%04x", c);
    else *to++ = (char)c;
  }
  *to++ = '"';
  *to = 0;
  return quoted;
}
