// SPDX-License-Identifier: BSD-3-Clause

// What shaping must still know after a restart: the file shape-state in queue_directory.
//
// The queue thread makes the text, a thread of its own puts it on disk, and the queue thread hears
// when that is done: only then may what the text reserves be used. A disk that cannot be
// written is tried again each second; limits over longer times then let nothing pass.

#include "pen_gateway.h"
#include "state_file.h"

#include "pen_log.h"

#include <errno.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.shape");

#define FILE_NAME "shape-state"
#define RETRY_AFTER PEN_US_PER_S

struct pen_shape_state {
	struct pen_call call; // first: the callback casts back
	struct pen_gateway *g;
	const char *directory;
	pthread_t thread;
	bool runs;

	// Who has it: the queue thread when `busy` is false, else the writer.
	struct pen_buf text;
	uint64_t generation;
	int err;

	pthread_mutex_t lock;
	pthread_cond_t work;
	bool due, ending; // under the lock

	// Queue thread only.
	bool busy, failed;
	pen_time_us retry_at;
};

static void note_result(struct pen_shape_state *st, int err)
{
	if (err != 0 && !st->failed)
		pen_error("%s/%s cannot be written: %s: limits over longer times hold mail back "
			  "until it can",
			st->directory, FILE_NAME, strerror(-err));
	else if (err == 0 && st->failed)
		pen_notice("%s/%s is written again", st->directory, FILE_NAME);
	st->failed = err != 0;
}

// On the queue thread, or after it.
static void written(struct pen_call *call)
{
	struct pen_shape_state *st = (struct pen_shape_state *)call;
	pen_time_us now = pen_clock_mono();

	st->busy = false;
	note_result(st, st->err);
	if (st->err == 0)
		pen_shape_saved(st->g->shape, st->generation, now);
	else
		st->retry_at = now + RETRY_AFTER;
}

static void *writer_main(void *arg)
{
	struct pen_shape_state *st = arg;

	pthread_setname_np(pthread_self(), "shape-state");
	pthread_mutex_lock(&st->lock);
	for (;;) {
		while (!st->due && !st->ending)
			pthread_cond_wait(&st->work, &st->lock);
		if (!st->due)
			break;
		st->due = false;
		pthread_mutex_unlock(&st->lock);
		st->err = pen_state_file_write(st->directory, FILE_NAME, pen_buf_span(&st->text));
		pen_inbox_post(&st->g->inbox, &st->call);
		pthread_mutex_lock(&st->lock);
	}
	pthread_mutex_unlock(&st->lock);
	return NULL;
}

static int make_text(struct pen_shape_state *st)
{
	pen_buf_reset(&st->text);
	int err = pen_shape_save(
		st->g->shape, pen_clock_mono(), pen_clock_wall(), &st->text, &st->generation);
	return err == 0 && st->text.failed ? -ENOMEM : err;
}

// At once, on this thread: at start and at the end, when no other looks at the shape.
static void write_now(struct pen_shape_state *st)
{
	int err = make_text(st);

	if (err == 0)
		err = pen_state_file_write(st->directory, FILE_NAME, pen_buf_span(&st->text));
	note_result(st, err);
	if (err == 0)
		pen_shape_saved(st->g->shape, st->generation, pen_clock_mono());
}

static void take(struct pen_gateway *g, struct pen_span text)
{
	uint32_t bad = 0;
	int err = pen_shape_load(g->shape, text, pen_clock_mono(), pen_clock_wall(), &bad);

	if (err != 0)
		pen_error("%s: %s: what was used of limits before the start is not known",
			FILE_NAME, strerror(-err));
	else if (bad > 0)
		pen_warning("%s: %u lines are of another version and were skipped", FILE_NAME, bad);
}

static void load(struct pen_shape_state *st)
{
	struct pen_buf text = PEN_BUF_INIT;
	char kept[256] = "";
	int err = pen_state_file_read(st->directory, FILE_NAME, &text, kept, sizeof(kept));

	if (err != 0 && err != -ENOENT) {
		pen_error("%s/%s: %s%s%s: all limits begin as if they were used up, and "
			  "suspensions are gone",
			st->directory, FILE_NAME, err == -EBADMSG ? "is damaged" : strerror(-err),
			kept[0] != '\0' ? " and was moved to " : "", kept);
		text.n = 0;
	}
	// There was a run before this one unless the file has never been.
	if (err != -ENOENT)
		take(st->g, pen_buf_span(&text));
	pen_buf_fini(&text);
}

int pen_shape_state_open(struct pen_gateway *g, const char *directory)
{
	struct pen_shape_state *st = calloc(1, sizeof(*st));

	if (st == NULL)
		return -ENOMEM;
	*st = (struct pen_shape_state){
		.call = {.fn = written}, .g = g, .directory = directory, .text = PEN_BUF_INIT};
	pthread_mutex_init(&st->lock, NULL);
	pthread_cond_init(&st->work, NULL);
	g->shape_state = st;
	load(st);
	// From now on the next start knows that this run was.
	write_now(st);
	return 0;
}

int pen_shape_state_start(struct pen_gateway *g)
{
	struct pen_shape_state *st = g->shape_state;
	int err = pthread_create(&st->thread, NULL, writer_main, st);

	st->runs = err == 0;
	return -err;
}

void pen_shape_state_tick(struct pen_gateway *g, pen_time_us now)
{
	struct pen_shape_state *st = g->shape_state;

	if (st->busy || now < st->retry_at || !pen_shape_save_wanted(g->shape, now))
		return;
	if (make_text(st) != 0) {
		st->retry_at = now + RETRY_AFTER;
		return;
	}
	st->busy = true;
	pthread_mutex_lock(&st->lock);
	st->due = true;
	pthread_cond_signal(&st->work);
	pthread_mutex_unlock(&st->lock);
}

void pen_shape_state_stop(struct pen_gateway *g)
{
	struct pen_shape_state *st = g->shape_state;

	if (st == NULL || !st->runs)
		return;
	pthread_mutex_lock(&st->lock);
	st->ending = true;
	pthread_cond_signal(&st->work);
	pthread_mutex_unlock(&st->lock);
	pthread_join(st->thread, NULL);
	st->runs = false;
	write_now(st);
}

void pen_shape_state_free(struct pen_gateway *g)
{
	struct pen_shape_state *st = g->shape_state;

	if (st == NULL)
		return;
	pthread_mutex_destroy(&st->lock);
	pthread_cond_destroy(&st->work);
	pen_buf_fini(&st->text);
	free(st);
	g->shape_state = NULL;
}
