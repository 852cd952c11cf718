// SPDX-License-Identifier: BSD-3-Clause

// One input is a run of frames, each behind a 16-bit length: into the network
// layer, which has a source of each family, with TCP attached. The length's top
// bit says "checksums are good", the next one has the checksum of an ICMPv6
// message set right: nobody else verifies that one, and mutations would never
// get past it.

#include "inet_internal.h"
#include "tcp_script.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_icmp6_sum(uint8_t *frame, uint32_t len)
{
	const uint32_t head = PEN_ETH_LEN + PEN_IP6_LEN;
	uint8_t *ip = frame + PEN_ETH_LEN;

	if (len < head + 4 || get16(frame + 12) != ETH_TYPE_IP6 || ip[6] != IP_PROTO_ICMP6)
		return;
	uint32_t payload = min_u32(get16(ip + 4), len - head);
	if (payload >= 4)
		icmp6_finish(ip, frame + head, payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct script s;
	struct pen_tcp_config cfg;

	script_config(&cfg);
	cfg.buffer_chunks = 16;
	script_start(&s, &cfg);
	struct pen_inet_handler h = {
		.tcp = pen_tcp_input, .tcp_unreachable = pen_tcp_unreachable, .ctx = s.tcp};
	pen_inet_set_handler(s.inet, &h);
	pen_tcp_listen(s.tcp, 25, &s);
	while (size >= 2) {
		uint32_t len = (uint32_t)(data[0] << 8 | data[1]);
		bool good = (len & 0x8000) != 0, right = (len & 0x4000) != 0;
		len = min_u32(len & 0x3fff, (uint32_t)size - 2);
		uint8_t *exact = malloc(len);
		if (len > 0)
			memcpy(exact, data + 2, len);
		if (right)
			set_icmp6_sum(exact, len);
		pen_inet_steer(exact, len);
		s.ngot = 0;
		s.closed = false;
		pen_inet_input(s.inet, exact, len, good, s.now);
		free(exact);
		s.now += 100 * PEN_US_PER_MS;
		pen_inet_poll(s.inet, s.now);
		pen_tcp_poll(s.tcp, 16, s.now);
		pen_tcp_check(s.tcp);
		script_forget(&s);
		data += 2 + len;
		size -= 2 + len;
	}
	script_end(&s);
	return 0;
}
