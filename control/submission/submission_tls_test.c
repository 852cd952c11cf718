// SPDX-License-Identifier: BSD-3-Clause

// STARTTLS in submission, with a client of tls/ on a real socket.

#include "submission_rig.h"

#include "pen_tls.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	return 0;
}
