// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The parameters of main.cf as typed values.
//
// pen_params.def is the one table: the struct below, the defaults, the checks,
// `penstock config show` and the manual page are all made from it. A new
// parameter is one line there.
//
// Threads: filled once, then read-only for everybody.
// Memory:  a pen_params owns all it points to until pen_params_fini.

#include "pen_addr.h"
#include "pen_delivery.h"
#include "pen_main_cf.h"
#include "pen_time.h"

enum pen_param_type {
	PEN_PARAM_STR,
	PEN_PARAM_HOST,
	PEN_PARAM_BOOL,
	PEN_PARAM_INT,
	PEN_PARAM_SIZE,
	PEN_PARAM_DURATION,
	PEN_PARAM_ENUM,
	PEN_PARAM_NETS,
	PEN_PARAM_ENDPOINTS,
	PEN_PARAM_SERVERS,
	PEN_PARAM_STUBS,
};

struct pen_param_nets {
	struct pen_cidr *item;
	size_t n;
};

struct pen_endpoint {
	struct pen_addr addr;
	uint16_t port;
};

struct pen_param_endpoints {
	struct pen_endpoint *item;
	size_t n;
};

struct pen_stub {
	char zone[PEN_HOST_NAME_MAX + 1];
	struct pen_endpoint server;
};

struct pen_param_stubs {
	struct pen_stub *item;
	size_t n;
};

// A string field is never NULL. A duration is in microseconds.
#define PEN_STR(name, ...) char *name;
#define PEN_HOST(name, ...) char *name;
#define PEN_BOOL(name, ...) bool name;
#define PEN_INT(name, ...) int64_t name;
#define PEN_SIZE(name, ...) int64_t name;
#define PEN_DURATION(name, ...) pen_time_us name;
#define PEN_ENUM(name, ...) int name;
#define PEN_NETS(name, ...) struct pen_param_nets name;
#define PEN_ENDPOINTS(name, ...) struct pen_param_endpoints name;
#define PEN_SERVERS(name, ...) struct pen_param_endpoints name;
#define PEN_STUBS(name, ...) struct pen_param_stubs name;
struct pen_params {
#include "pen_params.def"
	// What main.cf says, by index into pen_param_table; NULL: the default.
	char **written;
	unsigned *line; // where; 0: not in main.cf
	char **expanded;
};

struct pen_param_desc {
	const char *name;
	enum pen_param_type type;
	const char *dflt;
	const char *doc;
	size_t offset; // into struct pen_params
	int64_t min, max;
	char unit;         // durations: what a bare number means
	uint16_t port;     // endpoints: when none is written
	const char *names; // enums: "a|b|c"
};

extern const struct pen_param_desc pen_param_table[];
extern const size_t pen_param_count;

struct pen_params_env {
	const char *hostname;         // of the system, may be unqualified
	const char *config_directory; // for $config_directory
};

// pen_params_load fills p from cf: expands, checks, reports every fault and
// every unknown name that nothing refers to. 0, -EINVAL after reported errors
// (p then holds defaults in place of the faulty values), or -ENOMEM.
// pen_params_fini is due in every case.
int pen_params_load(struct pen_params *p, struct pen_main_cf *cf, const struct pen_params_env *env,
	struct pen_report *r);
void pen_params_fini(struct pen_params *p);

// pen_param_parse checks one expanded value and stores it at desc->offset of p.
// When it does not fit, `why` says what is accepted.
bool pen_param_parse(struct pen_params *p, const struct pen_param_desc *desc, const char *value,
	char *why, size_t cap);
void pen_param_free(struct pen_params *p, const struct pen_param_desc *desc);

// pen_params_line: where main.cf sets a name; 0 when it does not.
unsigned pen_params_line(const struct pen_params *p, const char *name);

enum {
	PEN_SHOW_CHANGED = 1 << 0,  // only what main.cf sets
	PEN_SHOW_EXPANDED = 1 << 1, // with $names replaced
};
// pen_params_each calls fn for each parameter in alphabetical order.
void pen_params_each(const struct pen_params *p, unsigned flags,
	void (*fn)(void *ctx, const struct pen_param_desc *desc, const char *value), void *ctx);

// The smtp_*_timeout family in the form that a lease carries.
struct pen_smtp_timeouts pen_params_timeouts(const struct pen_params *p);

// pen_hostname_valid: letters, digits, "-" and "_" in labels of 1 to 63, at
// most 253 in all, and not all digits and dots (that is a mistyped address).
bool pen_hostname_valid(struct pen_span name);
// pen_endpoint_parse accepts addr, addr:port, [addr]:port; with sep '@' addr@port.
int pen_endpoint_parse(struct pen_endpoint *out, struct pen_span text, char sep, uint16_t port);
// pen_net_parse reads a network as Postfix writes it: 10.0.0.0/8, [2001:db8::]/32,
// host bits zero; without "/bits" one address. 0 or -EINVAL.
int pen_net_parse(struct pen_cidr *out, struct pen_span item);
