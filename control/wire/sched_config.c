// SPDX-License-Identifier: BSD-3-Clause

// Parameters of main.cf as the scheduler's configuration.

#include "pen_gateway.h"

#include "pen_log.h"

#include <stdio.h>

PEN_LOG_TYPE("control.main");

static struct pen_feedback_rate feedback(const char *name, const char *value)
{
	struct pen_feedback_rate rate;

	if (!pen_feedback_rate_parse(pen_span_cstr(value), &rate))
		pen_warning("%s = %s: give a number from 0 to 1, alone or as number/concurrency or "
			    "number/sqrt_concurrency; 1 is used",
			name, value);
	return rate;
}

bool pen_param_has_word(const char *list, const char *word)
{
	while (*(list += strspn(list, ", \t")) != '\0') {
		size_t n = strcspn(list, ", \t");
		if (pen_span_ieq(pen_span(list, n), pen_span_cstr(word)))
			return true;
		list += n;
	}
	return false;
}

static void fill_notices(const struct pen_params *p, struct pen_sched_config *c)
{
	c->bounce_size_limit = (uint32_t)p->bounce_size_limit;
	c->redact_dsn = p->requiretls_redact_dsn;
	c->notify_double_bounce = pen_param_has_word(p->notify_classes, "bounce") ||
				  pen_param_has_word(p->notify_classes, "2bounce");
	snprintf(c->error_notice_recipient, sizeof(c->error_notice_recipient), "%s",
		p->error_notice_recipient);
	c->notify_delay = pen_param_has_word(p->notify_classes, "delay");
	snprintf(c->delay_notice_recipient, sizeof(c->delay_notice_recipient), "%s",
		p->delay_notice_recipient);
	c->disable_verp_bounces = p->disable_verp_bounces;
	c->delay_warning_time = p->delay_warning_time;
	c->confirm_delay_cleared = p->confirm_delay_cleared;
	c->lmtp_assume_final = p->lmtp_assume_final;
}

static void fill_retries(const struct pen_params *p, struct pen_sched_config *c)
{
	c->retry = (struct pen_retry_policy){
		.minimal_backoff_time = p->minimal_backoff_time,
		.maximal_backoff_time = p->maximal_backoff_time,
		.maximal_queue_lifetime = p->maximal_queue_lifetime,
		.bounce_queue_lifetime = p->bounce_queue_lifetime,
	};
	c->soft_bounce = p->soft_bounce;
	c->in_doubt_policy = (enum pen_in_doubt_policy)p->in_doubt_policy;
	c->in_doubt_delay = p->in_doubt_delay;
	c->greylist_retry = p->greylist_retry_time;
	c->minimal_host_backoff_time = p->minimal_host_backoff_time;
	c->maximal_host_backoff_time = p->maximal_host_backoff_time;
}

static void fill_limits(const struct pen_params *p, struct pen_sched_config *c)
{
	c->concurrency_limit = (uint32_t)p->default_destination_concurrency_limit;
	c->initial_concurrency = (uint32_t)p->initial_destination_concurrency;
	c->recipient_limit = (uint32_t)p->default_destination_recipient_limit;
	c->connection_message_limit = (uint32_t)p->smtp_connection_reuse_count_limit;
	c->connection_age_limit = p->smtp_connection_reuse_time_limit;
	c->ready_limit = (uint32_t)p->destination_ready_limit;
	c->content_memory_limit = (uint64_t)p->queue_memory_limit;
	c->preempt = (struct pen_preempt_rules){
		.slot_cost = (uint32_t)p->default_delivery_slot_cost,
		.loan = (uint32_t)p->default_delivery_slot_loan,
		.discount = (uint32_t)p->default_delivery_slot_discount,
		.minimum = (uint32_t)p->default_minimum_delivery_slots,
	};
	c->failed_cohort_limit = (uint32_t)p->default_destination_concurrency_failed_cohort_limit;
	c->positive_feedback = feedback("default_destination_concurrency_positive_feedback",
		p->default_destination_concurrency_positive_feedback);
	c->negative_feedback = feedback("default_destination_concurrency_negative_feedback",
		p->default_destination_concurrency_negative_feedback);
}

void pen_gateway_sched_config(const struct pen_config *config,
	struct pen_sched_transport transport[2], struct pen_sched_config *c)
{
	const struct pen_params *p = &config->params;

	pen_sched_config_init(c);
	snprintf(c->myhostname, sizeof(c->myhostname), "%s", p->myhostname);
	fill_retries(p, c);
	fill_limits(p, c);
	fill_notices(p, c);
	c->templates = pen_bounce_templates_get(config->bounce_templates);
	c->hold_dots = p->smtp_result_barrier;
	c->timeouts = pen_params_timeouts(p);
	c->tls_fallback_delay = p->smtp_tls_fallback_delay;
	c->shuffle_hosts = p->smtp_randomize_addresses;
	transport[0] = (struct pen_sched_transport){.name = "smtp",
		.recipient_limit = (uint32_t)p->smtp_destination_recipient_limit,
		.concurrency_limit = (uint32_t)p->smtp_destination_concurrency_limit,
		.initial_concurrency = (uint32_t)p->smtp_initial_destination_concurrency};
	transport[1] = (struct pen_sched_transport){.name = "lmtp",
		.recipient_limit = (uint32_t)p->lmtp_destination_recipient_limit,
		.concurrency_limit = (uint32_t)p->lmtp_destination_concurrency_limit,
		.initial_concurrency = (uint32_t)p->lmtp_initial_destination_concurrency};
	c->transport = transport;
	c->ntransports = 2;
}
