// SPDX-License-Identifier: BSD-3-Clause
#include "memif.h"

#include "pen_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void a_memif_is_a_client_unless_it_is_told_otherwise(void **state)
{
	(void)state;
	char path[108];

	assert_true(memif_is_client("net_memif0"));
	assert_true(memif_is_client("net_memif0,role=client,id=1"));
	assert_false(memif_is_client("net_memif0,role=server,id=1"));
	assert_false(memif_is_client("net_null0,role=client"));
	assert_true(memif_socket("net_memif0", path, sizeof(path)));
	assert_string_equal(path, "/run/memif.sock");
	assert_false(memif_socket("net_memif0,socket=/x/y,socket-abstract=no", path, sizeof(path)));
	assert_string_equal(path, "/x/y");
}

static int seqpacket(const char *path, bool abstract, bool listening)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(un.sun_path + abstract, path);
	assert_true(fd >= 0);
	if (!listening) {
		assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		return fd;
	}
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void the_sockets_of_a_memif_are_found_by_their_path(void **state)
{
	(void)state;
	for (int abstract = 0; abstract < 2; abstract++) {
		char dir[] = "/tmp/pen_memif_XXXXXX", path[64], device[128], other[128];
		uint32_t connections;
		int fd[8];
		assert_non_null(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/m.sock", dir);
		snprintf(device, sizeof(device), "net_memif0,socket=%s,socket-abstract=%s", path,
			abstract ? "yes" : "no");
		snprintf(other, sizeof(other), "net_memif0,socket=%s2,socket-abstract=%s", path,
			abstract ? "yes" : "no");
		int listener = seqpacket(path, abstract, true);
		assert_int_equal(memif_find_sockets(device, fd, 8, &connections), 1);
		assert_int_equal(fd[0], listener);
		assert_int_equal(connections, 0);
		int client = seqpacket(path, abstract, false);
		int served = accept(listener, NULL, NULL);
		assert_int_equal(memif_find_sockets(device, fd, 8, &connections), 3);
		assert_int_equal(connections, 2);
		assert_int_equal(memif_find_sockets(device, fd, 2, &connections), 2);
		assert_int_equal(memif_find_sockets(other, fd, 8, &connections), 0);
		close(served);
		close(client);
		close(listener);
		unlink(path);
		rmdir(dir);
	}
}

static void only_a_socket_without_a_listener_is_removed(void **state)
{
	(void)state;
	char dir[] = "/tmp/pen_memif_XXXXXX", path[64], device[128];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/m.sock", dir);
	snprintf(device, sizeof(device), "net_memif0,role=server,socket=%s,socket-abstract=no",
		path);
	int listener = seqpacket(path, false, true);
	memif_remove_stale_socket(device);
	assert_int_equal(access(path, F_OK), 0);
	close(listener);
	memif_remove_stale_socket("net_memif0,role=client");
	assert_int_equal(access(path, F_OK), 0);
	memif_remove_stale_socket(device);
	assert_int_not_equal(access(path, F_OK), 0);
	// A file that is none of ours stays.
	int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(file);
	memif_remove_stale_socket(device);
	assert_int_equal(unlink(path), 0);
	rmdir(dir);
}

static void what_cannot_work_is_told_before_the_start(void **state)
{
	(void)state;
	char err[256];

	assert_int_equal(memif_check("p0", "net_null0,socket=/nosuch/x", err, sizeof(err)), 0);
	assert_int_equal(memif_check("p0", "net_memif0,socket=/nosuch/x", err, sizeof(err)), 0);
	assert_int_not_equal(memif_check("p0", "net_memif0,socket=/nosuch/x,socket-abstract=no",
				     err, sizeof(err)),
		0);
	assert_string_equal(err, "port p0: the folder /nosuch of the memif socket does not exist");
	assert_int_not_equal(memif_check("p0", "net_memif0,zero-copy=yes", err, sizeof(err)), 0);
	assert_non_null(strstr(err, "zero-copy=yes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_memif_is_a_client_unless_it_is_told_otherwise),
		cmocka_unit_test(what_cannot_work_is_told_before_the_start),
		cmocka_unit_test(the_sockets_of_a_memif_are_found_by_their_path),
		cmocka_unit_test(only_a_socket_without_a_listener_is_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
