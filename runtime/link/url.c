#include "link/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  KEEPALIVE_MAX = 32767,
  TIMEOUT_MAX = 86400,
  BACKLOG_MAX = 65535,
  COST_MAX_S = 60,
  SECOND_US = 1000000,
};

// A piece of the text; texts are not cut into C strings while they are looked at.
typedef struct span {
  const char *at;
  size_t len;
} span;

static bool span_is(span s, const char *text) {
  return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

// Cuts *s at the first `c`: what is before it is returned, what is behind stays.
static span cut(span *s, char c) {
  const char *found = memchr(s->at, c, s->len);
  span head = {s->at, found != NULL ? (size_t)(found - s->at) : s->len};
  size_t used = found != NULL ? head.len + 1 : head.len;
  s->at += used;
  s->len -= used;
  return head;
}

static bool copy_span(char *out, size_t cap, span s) {
  if (s.len >= cap) return false;
  memcpy(out, s.at, s.len);
  out[s.len] = '\0';
  return true;
}

static bool parse_number(uint32_t *out, span s, unsigned base, uint32_t max) {
  if (s.len == 0 || s.len > 10) return false;
  uint64_t n = 0;
  for (size_t i = 0; i < s.len; i++) {
    unsigned digit = (unsigned)(s.at[i] - '0');
    if (s.at[i] < '0' || digit >= base) return false;
    n = n * base + digit;
  }
  if (n > max) return false;
  *out = (uint32_t)n;
  return true;
}

static bool parse_flag(bool *out, span s) {
  *out = span_is(s, "1") || span_is(s, "true");
  return *out || span_is(s, "0") || span_is(s, "false");
}

static bool is_numeric(const char *host) {
  unsigned char address[16];
  return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool set_nodelay(pl_url *u, span v) {
  return parse_flag(&u->nodelay, v);
}
static bool set_keepalive(pl_url *u, span v) {
  return parse_number(&u->keepalive_s, v, 10, KEEPALIVE_MAX);
}
static bool set_user_timeout(pl_url *u, span v) {
  return parse_number(&u->user_timeout_s, v, 10, TIMEOUT_MAX);
}
static bool set_backlog(pl_url *u, span v) {
  return parse_number(&u->backlog, v, 10, BACKLOG_MAX) && u->backlog > 0;
}
static bool set_reuseport(pl_url *u, span v) {
  return parse_flag(&u->reuseport, v);
}
static bool set_mode(pl_url *u, span v) {
  return parse_number(&u->mode, v, 8, 0777);
}
static bool set_bind(pl_url *u, span v) {
  return copy_span(u->bind, sizeof u->bind, v) && is_numeric(u->bind);
}

// Seconds, with up to six digits behind a point.
static bool set_cost(pl_url *u, span v) {
  uint32_t whole, part = 0;
  span head = cut(&v, '.');
  if (!parse_number(&whole, head, 10, COST_MAX_S) || v.len > 6) return false;
  if (v.len > 0 && !parse_number(&part, v, 10, SECOND_US - 1)) return false;
  for (size_t digits = v.len; part > 0 && digits < 6; digits++)
    part *= 10;
  u->cost_us = whole * SECOND_US + part;
  return u->cost_us > 0 && u->cost_us <= COST_MAX_S * SECOND_US;
}

static const struct option {
  const char *name;
  const char *scheme;  // NULL: every one
  bool (*set)(pl_url *u, span value);
  const char *why;  // when it refuses
} options[] = {
    {"cost", NULL, set_cost, "cost is a number of seconds, above 0 and up to 60"},
    {"nodelay", "tcp", set_nodelay, "nodelay is 0 or 1"},
    {"keepalive", "tcp", set_keepalive, "keepalive is a number of seconds up to 32767"},
    {"user_timeout", "tcp", set_user_timeout, "user_timeout is a number of seconds up to 86400"},
    {"backlog", NULL, set_backlog, "backlog is a number from 1 to 65535"},
    {"reuseport", "tcp", set_reuseport, "reuseport is 0 or 1"},
    {"mode", "unix", set_mode, "mode is octal, up to 0777"},
    {"bind", "tcp", set_bind, "bind is a numeric address"},
};

static const char *parse_option(pl_url *u, span text) {
  span name = cut(&text, '=');
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    const struct option *o = &options[i];
    if (!span_is(name, o->name)) continue;
    if (o->scheme != NULL && strcmp(o->scheme, u->scheme) != 0) break;
    return o->set(u, text) ? NULL : o->why;
  }
  return "unknown option";
}

static const char *parse_port(pl_url *u, span text) {
  uint32_t port;
  if (!parse_number(&port, text, 10, 65535)) return "the port is a number up to 65535";
  u->port = (uint16_t)port;
  return NULL;
}

// [::1]:4100
static const char *parse_ipv6(pl_url *u, span text) {
  text.at++;
  text.len--;
  if (memchr(text.at, ']', text.len) == NULL) return "a bracket is not closed";
  span host = cut(&text, ']');
  if (!copy_span(u->host, sizeof u->host, host)) return "the host is too long";
  char address[INET6_ADDRSTRLEN + 1];
  span number = host;
  unsigned char binary[16];
  if (!copy_span(address, sizeof address, cut(&number, '%')) ||
      inet_pton(AF_INET6, address, binary) != 1)
    return "between brackets belongs an IPv6 address";
  if (text.len == 0 || text.at[0] != ':') return "the port is missing";
  return parse_port(u, (span){text.at + 1, text.len - 1});
}

static bool is_host_char(char c) {
  return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

static const char *parse_tcp(pl_url *u, span text) {
  if (text.len > 0 && text.at[0] == '[') return parse_ipv6(u, text);
  if (memchr(text.at, ':', text.len) == NULL)
    return text.len == 0 ? "the host is missing" : "the port is missing";
  span host = cut(&text, ':');
  if (memchr(text.at, ':', text.len) != NULL) return "an IPv6 address is written in brackets";
  if (host.len == 0) return "the host is missing";
  if (!span_is(host, "*")) {
    for (size_t i = 0; i < host.len; i++)
      if (!is_host_char(host.at[i])) return "a host has letters, digits, '.', '-' and '_'";
  }
  if (!copy_span(u->host, sizeof u->host, host)) return "the host is too long";
  return parse_port(u, text);
}

static const char *parse_unix(pl_url *u, span text) {
  if (text.len == 0) return "the path is missing";
  if (span_is(text, "@")) return "the abstract name is missing";
  if (text.len > PL_SUN_PATH_MAX) return "the path of a Unix socket has at most 107 bytes";
  copy_span(u->host, sizeof u->host, text);
  return NULL;
}

static const char *parse_name(pl_url *u, span text) {
  if (text.len == 0) return "the name is missing";
  return copy_span(u->host, sizeof u->host, text) ? NULL : "the name is too long";
}

static const char *parse_scheme(pl_url *u, span *text) {
  for (size_t i = 0; i + 2 < text->len; i++) {
    if (memcmp(text->at + i, "://", 3) != 0) continue;
    if (i == 0) break;
    if (!copy_span(u->scheme, sizeof u->scheme, (span){text->at, i})) return "unknown scheme";
    for (size_t k = 0; k < i; k++)
      if (!islower((unsigned char)u->scheme[k])) return "a scheme has lower-case letters";
    text->at += i + 3;
    text->len -= i + 3;
    return NULL;
  }
  return "an address looks like tcp://host:port, unix:///path or mem://name";
}

static const char *parse(pl_url *u, span text) {
  if (text.len >= PL_URL_MAX) return "the address is too long";
  for (size_t i = 0; i < text.len; i++)
    if (iscntrl((unsigned char)text.at[i])) return "an address has no control characters";
  const char *why = parse_scheme(u, &text);
  if (why != NULL) return why;

  span place = cut(&text, '?');
  if (strcmp(u->scheme, "tcp") == 0)
    why = parse_tcp(u, place);
  else if (strcmp(u->scheme, "unix") == 0)
    why = parse_unix(u, place);
  else
    why = parse_name(u, place);  // of a scheme that is not known here, what is kept is the text

  while (why == NULL && text.len > 0)
    why = parse_option(u, cut(&text, '&'));
  return why;
}

pl_err pl_url_parse(pl_url *out, const char *text, const char **why) {
  pl_url u = {.nodelay = true, .backlog = PL_BACKLOG, .mode = 0600};
  *why = parse(&u, (span){text, strlen(text)});
  if (*why != NULL) return PL_INVALID;
  *out = u;
  return PL_OK;
}

pl_err pl_url_check_dial(const pl_url *url, const char **why) {
  if (strcmp(url->scheme, "tcp") != 0) return PL_OK;
  *why = strcmp(url->host, "*") == 0 ? "who is dialled has a host, not *"
         : url->port == 0            ? "who is dialled has a port above 0"
                                     : NULL;
  return *why == NULL ? PL_OK : PL_INVALID;
}

void pl_url_format(const pl_url *url, char out[PL_URL_MAX]) {
  if (strcmp(url->scheme, "tcp") != 0)
    snprintf(out, PL_URL_MAX, "%s://%s", url->scheme, url->host);
  else if (strchr(url->host, ':') != NULL)
    snprintf(out, PL_URL_MAX, "tcp://[%s]:%u", url->host, url->port);
  else
    snprintf(out, PL_URL_MAX, "tcp://%s:%u", url->host, url->port);
}

bool pl_url_is_local(const pl_url *url) {
  if (strcmp(url->scheme, "tcp") != 0)
    return strcmp(url->scheme, "unix") == 0 || strcmp(url->scheme, "mem") == 0 ||
           strcmp(url->scheme, "door") == 0;
  if (strcmp(url->host, "localhost") == 0) return true;
  struct in_addr v4;
  if (inet_pton(AF_INET, url->host, &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  struct in6_addr v6;
  if (inet_pton(AF_INET6, url->host, &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}
