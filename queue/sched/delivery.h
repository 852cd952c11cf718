// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Deliveries: a job on its way over a lease, and what came back.

struct job;
struct lease;
struct pen_delivery;
struct pen_sched;

enum delivery_send_result {
	DELIVERY_SENT,
	DELIVERY_GONE, // the job ended or waits another way, or its flow does
	DELIVERY_BUSY,
	DELIVERY_HELD, // shaping: not on this connection, or not at this site
};
enum delivery_send_result delivery_send(struct pen_sched *s, struct lease *l, struct job *j);
void delivery_on_done(struct pen_sched *s, struct pen_delivery *d);
void delivery_free(struct pen_sched *s, struct pen_delivery *d);
