// SPDX-License-Identifier: BSD-3-Clause

#include "tls_name_match.h"

// ".example.com": something must stand in front of the dot.
static bool below(const char *domain, const char *presented)
{
	size_t n = strlen(presented), d = strlen(domain);

	return d > 0 && n > d + 1 && presented[n - d - 1] == '.' &&
	       strcmp(presented + n - d, domain) == 0;
}

// "*.rest": the star is one whole label, the first, and stands for exactly one.
static bool wildcard(const char *name, const char *presented)
{
	const char *rest = strchr(name, '.');

	return presented[0] == '*' && presented[1] == '.' && presented[2] != '\0' && rest != NULL &&
	       rest != name && strcmp(presented + 1, rest) == 0;
}

bool tls_name_match(const struct pen_tls_name *reference, const char *presented)
{
	if (reference->domain)
		return below(reference->name, presented);
	return (reference->name[0] != '\0' && strcmp(reference->name, presented) == 0) ||
	       wildcard(reference->name, presented);
}
