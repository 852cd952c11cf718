// SPDX-License-Identifier: BSD-3-Clause
#include "pen_idn.h"

#include <ctype.h>
#include <idn2.h>

// U-labels are longer as UTF-8 than what they become: 253 letters of four bytes.
#define INPUT_MAX 1012

bool pen_idn_needed(struct pen_span domain)
{
	for (size_t i = 0; i < domain.n; i++) {
		if (domain.p[i] >= 0x80)
			return true;
	}
	return false;
}

static const char *copy_lower(char out[PEN_IDN_NAME_MAX], struct pen_span domain)
{
	if (domain.n > 0 && domain.p[domain.n - 1] == '.')
		domain.n--;
	if (domain.n >= PEN_IDN_NAME_MAX)
		return "the name is too long";
	for (size_t i = 0; i < domain.n; i++)
		out[i] = (char)tolower(domain.p[i]);
	out[domain.n] = '\0';
	return NULL;
}

const char *pen_idn_to_ascii(char out[PEN_IDN_NAME_MAX], struct pen_span domain)
{
	char in[INPUT_MAX + 1];
	char *ascii = NULL;

	out[0] = '\0';
	if (!pen_idn_needed(domain))
		return copy_lower(out, domain);
	if (domain.n > INPUT_MAX)
		return "the name is too long";
	if (memchr(domain.p, '\0', domain.n) != NULL)
		return "the name holds a NUL";
	memcpy(in, domain.p, domain.n);
	in[domain.n] = '\0';
	int err = idn2_to_ascii_8z(in, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (err != IDN2_OK)
		return idn2_strerror(err);
	const char *wrong = copy_lower(out, pen_span_cstr(ascii));
	idn2_free(ascii);
	return wrong;
}
