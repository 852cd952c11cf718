// SPDX-License-Identifier: BSD-3-Clause

// A memif between two processes, one of which is killed and replaced while
// frames cross. No privileges and no network.

#include "pen_dataplane.h"
#include "pen_test.h"
#include "pen_worker_app.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME 200

// ---- an application that sends frames (client) or returns them (server) ----

struct mirror {
	bool echo;
	struct pen_worker *self;
	uint64_t back; // frames that returned; worker: wo
};

static void *mirror_start(
	void *ctx, const struct pen_worker_env *env, pen_time_us now, char *err, size_t cap)
{
	struct mirror *m = ctx;

	(void)now, (void)err, (void)cap;
	m->self = env->self;
	return m;
}

static void mirror_frame(
	void *state, uint32_t port, struct pen_frame *f, uint32_t len, pen_time_us now)
{
	struct mirror *m = state;

	(void)now;
	if (m->echo) {
		pen_worker_frame_send(m->self, port, f, len);
		return;
	}
	__atomic_store_n(&m->back, m->back + 1, __ATOMIC_RELAXED);
	pen_worker_frame_drop(m->self, f);
}

static pen_time_us mirror_poll(void *state, pen_time_us now)
{
	struct mirror *m = state;
	struct pen_frame f;

	for (int i = 0; !m->echo && i < 8 && pen_worker_frame_get(m->self, 0, &f); i++) {
		memset(f.data, 0x5a, FRAME);
		pen_worker_frame_send(m->self, 0, &f, FRAME);
	}
	return now + PEN_US_PER_MS;
}

static void mirror_stop(void *state)
{
	(void)state;
}

static const struct pen_worker_app mirror_app = {
	.name = "mirror",
	.frame = mirror_frame,
	.start = mirror_start,
	.poll = mirror_poll,
	.stop = mirror_stop,
};

static struct pen_dataplane *start(struct mirror *m, const char *path, char *err, size_t cap)
{
	struct pen_dataplane_config cfg;

	pen_dataplane_config_init(&cfg);
	cfg.worker_core[0] = (uint16_t)sched_getcpu();
	cfg.hugepages = PEN_HUGEPAGES_NO;
	cfg.nports = 1;
	snprintf(cfg.port[0].name, sizeof(cfg.port[0].name), "p0");
	snprintf(cfg.port[0].device, sizeof(cfg.port[0].device),
		"net_memif0,role=%s,socket=%s,socket-abstract=no", m->echo ? "server" : "client",
		path);
	return pen_dataplane_start_app(&cfg, &mirror_app, m, err, cap, NULL, NULL);
}

// ---- servers: made before DPDK starts here, and woken when they are needed ----

struct server {
	pid_t pid;
	int wake;
};

static struct server new_server(const char *path)
{
	struct server s;
	int end[2];

	assert_int_equal(pipe(end), 0);
	s.wake = end[1];
	s.pid = fork();
	assert_true(s.pid >= 0);
	if (s.pid == 0) {
		struct mirror m = {.echo = true};
		char c, err[256];
		close(end[1]);
		if (read(end[0], &c, 1) != 1)
			_exit(0);
		if (start(&m, path, err, sizeof(err)) == NULL) {
			fprintf(stderr, "server: %s\n", err);
			_exit(1);
		}
		for (;;)
			pause();
	}
	close(end[0]);
	return s;
}

static void wake(struct server *s)
{
	assert_int_equal(write(s->wake, "x", 1), 1);
}

static void end_server(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->wake);
}

// ---- the client's side ----

static bool is_up(struct pen_dataplane *d)
{
	struct pen_port_status st;

	pen_dataplane_port_status(d, 0, &st);
	return st.link_up;
}

static void wait_link(struct pen_dataplane *d, bool up)
{
	pen_time_us end = pen_clock_mono() + 20 * PEN_US_PER_S;
	struct timespec step = {.tv_nsec = 1000000};

	while (is_up(d) != up && pen_clock_mono() < end)
		nanosleep(&step, NULL);
	assert_int_equal(is_up(d), up);
}

static void wait_frames(struct mirror *m)
{
	uint64_t want = __atomic_load_n(&m->back, __ATOMIC_RELAXED) + 1000;
	pen_time_us end = pen_clock_mono() + 20 * PEN_US_PER_S;
	struct timespec step = {.tv_nsec = 1000000};

	while (__atomic_load_n(&m->back, __ATOMIC_RELAXED) < want && pen_clock_mono() < end)
		nanosleep(&step, NULL);
	assert_true(__atomic_load_n(&m->back, __ATOMIC_RELAXED) >= want);
}

static void find_dropped(void *ctx, const struct pen_counter_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		if (strcmp(set->desc[i].name, "drop_tx_link_down") == 0)
			*(uint64_t *)ctx = pen_counter_read(&set->value[i]);
	}
}

static void frames_cross_again_after_each_restart_of_the_server(void **state)
{
	(void)state;
	enum { SERVERS = 3 };
	char dir[] = "/tmp/pen_link_XXXXXX", path[64], err[256] = "";
	struct server server[SERVERS];
	struct mirror m = {0};
	struct pen_port_status st;
	uint64_t dropped = 0;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/m.sock", dir);
	for (int i = 0; i < SERVERS; i++)
		server[i] = new_server(path);
	wake(&server[0]);
	struct pen_dataplane *d = start(&m, path, err, sizeof(err));
	if (d == NULL)
		fail_msg("%s", err);
	for (int i = 0; i < SERVERS; i++) {
		wait_link(d, true);
		wait_frames(&m);
		end_server(&server[i]);
		wait_link(d, false);
		if (i + 1 < SERVERS)
			wake(&server[i + 1]);
	}
	pen_dataplane_port_status(d, 0, &st);
	assert_int_equal(st.changes, 2 * SERVERS - 1);
	assert_int_equal(st.went_down, SERVERS);
	pen_worker_counters(pen_dataplane_worker(d, 0), find_dropped, &dropped);
	assert_true(dropped > 0);
	pen_dataplane_stop(d);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_cross_again_after_each_restart_of_the_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
