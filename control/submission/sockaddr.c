// SPDX-License-Identifier: BSD-3-Clause
#include "sockaddr.h"

#include <netinet/in.h>

socklen_t sockaddr_of(const struct pen_addr *a, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (a->family == PEN_FAMILY_IP6) {
		struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)out;
		s6->sin6_family = AF_INET6;
		s6->sin6_port = htons(port);
		memcpy(&s6->sin6_addr, a->ip, 16);
		return sizeof(*s6);
	}
	struct sockaddr_in *s4 = (struct sockaddr_in *)out;
	s4->sin_family = AF_INET;
	s4->sin_port = htons(port);
	memcpy(&s4->sin_addr, a->ip, 4);
	return sizeof(*s4);
}

struct pen_addr sockaddr_addr(const struct sockaddr_storage *in)
{
	struct pen_addr a = {0};

	if (in->ss_family == AF_INET) {
		a.family = PEN_FAMILY_IP4;
		memcpy(a.ip, &((const struct sockaddr_in *)in)->sin_addr, 4);
	} else if (in->ss_family == AF_INET6) {
		const struct in6_addr *ip = &((const struct sockaddr_in6 *)in)->sin6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(ip);
		a.family = mapped ? PEN_FAMILY_IP4 : PEN_FAMILY_IP6;
		memcpy(a.ip, ip->s6_addr + (mapped ? 12 : 0), mapped ? 4 : 16);
	}
	return a;
}

uint16_t sockaddr_port(const struct sockaddr_storage *in)
{
	if (in->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)in)->sin_port);
	if (in->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)in)->sin6_port);
	return 0;
}
