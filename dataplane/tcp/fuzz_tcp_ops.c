// SPDX-License-Identifier: BSD-3-Clause

// One input is a list of operations on an open connection: segments whose
// numbers are relative to what the stack expects and whose checksums are right
// (so that mutations reach deep states), time, and calls of the application.

#include "tcp_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t n;
};

static uint8_t byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

// Small distances of both signs, and now and then a huge one.
static uint32_t distance(struct input *in)
{
	uint8_t a = byte(in);

	if (a < 128)
		return (uint32_t)(a % 8) * (a < 64 ? 1u : 1460u);
	if (a < 224)
		return 0u - (uint32_t)(a % 8) * (a < 180 ? 1u : 1460u);
	return (uint32_t)byte(in) << (a % 25);
}

static void op_segment(struct script *s, struct input *in)
{
	static const uint8_t zeros[2048];
	const struct pen_tcp_conn *c = s->c;
	uint8_t flags = byte(in), shape = byte(in), options[40];
	uint32_t seq = (c != NULL ? c->rcv_nxt : s->seq) + distance(in);
	uint32_t ack = (c != NULL ? c->snd_una : s->ack) + distance(in);
	uint32_t n = 0, len = (uint32_t)byte(in) * (shape % 8);

	s->wnd = (uint16_t)(byte(in) << (shape >> 5));
	if (shape & 8) {
		n = (shape & 16) ? min_u32(byte(in) % 11 * 4u, (uint32_t)in->n & ~3u) : TCP_TS_OPT;
		if (shape & 16)
			for (uint32_t i = 0; i < n; i++)
				options[i] = byte(in);
		else
			tcp_options_write_ts(options, s->tsval += byte(in), s->tsecr);
	}
	script_raw(s, flags, seq, ack, options, n, zeros, min_u32(len, sizeof(zeros)));
}

static void op_call(struct script *s, struct input *in, uint8_t op)
{
	static const uint8_t bytes[65536];
	uint32_t n = (uint32_t)byte(in) << (byte(in) % 9);

	if (s->c == NULL)
		return;
	switch (op) {
	case 0:
		pen_tcp_write_copy(s->c, bytes, min_u32(n, sizeof(bytes)));
		break;
	case 1:
		pen_tcp_write_ref(s->c, bytes, min_u32(n, sizeof(bytes)));
		break;
	case 2:
		pen_tcp_flush(s->c, s->now);
		break;
	case 3:
		pen_tcp_resume(s->c, s->now);
		break;
	case 4:
		pen_tcp_set_rx_window(s->c, n * 16, s->now);
		break;
	case 5:
		pen_tcp_close(s->c, s->now);
		break;
	case 6:
		s->consume_at_most = n & 1 ? UINT32_MAX : n;
		break;
	case 7:
		pen_tcp_unreachable(s->tcp, &s->us, &s->peer, s->our_port, s->peer_port,
			s->c->snd_una, script_ip6 ? (uint8_t)(1 + n / 5 % 4) : 3, (uint8_t)n % 5,
			(uint16_t)n, s->now);
		break;
	case 8:
		if (n % 16 == 15)
			pen_tcp_abort(s->c, s->now);
		break;
	}
}

static void begin(struct script *s, uint8_t how)
{
	struct pen_tcp_config cfg;

	script_config(&cfg);
	cfg.buffer_chunks = how & 4 ? 6 : 64;
	cfg.send_refs = how & 8 ? 3 : 64;
	cfg.tx_limit = how & 16 ? 2048 : 65536;
	cfg.rx_window = how & 32 ? 4096 : 65536;
	script_ip6 = how & 128;
	script_start(s, &cfg);
	s->ts = how & 2;
	if (how & 64)
		script_connect(s);
	else if (how & 1)
		script_handshake(s);
	else
		script_accept(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script s;
	struct input in = {data, size};

	begin(&s, byte(&in));
	for (int ops = 0; in.n > 0 && ops < 500; ops++) {
		uint8_t op = byte(&in);
		s.ngot = 0;
		if (op < 120)
			op_segment(&s, &in);
		else if (op < 160)
			script_go(&s, (pen_time_us)byte(&in) << (byte(&in) % 20));
		else
			op_call(&s, &in, op % 9);
		if (op % 3 != 0)
			pen_tcp_poll(s.tcp, 4, s.now);
		pen_tcp_check(s.tcp);
		script_forget(&s);
		if (s.closed) {
			s.closed = false;
			s.ngot = 0;
		}
	}
	// Whatever happened, time ends it: nothing lives for ever once closed.
	if (s.c != NULL)
		pen_tcp_abort(s.c, s.now);
	s.closed = false;
	script_forget(&s);
	script_go(&s, 0);
	PEN_ASSERT(s.tcp->txds.used == 0 && s.tcp->chunks.used == 0);
	script_end(&s);
	return 0;
}
