// SPDX-License-Identifier: BSD-3-Clause
#include "penstock.h"

#include "pen_tool_config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (16u << 20)
#define TIMEOUT_S 60

static int fd = -1;

static int open_socket(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = TIMEOUT_S};

	if (strlen(path) >= sizeof(sa.sun_path)) {
		fprintf(stderr, "penstock: %s: the path of a socket is too long\n", path);
		return EXIT_USAGE;
	}
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int err = errno;
		const char *hint =
			err == ENOENT || err == ECONNREFUSED ? "; is penstockd running?" : "";
		fprintf(stderr, "penstock: cannot reach the daemon at %s: %s%s\n", path,
			strerror(err), hint);
		client_close();
		return EXIT_UNREACHABLE;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return EXIT_OK;
}

static int connect_daemon(const struct cli *cli)
{
	struct pen_params p;

	if (cli->socket != NULL)
		return open_socket(cli->socket);
	int err = pen_tool_params(cli->directory, &p);
	int status =
		open_socket(err == 0 && p.control_socket != NULL ? p.control_socket
								 : "/run/penstock/control.sock");
	pen_params_fini(&p);
	return status;
}

void client_close(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

static bool send_request(const char *verb, json_t *args)
{
	json_t *root = json_pack("{s:s,s:o}", "verb", verb, "args", args);
	char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
	size_t n = text != NULL ? strlen(text) : 0, at = 0;
	bool ok = text != NULL;

	json_decref(root);
	if (ok)
		text[n++] = '\n';
	while (ok && at < n) {
		ssize_t w = send(fd, text + at, n - at, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		ok = w > 0;
		at += w > 0 ? (size_t)w : 0;
	}
	free(text);
	return ok;
}

static char *read_answer(size_t *len)
{
	size_t n = 0, cap = 65536;
	char *text = malloc(cap);

	while (text != NULL) {
		if (n == cap) {
			char *more = cap < ANSWER_MAX ? realloc(text, cap *= 2) : NULL;
			if (more == NULL)
				break;
			text = more;
		}
		ssize_t r = recv(fd, text + n, cap - n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
		if (text[n - 1] == '\n') {
			*len = n;
			return text;
		}
	}
	free(text);
	return NULL;
}

// Connects when there is no connection yet. Takes args over.
static int begin(const struct cli *cli, const char *verb, json_t *args)
{
	int status = fd < 0 ? connect_daemon(cli) : EXIT_OK;

	if (status != EXIT_OK) {
		json_decref(args);
		return status;
	}
	if (!send_request(verb, args))
		client_close(); // the answer will be missing
	return EXIT_OK;
}

static int end(const struct cli *cli, json_t **result, bool quiet)
{
	size_t n;
	char *text = fd >= 0 ? read_answer(&n) : NULL;
	json_t *root = text != NULL ? json_loadb(text, n, 0, NULL) : NULL;

	*result = NULL;
	free(text);
	if (!json_is_object(root)) {
		fprintf(stderr, "penstock: the daemon did not answer\n");
		json_decref(root);
		client_close();
		return EXIT_UNREACHABLE;
	}
	if (!json_is_true(json_object_get(root, "ok"))) {
		const char *why = json_string_value(json_object_get(root, "error"));
		if (cli->json && !quiet) {
			json_dumpf(root, stdout, JSON_COMPACT);
			putchar('\n');
		}
		if (!quiet)
			fprintf(stderr, "penstock: %s\n", why != NULL ? why : "the daemon refused");
		json_decref(root);
		return EXIT_REFUSED;
	}
	*result = json_incref(json_object_get(root, "result"));
	json_decref(root);
	if (*result == NULL)
		*result = json_object();
	return EXIT_OK;
}

static int ask(const struct cli *cli, const char *verb, json_t *args, json_t **result, bool quiet)
{
	int status = begin(cli, verb, args);

	*result = NULL;
	return status == EXIT_OK ? end(cli, result, quiet) : status;
}

int client_begin(const struct cli *cli, const char *verb, json_t *args)
{
	return begin(cli, verb, args);
}

int client_end(const struct cli *cli, json_t **result)
{
	return end(cli, result, false);
}

int client_ask(const struct cli *cli, const char *verb, json_t *args, json_t **result)
{
	return ask(cli, verb, args, result, false);
}

int client_try(const struct cli *cli, const char *verb, json_t *args, json_t **result)
{
	return ask(cli, verb, args, result, true);
}
