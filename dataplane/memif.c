// SPDX-License-Identifier: BSD-3-Clause
#include "memif.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/memif.sock"

bool device_option(const char *device, const char *key, char *out, size_t cap)
{
	size_t klen = strlen(key);

	for (const char *p = strchr(device, ','); p != NULL; p = strchr(p, ',')) {
		p++;
		while (*p == ' ')
			p++;
		if (strncmp(p, key, klen) != 0 || p[klen] != '=')
			continue;
		size_t n = strcspn(p + klen + 1, ",");
		if (n >= cap)
			return false;
		memcpy(out, p + klen + 1, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

bool memif_is(const char *device)
{
	return strncmp(device, "net_memif", 9) == 0;
}

bool memif_is_client(const char *device)
{
	char role[16] = "client"; // the driver's default

	device_option(device, "role", role, sizeof(role));
	return memif_is(device) && strcmp(role, "server") != 0 && strcmp(role, "master") != 0;
}

bool memif_socket(const char *device, char *out, size_t cap)
{
	char abstract[8] = "yes";

	snprintf(out, cap, DEFAULT_SOCKET);
	device_option(device, "socket", out, cap);
	device_option(device, "socket-abstract", abstract, sizeof(abstract));
	return strcmp(abstract, "no") != 0;
}

static void folder_of(const char *path, char *out, size_t cap)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL || slash == path ? 1 : (size_t)(slash - path);

	snprintf(out, cap, "%.*s", (int)n, slash == NULL ? "." : path);
}

int memif_check(const char *port, const char *device, char *err, size_t cap)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], folder[sizeof(path)], zc[8] = "no";
	struct stat st;

	if (!memif_is(device))
		return 0;
	device_option(device, "zero-copy", zc, sizeof(zc));
	if (strcmp(zc, "yes") == 0) {
		// The driver forgets the buffers that the other side holds when it goes
		// away, and lets it see all of our memory while it is there.
		snprintf(err, cap, "port %s: net_memif is not supported with zero-copy=yes", port);
		return -EINVAL;
	}
	if (memif_socket(device, path, sizeof(path)))
		return 0;
	folder_of(path, folder, sizeof(folder));
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
		snprintf(err, cap, "port %s: the folder %s of the memif socket does not exist",
			port, folder);
		return -ENOENT;
	}
	if (access(folder, R_OK | W_OK | X_OK) != 0) {
		snprintf(err, cap,
			"port %s: no permission to use the folder %s of the memif socket", port,
			folder);
		return -EACCES;
	}
	return 0;
}

void memif_remove_stale_socket(const char *device)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;

	if (!memif_is(device) || memif_is_client(device) ||
		memif_socket(device, un.sun_path, sizeof(un.sun_path)) ||
		stat(un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0 && errno == ECONNREFUSED)
		unlink(un.sun_path);
	close(fd);
}

// ---- open sockets ----

static int int_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static bool is_named(const struct sockaddr_un *un, socklen_t len, const char *path, bool abstract)
{
	size_t skip = abstract ? 1 : 0, n = strlen(path);
	size_t have = len > offsetof(struct sockaddr_un, sun_path)
			      ? len - offsetof(struct sockaddr_un, sun_path)
			      : 0;

	// An abstract name has a zero in front, and zeros behind or not.
	return have >= n + skip && (!abstract || un->sun_path[0] == '\0') &&
	       memcmp(un->sun_path + skip, path, n) == 0 &&
	       (have == n + skip || un->sun_path[skip + n] == '\0');
}

static bool belongs(int fd, const char *path, bool abstract)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);

	if (int_option(fd, SO_DOMAIN) != AF_UNIX || int_option(fd, SO_TYPE) != SOCK_SEQPACKET)
		return false;
	if (getpeername(fd, (struct sockaddr *)&un, &len) == 0 &&
		is_named(&un, len, path, abstract))
		return true;
	len = sizeof(un);
	return getsockname(fd, (struct sockaddr *)&un, &len) == 0 &&
	       is_named(&un, len, path, abstract);
}

uint32_t memif_find_sockets(const char *device, int *out, uint32_t cap, uint32_t *connections)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	bool abstract = memif_socket(device, path, sizeof(path));
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;

	*connections = 0;
	if (d == NULL)
		return 0;
	for (struct dirent *e; n < cap && (e = readdir(d)) != NULL;) {
		int fd = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : -1;
		if (fd < 0 || !belongs(fd, path, abstract))
			continue;
		*connections += int_option(fd, SO_ACCEPTCONN) == 0;
		out[n++] = fd;
	}
	closedir(d);
	return n;
}
