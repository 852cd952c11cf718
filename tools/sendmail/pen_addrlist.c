// SPDX-License-Identifier: BSD-3-Clause
#include "pen_addrlist.h"

#include <errno.h>

struct parser {
	struct pen_span in;
	size_t at;
	pen_addrlist_fn *fn;
	void *ctx;
	const char *why;

	char addr[PEN_ADDRLIST_MAX]; // outside <>, joined
	size_t n;
	bool gap;   // white space since the last byte of addr
	bool split; // two words side by side: a display name, no address
	bool angle; // an angle address was seen for this element
	bool group;
};

static void add(struct parser *p, char c)
{
	if (p->n == sizeof(p->addr))
		p->why = "an address is too long";
	else
		p->addr[p->n++] = c;
}

static bool space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Skips a comment; at its '('.
static void comment(struct parser *p)
{
	int depth = 0;

	for (; p->at < p->in.n; p->at++) {
		uint8_t c = p->in.p[p->at];
		if (c == '\\') {
			p->at++;
		} else if (c == '(') {
			depth++;
		} else if (c == ')' && --depth == 0) {
			p->at++;
			return;
		}
	}
	p->why = "a comment has no end";
}

// Copies a quoted string, or a domain literal, with its delimiters.
static void delimited(struct parser *p, char end, const char *open_ended)
{
	add(p, (char)p->in.p[p->at++]);
	for (; p->at < p->in.n; p->at++) {
		char c = (char)p->in.p[p->at];
		if (c == '\r' || c == '\n')
			continue; // folded
		add(p, c);
		if (c == '\\' && p->at + 1 < p->in.n) {
			add(p, (char)p->in.p[++p->at]);
		} else if (c == end) {
			p->at++;
			return;
		}
	}
	p->why = open_ended;
}

static bool joins(char c)
{
	return c == '.' || c == '@';
}

// A byte or a quoted string joins what is there, or shows that the text
// before was a word of its own.
static void before_word(struct parser *p, char next)
{
	if (p->gap && p->n > 0 && !joins(p->addr[p->n - 1]) && !joins(next))
		p->split = true;
	p->gap = false;
}

static void emit(struct parser *p)
{
	if (p->why == NULL && p->n > 0)
		p->fn(p->ctx, pen_span(p->addr, p->n));
}

// At the element's end.
static void element(struct parser *p)
{
	if (!p->angle && p->split)
		p->why = "words without an address in <>";
	else if (!p->angle)
		emit(p);
	p->n = 0;
	p->gap = p->split = p->angle = false;
}

static void text_byte(struct parser *p, char c)
{
	before_word(p, c);
	if (p->angle)
		return; // what follows <...> is not part of the address
	add(p, c);
}

// One token outside <>; also used inside, where `stop` is '>'.
static void token(struct parser *p)
{
	uint8_t c = p->in.p[p->at];

	if (space(c)) {
		p->gap = true;
		p->at++;
	} else if (c == '(') {
		p->gap = true;
		comment(p);
	} else if (c == '"') {
		before_word(p, '"');
		delimited(p, '"', "a quoted string has no end");
	} else if (c == '[') {
		before_word(p, '[');
		delimited(p, ']', "a domain literal has no end");
	} else {
		text_byte(p, (char)c);
		p->at++;
	}
}

// <addr> or <@route,@route:addr>; at the '<'.
static void angle_addr(struct parser *p)
{
	p->n = 0;
	p->gap = p->split = false;
	for (p->at++; p->at < p->in.n && p->why == NULL;) {
		uint8_t c = p->in.p[p->at];
		if (c == '>') {
			if (p->split)
				p->why = "white space inside an address";
			emit(p);
			p->n = 0;
			p->gap = p->split = false;
			p->angle = true;
			p->at++;
			return;
		}
		if (c == '<' || c == ';') {
			break;
		} else if (c == ':') {
			p->n = 0; // that was a route
			p->at++;
		} else {
			token(p);
		}
	}
	if (p->why == NULL)
		p->why = "a < has no >";
}

int pen_addrlist_parse(struct pen_span text, pen_addrlist_fn *fn, void *ctx, const char **why)
{
	struct parser p = {.in = text, .fn = fn, .ctx = ctx};

	while (p.at < p.in.n && p.why == NULL) {
		switch (p.in.p[p.at]) {
		case ',':
			element(&p);
			p.at++;
			break;
		case ';':
			element(&p);
			if (!p.group)
				p.why = "a ; without a group";
			p.group = false;
			p.at++;
			break;
		case ':':
			if (p.group || p.angle)
				p.why = "a : where none belongs";
			p.group = true;
			p.n = 0; // the group's name
			p.gap = p.split = false;
			p.at++;
			break;
		case '<':
			if (p.angle)
				p.why = "two addresses without a comma";
			else
				angle_addr(&p);
			break;
		case '>':
			p.why = "a > without a <";
			break;
		default:
			token(&p);
		}
	}
	if (p.why == NULL)
		element(&p);
	*why = p.why;
	return p.why != NULL ? -EINVAL : 0;
}
