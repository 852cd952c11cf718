// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

#include <arpa/inet.h>
#include <errno.h>

enum {
	OPT_END = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_TS = 8,
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return ntohl(v);
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
}

static void option_take(struct tcp_seg *s, const uint8_t *p, uint32_t len)
{
	if (p[0] == OPT_MSS && len == 4) {
		s->mss = (uint16_t)(p[2] << 8 | p[3]);
	} else if (p[0] == OPT_WSCALE && len == 3) {
		// RFC 7323 2.3: more than 14 counts as 14.
		s->wscale = p[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : p[2];
	} else if (p[0] == OPT_TS && len == 10) {
		s->has_ts = true;
		s->tsval = get32(p + 2);
		s->tsecr = get32(p + 6);
	}
}

int tcp_options_parse(struct tcp_seg *s, const uint8_t *p, uint32_t n)
{
	s->has_ts = false;
	s->wscale = 0xff;
	s->mss = 0;
	// What nearly every segment of an established connection carries.
	if (n == TCP_TS_OPT && get32(p) == 0x0101080a) {
		s->has_ts = true;
		s->tsval = get32(p + 4);
		s->tsecr = get32(p + 8);
		return 0;
	}
	for (uint32_t i = 0; i < n && p[i] != OPT_END;) {
		if (p[i] == OPT_NOP) {
			i++;
			continue;
		}
		// RFC 9293 MUST-7: no length of an option may send us astray.
		if (i + 1 >= n || p[i + 1] < 2 || p[i + 1] > n - i)
			return -EBADMSG;
		option_take(s, p + i, p[i + 1]);
		i += p[i + 1];
	}
	return 0;
}

uint32_t tcp_options_write_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr)
{
	put32(p, 0x0101080a);
	put32(p + 4, tsval);
	put32(p + 8, tsecr);
	return TCP_TS_OPT;
}

uint32_t tcp_options_write_syn(
	uint8_t *p, uint16_t mss, int wscale, bool ts, uint32_t tsval, uint32_t tsecr)
{
	uint32_t n = 4;

	put32(p, 0x02040000u | mss);
	if (wscale >= 0) {
		put32(p + n, 0x01030300u | (uint32_t)wscale);
		n += 4;
	}
	if (ts)
		n += tcp_options_write_ts(p + n, tsval, tsecr);
	return n;
}
