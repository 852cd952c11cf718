// SPDX-License-Identifier: BSD-3-Clause
#include "bench_settings.h"

#include "pen_err.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t bench_sink_start(const struct bench_settings *set)
{
	const char *argv[64];
	char device[256], core[16], conns[16];
	int n = 0;

	snprintf(device, sizeof(device), "net_memif0,role=server,id=0,socket=%s", set->socket);
	snprintf(core, sizeof(core), "%u", set->sink_core);
	snprintf(conns, sizeof(conns), "%u", set->connections + set->idle + 64);
	argv[n++] = set->sink;
	argv[n++] = "--device";
	argv[n++] = device;
	argv[n++] = "--core";
	argv[n++] = core;
	argv[n++] = "-m";
	argv[n++] = conns;
	argv[n++] = "-t";
	argv[n++] = "3600";
	argv[n++] = "--json";
	argv[n++] = "--strict";
	if (set->ip6) {
		argv[n++] = "--address";
		argv[n++] = "fd00:77::2/64";
	}
	if (!set->huge)
		argv[n++] = "--no-huge";
	if (set->cert != NULL) {
		argv[n++] = "--tls-cert";
		argv[n++] = set->cert;
		argv[n++] = "--tls-key";
		argv[n++] = set->key;
	}
	for (uint32_t i = 0; i < set->nsink_options; i++)
		argv[n++] = set->sink_options[i];
	argv[n] = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		// A sink must not outlive us. Its report goes to stderr; ours alone is on
		// standard output.
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(STDERR_FILENO, STDOUT_FILENO);
		execv(set->sink, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0)
		pen_fatal("fork: %s", strerror(errno));
	return pid;
}

int bench_sink_stop(pid_t pid)
{
	int status = 1;

	if (pid <= 0)
		return 0;
	kill(pid, SIGTERM);
	for (int i = 0; i < 500; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status != 0;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return 1;
}
