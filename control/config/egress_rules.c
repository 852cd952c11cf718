// SPDX-License-Identifier: BSD-3-Clause

// `rule { }`: what a reply or a sign of TCP leads to.

#define PCRE2_CODE_UNIT_WIDTH 8

#include "egress_priv.h"

#include <pcre2.h>
#include <stdio.h>

#define PATTERN_MAX 8192
#define DURATION_DEFAULT (3600 * PEN_US_PER_S)

static const char *const action_names[PEN_ACT_COUNT] = {
	[PEN_ACT_SUSPEND] = "suspend",
	[PEN_ACT_SUSPEND_TENANT] = "suspend-tenant",
	[PEN_ACT_SUSPEND_CAMPAIGN] = "suspend-campaign",
	[PEN_ACT_DISABLE_SOURCE] = "disable-source",
	[PEN_ACT_BACKOFF] = "backoff",
	[PEN_ACT_LIMIT] = "limit",
	[PEN_ACT_BOUNCE_QUEUE] = "bounce-queue",
};

static const char *const signal_names[PEN_SIGNAL_COUNT] = {
	[PEN_SIGNAL_NONE] = "none",
	[PEN_SIGNAL_CONNECT_TIMEOUT] = "connect-timeout",
	[PEN_SIGNAL_REFUSED] = "refused",
	[PEN_SIGNAL_RESET] = "reset",
	[PEN_SIGNAL_ZERO_WINDOW] = "zero-window",
	[PEN_SIGNAL_RETRANSMITS] = "retransmits",
	[PEN_SIGNAL_LATENCY] = "latency",
};

// A word out of a list; `from` is the first that may be written.
static void read_word(struct egress_reader *rd, const struct pen_ucl_node *n,
	const char *const *names, size_t from, size_t count, uint8_t *out)
{
	char list[256] = "";

	for (size_t i = from, used = 0; i < count && used < sizeof(list); i++) {
		if (n->text != NULL && strcmp(n->text, names[i]) == 0) {
			*out = (uint8_t)i;
			return;
		}
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
			i == from        ? ""
			: i + 1 == count ? " or "
					 : ", ",
			names[i]);
	}
	egress_refuse(rd, n, list);
}

static void read_action(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	read_word(rd, n, action_names, 0, PEN_ACT_COUNT, out);
}

static void read_signal(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	read_word(rd, n, signal_names, PEN_SIGNAL_NONE + 1, PEN_SIGNAL_COUNT, out);
}

// The options of the flags behind a pattern, as pcre: tables have them; false: *bad.
static bool pattern_flags(const char *flags, uint32_t *options, char *bad)
{
	static const char letters[] = "imsxAEUX";
	static const uint32_t bits[] = {PCRE2_CASELESS, PCRE2_MULTILINE, PCRE2_DOTALL,
		PCRE2_EXTENDED, PCRE2_ANCHORED, PCRE2_DOLLAR_ENDONLY, PCRE2_UNGREEDY, 0};

	for (*options = PCRE2_CASELESS | PCRE2_DOTALL; *flags != '\0'; flags++) {
		const char *hit = strchr(letters, *flags);
		*bad = *flags;
		if (hit == NULL)
			return false;
		*options ^= bits[hit - letters];
	}
	return true;
}

// A pattern that cannot be compiled is reported here with its position, all of them in one run;
// who matches replies compiles them all together.
static void check_pattern(struct egress_reader *rd, const struct pen_ucl_node *n, const char *text)
{
	size_t end = 1, len = strlen(text);
	uint32_t options;
	PCRE2_SIZE at = 0;
	PCRE2_UCHAR why[120] = "";
	char bad = 0;
	int err = 0;

	while (end < len && text[end] != '/')
		end += text[end] == '\\' && end + 1 < len ? 2 : 1;
	if (end >= len || end == 1) {
		egress_refuse(rd, n, "a pattern between slashes: \"/421 4\\.7\\.28/\"");
		return;
	}
	if (!pattern_flags(text + end + 1, &options, &bad)) {
		pen_report_error(rd->report, rd->file, n->line,
			"%s = %.120s: unknown flag \"%c\" at position %zu: accepted are i m s x A "
			"E U "
			"X",
			n->key, text, bad, end + 2);
		return;
	}
	pcre2_code *code = pcre2_compile(
		(PCRE2_SPTR)text + 1, end - 1, options | PCRE2_NEVER_BACKSLASH_C, &err, &at, NULL);
	if (code == NULL) {
		pcre2_get_error_message(err, why, sizeof(why));
		pen_report_error(rd->report, rd->file, n->line,
			"%s = %.120s: %s at position %zu of the pattern", n->key, text, (char *)why,
			(size_t)at + 1);
	}
	pcre2_code_free(code);
}

static void read_reply(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	if (n->text == NULL || n->text[0] != '/' || strlen(n->text) > PATTERN_MAX) {
		egress_refuse(
			rd, n, "a pattern between slashes, up to 8192 bytes: \"/421 4\\.7\\.28/\"");
		return;
	}
	check_pattern(rd, n, n->text);
	*(const char **)out = egress_arena_text(rd->shape, n->text);
}

static void read_trigger(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_rate rate;

	(void)k;
	if (!egress_rate(rd, n, &rate))
		return;
	if (!pen_rate_limited(&rate) || rate.count == 0 || rate.count > 1000000)
		egress_refuse(rd, n, "so many hits in a time: \"3/10min\", from 1 to 1000000");
	else
		*(struct pen_rate *)out = rate;
}

#define RULE(f) offsetof(struct pen_shape_rule, f)
static const struct egress_key rule_keys[] = {
	{"reply", read_reply, RULE(pattern), 0, 0, NULL},
	{"signal", read_signal, RULE(signal), 0, 0, NULL},
	{"percent", egress_read_u32, RULE(threshold), 1, 100, NULL},
	{"milliseconds", egress_read_u32, RULE(threshold), 1, 3600000, NULL},
	{"action", read_action, RULE(action), 0, 0, NULL},
	{"trigger", read_trigger, RULE(trigger), 0, 0, NULL},
	{"duration", egress_read_duration, RULE(duration), 1, 31536000, NULL},
	{"limits", egress_read_block, RULE(limits), 0, 0, egress_all_keys},
	{0},
};

// Whether a key stands where it has a meaning.
static void wants(struct egress_reader *rd, const struct pen_ucl_node *rule, const char *key,
	bool due, const char *with)
{
	const struct pen_ucl_node *n = egress_member(rule, key);

	if (n == NULL && due)
		pen_report_error(rd->report, rd->file, rule->line, "rule: %s needs %s", with, key);
	else if (n != NULL && !due)
		pen_report_error(
			rd->report, rd->file, n->line, "rule: %s is only for %s", key, with);
}

static void check_rule(
	struct egress_reader *rd, const struct pen_ucl_node *n, const struct pen_shape_rule *rule)
{
	bool reply = egress_member(n, "reply") != NULL, sign = egress_member(n, "signal") != NULL;

	if (reply == sign)
		pen_report_error(rd->report, rd->file, n->line,
			"rule: write either reply = \"/pattern/\" or signal = NAME%s",
			reply ? ", not both" : "");
	if (egress_member(n, "action") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"rule: write action = suspend, suspend-tenant, suspend-campaign, "
			"disable-source, backoff, limit or bounce-queue");
	wants(rd, n, "percent", rule->signal == PEN_SIGNAL_RETRANSMITS, "signal = retransmits");
	wants(rd, n, "milliseconds", rule->signal == PEN_SIGNAL_LATENCY, "signal = latency");
	wants(rd, n, "limits", rule->action == PEN_ACT_LIMIT, "action = limit");
	if (rule->action == PEN_ACT_LIMIT && egress_member(n, "limits") != NULL &&
		rule->limits.given == 0)
		pen_report_error(rd->report, rd->file, n->line,
			"rule: limits { } limits nothing: write message_rate = \"10/min\" or the "
			"like");
}

static void read_rule(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct egress_shape *sh = rd->shape;
	struct pen_shape_rule *rule = &sh->c->rule[sh->rule_at++];

	*rule = (struct pen_shape_rule){
		.line = n->line,
		.shipped = sh->shipped,
		.provider = sh->rule_provider,
		.site = sh->rule_site,
		.pattern = "",
		.duration = DURATION_DEFAULT,
	};
	unsigned errors = rd->report->errors;
	egress_read_keys(rd, rule_keys, n, rule, NULL, " in rule");
	if (rd->report->errors == errors)
		check_rule(rd, n, rule);
}

void egress_rules_read(struct egress_reader *rd, const struct pen_ucl_node *object)
{
	for (const struct pen_ucl_node *n = object->child; n != NULL; n = n->next) {
		if (strcmp(n->key, "rule") != 0)
			continue;
		if (n->type != PEN_UCL_OBJECT)
			egress_refuse(rd, n, "rule { ... }");
		else
			read_rule(rd, n);
	}
}
