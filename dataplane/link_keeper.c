// SPDX-License-Identifier: BSD-3-Clause
#include "link_keeper.h"

#include "intr_gate.h"
#include "memif.h"
#include "pen_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS_MAX 16 // of one port
#define LOOK_MS 50
#define LOOK_PLAIN_US (200 * PEN_US_PER_MS)
#define RESTART_US (500 * PEN_US_PER_MS)
// The driver gets this long for what is on its control channel, and the
// channel has to be quiet this long before the workers go on.
#define TURN_US (50 * PEN_US_PER_MS)
#define QUIET_US PEN_US_PER_MS
// Other devices' interrupts wait at most this long.
#define OTHERS_US PEN_US_PER_S

PEN_LOG_TYPE("dataplane.link");

struct link {
	struct port *port;
	bool memif, client;
	bool was_down; // its next coming up is a return
	bool complained;
	pen_time_us next_look, next_restart;
	int socket[SOCKETS_MAX];
	uint32_t nsockets, nconnections;
};

struct link_keeper {
	struct pen_worker *const *worker;
	uint32_t nworkers;
	uint32_t nlinks;
	struct link link[PEN_PORTS_MAX];
	bool any_memif, any_other;
	bool blind; // no /proc: the control channels cannot be watched
	bool gate_closed;
	pen_time_us next_turn;
	struct intr_gate gate; // closed only with a memif port
	pthread_t thread;
	uint32_t stop; // main: wo
};

static void pause_us(long us)
{
	struct timespec ts = {.tv_nsec = us * 1000};

	nanosleep(&ts, NULL);
}

// ---- workers ----

static bool acknowledged(const struct link_keeper *k, uint32_t port, uint32_t word)
{
	for (uint32_t i = 0; i < k->nworkers; i++) {
		const struct pen_worker *w = k->worker[i];
		if (__atomic_load_n(&w->port[port].queue.seen, __ATOMIC_ACQUIRE) != word &&
			worker_state_get(w) != WORKER_ENDED)
			return false;
	}
	return true;
}

// Afterwards no worker touches the device.
static void park(struct link_keeper *k, uint32_t i)
{
	struct port *p = k->link[i].port;

	if ((p->parked & 1) == 0)
		__atomic_store_n(&p->parked, p->parked + 1, __ATOMIC_RELEASE);
	while (!acknowledged(k, i, p->parked))
		pause_us(20);
}

static void unpark(struct port *p)
{
	if ((p->parked & 1) != 0)
		__atomic_store_n(&p->parked, p->parked + 1, __ATOMIC_RELEASE);
}

static void park_memifs(struct link_keeper *k)
{
	for (uint32_t i = 0; i < k->nlinks; i++) {
		if (k->link[i].memif)
			park(k, i);
	}
}

// ---- link states ----

static void look(struct link *l)
{
	struct port *p = l->port;
	bool up = port_link_is_up(p);

	if (up == port_link_get(p))
		return;
	port_link_set(p, up);
	if (!up)
		pen_warning("port %s: link is down", p->cfg->name);
	else
		pen_notice("port %s: link is up%s", p->cfg->name, l->was_down ? " again" : "");
	l->was_down = !up;
	l->complained = false;
}

// ---- net_memif ----

static void find_sockets(struct link *l)
{
	l->nsockets =
		memif_find_sockets(l->port->cfg->device, l->socket, SOCKETS_MAX, &l->nconnections);
}

// Nobody would open the gate for a channel that is not watched.
static bool may_close(const struct link_keeper *k)
{
	for (uint32_t i = 0; i < k->nlinks; i++) {
		const struct link *l = &k->link[i];
		bool listens = l->memif && !l->client;
		if (listens && l->nsockets == 0)
			return false;
		if (l->memif && l->nconnections == 0 && port_link_get(l->port))
			return false;
	}
	return !k->blind;
}

// Waits until a control channel has something for the driver; true: it has.
static bool wait_channels(const struct link_keeper *k, int ms)
{
	struct pollfd fd[PEN_PORTS_MAX * SOCKETS_MAX];
	nfds_t n = 0;
	bool any = false;

	for (uint32_t i = 0; i < k->nlinks; i++) {
		for (uint32_t j = 0; j < k->link[i].nsockets; j++)
			fd[n++] = (struct pollfd){.fd = k->link[i].socket[j], .events = POLLIN};
	}
	if (poll(fd, n, ms) <= 0)
		return false;
	for (nfds_t i = 0; i < n; i++)
		any |= (fd[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
	return any;
}

// The driver's turn: it handles its control channels while all workers stay
// away from its ports.
static void give_turn(struct link_keeper *k)
{
	pen_time_us now = pen_clock_mono(), end = now + TURN_US, quiet = now;

	park_memifs(k);
	if (k->gate_closed)
		intr_gate_open(&k->gate);
	k->gate_closed = false;
	while (now < end && now - quiet <= QUIET_US) {
		pause_us(100);
		now = pen_clock_mono();
		if (wait_channels(k, 0))
			quiet = now;
	}
	// Whatever it was doing, it is through with it once the gate has closed.
	k->gate_closed = intr_gate_close(&k->gate);
	for (uint32_t i = 0; i < k->nlinks; i++) {
		struct link *l = &k->link[i];
		if (!l->memif)
			continue;
		find_sockets(l);
		look(l);
	}
	if (k->gate_closed && !may_close(k)) {
		intr_gate_open(&k->gate);
		k->gate_closed = false;
	}
	for (uint32_t i = 0; i < k->nlinks; i++) {
		if (k->link[i].memif && port_link_get(k->link[i].port))
			unpark(k->link[i].port);
	}
	k->next_turn = !k->gate_closed ? now + RESTART_US
		       : k->any_other  ? now + OTHERS_US
				       : PEN_TIME_NEVER;
}

static void complain(struct link *l)
{
	char path[128];

	if (l->complained)
		return;
	if (memif_socket(l->port->cfg->device, path, sizeof(path)) || access(path, W_OK) == 0 ||
		errno != EACCES)
		return;
	l->complained = true;
	pen_warning("port %s: no permission to connect to the memif socket %s", l->port->cfg->name,
		path);
}

static void restart(struct link_keeper *k, uint32_t i)
{
	struct link *l = &k->link[i];

	if (port_restart(l->port) != 0)
		complain(l);
	find_sockets(l);
}

// ---- the thread ----

static void look_at_all(struct link_keeper *k, pen_time_us now)
{
	for (uint32_t i = 0; i < k->nlinks; i++) {
		struct link *l = &k->link[i];
		// With a closed gate a memif's link changes in the driver's turn only.
		if ((!l->memif && now >= l->next_look) || (l->memif && !k->gate_closed)) {
			l->next_look = now + LOOK_PLAIN_US;
			look(l);
		}
		if (!l->memif || port_link_get(l->port))
			continue;
		park(k, i);
		if (l->client && now >= l->next_restart) {
			l->next_restart = now + RESTART_US;
			restart(k, i);
		}
	}
}

static void *keep(void *arg)
{
	struct link_keeper *k = arg;

	prctl(PR_SET_NAME, "pen-link");
	k->blind = access("/proc/self/fd", R_OK | X_OK) != 0;
	if (k->any_memif)
		give_turn(k); // learns the sockets
	while (__atomic_load_n(&k->stop, __ATOMIC_RELAXED) == 0) {
		bool busy = wait_channels(k, LOOK_MS);
		pen_time_us now = pen_clock_mono();
		look_at_all(k, now);
		if (k->any_memif && (busy || now >= k->next_turn))
			give_turn(k);
	}
	return NULL;
}

static int start_thread(struct link_keeper *k)
{
	sigset_t all, before;

	// Signals are for the program's own threads.
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&k->thread, NULL, keep, k);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

struct link_keeper *link_keeper_start(struct port *ports, uint32_t nports,
	struct pen_worker *const *workers, uint32_t nworkers, char *err, size_t cap)
{
	struct link_keeper *k = calloc(1, sizeof(*k));
	int rc = k != NULL ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < nports; i++) {
		struct link *l = &k->link[i];
		l->port = &ports[i];
		l->memif = memif_is(ports[i].cfg->device);
		l->client = memif_is_client(ports[i].cfg->device);
		k->any_memif |= l->memif;
		k->any_other |= !l->memif;
	}
	if (rc == 0) {
		k->worker = workers;
		k->nworkers = nworkers;
		k->nlinks = nports;
		intr_gate_init(&k->gate);
	}
	if (rc == 0) {
		rc = start_thread(k);
		if (rc == 0)
			return k;
		intr_gate_fini(&k->gate);
	}
	snprintf(err, cap, "the ports' links cannot be watched: %s", strerror(-rc));
	free(k);
	return NULL;
}

void link_keeper_stop(struct link_keeper *k)
{
	if (k == NULL)
		return;
	__atomic_store_n(&k->stop, 1, __ATOMIC_RELAXED);
	pthread_join(k->thread, NULL);
	intr_gate_fini(&k->gate);
	free(k);
}
