// SPDX-License-Identifier: BSD-3-Clause
#include "pen_control.h"
#include "pen_test.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
	char dir[100], path[108];
	struct pen_control *c;
	uint64_t token; // of "keep"
	pthread_mutex_t lock;
	pthread_cond_t kept;
};

static void echo(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	(void)ctx;
	pen_control_done_ok(c, req->token, json_incref(req->args));
}

static void refuse(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	(void)ctx;
	pen_control_done_error(c, req->token, "%s is refused", req->verb);
}

static void keep(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct fixture *f = ctx;

	(void)c;
	pthread_mutex_lock(&f->lock);
	f->token = req->token;
	pthread_cond_signal(&f->kept);
	pthread_mutex_unlock(&f->lock);
}

static void page(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_control_page p;
	char err[100];

	(void)ctx;
	if (pen_control_page(req->args, &p, err, sizeof(err)) != 0)
		pen_control_done_error(c, req->token, "%s", err);
	else
		pen_control_done_ok(c, req->token,
			json_pack("{s:i,s:s}", "limit", (int)p.limit, "cursor", p.cursor));
}

static void huge(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	size_t n = PEN_CONTROL_REPLY_MAX + 1;
	char *text = malloc(n);

	(void)ctx;
	memset(text, 'x', n);
	pen_control_done_ok(c, req->token, json_stringn(text, n));
	free(text);
}

static void make_dir(struct fixture *f)
{
	const char *base = getenv("TMPDIR");

	snprintf(f->dir, sizeof(f->dir), "%s/penstock-test-XXXXXX", base != NULL ? base : P_tmpdir);
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%.90s/control", f->dir);
}

static void start(struct fixture *f, pen_time_us timeout)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->kept, NULL);
	make_dir(f);
	struct pen_control_config cfg = {.path = f->path, .handler_timeout = timeout};
	assert_int_equal(pen_control_new(&cfg, &f->c), 0);
	assert_int_equal(pen_control_register(f->c, "echo", echo, f), 0);
	assert_int_equal(pen_control_register(f->c, "refuse", refuse, f), 0);
	assert_int_equal(pen_control_register(f->c, "keep", keep, f), 0);
	assert_int_equal(pen_control_register(f->c, "page", page, f), 0);
	assert_int_equal(pen_control_register(f->c, "huge", huge, f), 0);
	assert_int_not_equal(pen_control_register(f->c, "echo", echo, f), 0);
	assert_int_equal(pen_control_start(f->c), 0);
}

static void stop(struct fixture *f)
{
	struct stat st;

	pen_control_free(f->c);
	assert_int_not_equal(stat(f->path, &st), 0);
	rmdir(f->dir);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval tv = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(sa.sun_path, f->path, sizeof(f->path));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void hear(int fd, const char *want)
{
	char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1 && (n == 0 || line[n - 1] != '\n')) {
		ssize_t r = recv(fd, line + n, 1, 0);
		if (r <= 0)
			break;
		n++;
	}
	line[n] = '\0';
	assert_string_equal(line, want);
}

static void ask(int fd, const char *question, const char *want)
{
	say(fd, question);
	hear(fd, want);
}

static void a_verb_is_answered_and_others_are_errors(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 0);
	int fd = dial(&f);
	ask(fd, "{\"verb\":\"echo\",\"args\":{\"a\":[1,\"b\"]}}\n",
		"{\"ok\":true,\"result\":{\"a\":[1,\"b\"]}}\n");
	ask(fd, "{\"verb\":\"echo\"}\r\n", "{\"ok\":true,\"result\":{}}\n");
	ask(fd, "{\"verb\":\"refuse\"}\n", "{\"ok\":false,\"error\":\"refuse is refused\"}\n");
	ask(fd, "{\"verb\":\"nothing\"}\n",
		"{\"ok\":false,\"error\":\"unknown verb \\\"nothing\\\"\"}\n");
	close(fd);
	stop(&f);
}

static void requests_sent_together_are_answered_in_order(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 0);
	int fd = dial(&f);
	say(fd, "{\"verb\":\"echo\",\"args\":{\"n\":1}}\n{\"verb\":\"refuse\"}\n{\"verb\":");
	say(fd, "\"echo\",\"args\":{\"n\":2}}\n");
	shutdown(fd, SHUT_WR);
	hear(fd, "{\"ok\":true,\"result\":{\"n\":1}}\n");
	hear(fd, "{\"ok\":false,\"error\":\"refuse is refused\"}\n");
	hear(fd, "{\"ok\":true,\"result\":{\"n\":2}}\n");
	hear(fd, "");
	close(fd);
	stop(&f);
}

static void hostile_requests_get_errors_and_the_connection_goes_on(void **state)
{
	(void)state;
	static const char *const bad[] = {"hello\n", "[]\n", "\n", "{\"verb\":7}\n",
		"{\"verb\":\"\"}\n", "{\"args\":{}}\n", "{\"verb\":\"echo\",\"args\":[]}\n",
		"{\"verb\":\"echo\",\"x\":1}\n", "{\"verb\":\"echo\",\"verb\":\"echo\"}\n",
		"{\"verb\":\"a b\"}\n",
		"{\"verb\":\"echo\",\"args\":{\"a\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}}\n",
		"{\"verb\":\"\xff\"}\n", "{\"verb\":\"echo\",\"args\":{\"a\":1e999}}\n"};
	struct fixture f;
	char line[1000];

	start(&f, 0);
	int fd = dial(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t n = 0;
		say(fd, bad[i]);
		do
			assert_int_equal(recv(fd, line + n, 1, 0), 1);
		while (line[n++] != '\n');
		assert_memory_equal(line, "{\"ok\":false,\"error\":\"", 21);
	}
	ask(fd, "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	close(fd);
	stop(&f);
}

static void a_request_without_end_is_refused_and_closed(void **state)
{
	(void)state;
	struct fixture f;
	static char big[PEN_CONTROL_REQUEST_MAX + 1];

	start(&f, 0);
	int fd = dial(&f);
	memset(big, ' ', PEN_CONTROL_REQUEST_MAX);
	say(fd, big);
	hear(fd, "{\"ok\":false,\"error\":\"the request is too long\"}\n");
	hear(fd, "");
	close(fd);
	stop(&f);
}

static uint64_t wait_for_token(struct fixture *f)
{
	pthread_mutex_lock(&f->lock);
	while (f->token == 0)
		pthread_cond_wait(&f->kept, &f->lock);
	uint64_t t = f->token;
	f->token = 0;
	pthread_mutex_unlock(&f->lock);
	return t;
}

static void an_answer_may_come_later_from_another_thread(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 0);
	int a = dial(&f), b = dial(&f);
	say(a, "{\"verb\":\"keep\"}\n{\"verb\":\"echo\"}\n");
	uint64_t ta = wait_for_token(&f);
	ask(b, "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	pen_control_done_ok(f.c, ta, json_pack("{s:i}", "late", 1));
	hear(a, "{\"ok\":true,\"result\":{\"late\":1}}\n");
	hear(a, "{\"ok\":true,\"result\":{}}\n");
	pen_control_done_ok(f.c, ta, json_object()); // twice: nobody waits for it
	pen_control_done_page(f.c, ta, json_object());
	say(a, "{\"verb\":\"keep\"}\n");
	pen_control_done_page(f.c, wait_for_token(&f), json_pack("{s:[i,i]}", "entries", 1, 2));
	hear(a, "{\"ok\":true,\"result\":{\"entries\":[1,2]}}\n");
	ask(a, "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	close(a);
	close(b);
	stop(&f);
}

static void an_answer_for_a_client_that_left_is_dropped(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 0);
	int a = dial(&f);
	say(a, "{\"verb\":\"keep\"}\n");
	uint64_t ta = wait_for_token(&f);
	close(a);
	int b = dial(&f);
	ask(b, "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	pen_control_done_ok(f.c, ta, json_object());
	pen_control_done_ok(f.c, UINT64_MAX, json_object());
	ask(b, "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	close(b);
	stop(&f);
}

static void a_handler_that_is_silent_ends_in_an_error(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 1);
	int a = dial(&f);
	ask(a, "{\"verb\":\"keep\"}\n", "{\"ok\":false,\"error\":\"no answer in time\"}\n");
	pen_control_done_ok(f.c, wait_for_token(&f), json_object());
	close(a);
	stop(&f);
}

static void the_seventeenth_client_is_turned_away(void **state)
{
	(void)state;
	struct fixture f;
	int fd[PEN_CONTROL_CLIENTS_MAX];

	start(&f, 0);
	for (int i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++) {
		fd[i] = dial(&f);
		ask(fd[i], "{\"verb\":\"echo\"}\n", "{\"ok\":true,\"result\":{}}\n");
	}
	int more = dial(&f);
	hear(more, "{\"ok\":false,\"error\":\"too many control clients\"}\n");
	hear(more, "");
	close(more);
	for (int i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++)
		close(fd[i]);
	stop(&f);
}

static void pages_have_limits_and_long_answers_are_refused(void **state)
{
	(void)state;
	struct fixture f;

	start(&f, 0);
	int fd = dial(&f);
	ask(fd, "{\"verb\":\"page\"}\n",
		"{\"ok\":true,\"result\":{\"limit\":100,\"cursor\":\"\"}}\n");
	ask(fd, "{\"verb\":\"page\",\"args\":{\"limit\":5,\"cursor\":\"x\"}}\n",
		"{\"ok\":true,\"result\":{\"limit\":5,\"cursor\":\"x\"}}\n");
	ask(fd, "{\"verb\":\"page\",\"args\":{\"limit\":5000}}\n",
		"{\"ok\":false,\"error\":\"\\\"limit\\\" must be a number from 1 to 1000\"}\n");
	ask(fd, "{\"verb\":\"page\",\"args\":{\"cursor\":5}}\n",
		"{\"ok\":false,\"error\":\"\\\"cursor\\\" must be what an answer gave as "
		"\\\"next\\\"\"}\n");
	ask(fd, "{\"verb\":\"huge\"}\n",
		"{\"ok\":false,\"error\":\"the answer is too long: ask for a smaller page\"}\n");
	close(fd);
	stop(&f);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	(void)state;
	struct fixture f;
	struct pen_control *second;
	struct stat st;

	start(&f, 0);
	assert_int_equal(stat(f.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	struct pen_control_config cfg = {.path = f.path};
	assert_int_equal(pen_control_new(&cfg, &second), 0);
	assert_int_not_equal(pen_control_start(second), 0);
	pen_control_free(second);
	assert_int_equal(stat(f.path, &st), 0);
	stop(&f);

	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	make_dir(&f);
	memcpy(sa.sun_path, f.path, sizeof(f.path));
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(dead);
	cfg.path = f.path;
	assert_int_equal(pen_control_new(&cfg, &f.c), 0);
	assert_int_equal(pen_control_start(f.c), 0);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verb_is_answered_and_others_are_errors),
		cmocka_unit_test(requests_sent_together_are_answered_in_order),
		cmocka_unit_test(hostile_requests_get_errors_and_the_connection_goes_on),
		cmocka_unit_test(a_request_without_end_is_refused_and_closed),
		cmocka_unit_test(an_answer_may_come_later_from_another_thread),
		cmocka_unit_test(an_answer_for_a_client_that_left_is_dropped),
		cmocka_unit_test(a_handler_that_is_silent_ends_in_an_error),
		cmocka_unit_test(the_seventeenth_client_is_turned_away),
		cmocka_unit_test(pages_have_limits_and_long_answers_are_refused),
		cmocka_unit_test(a_stale_socket_is_replaced_and_a_live_one_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
