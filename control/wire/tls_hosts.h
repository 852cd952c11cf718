// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Hosts that TLS has worked with lately (smtp_tls_downgrade_memory): a handshake
// that fails there is not followed by a try without TLS.
//
// Threads: one owner (the queue thread).
// Memory:  fixed at the start: the hash of a name and a time each; in a full
//          bucket the oldest goes. A name that is forgotten too soon gets the
//          treatment of one that was never seen. Lost at a restart.

#include "pen_rand.h"
#include "pen_time.h"

#include <stdbool.h>

struct tls_hosts;

// `hosts`: about how many are remembered. NULL: out of memory.
struct tls_hosts *tls_hosts_new(uint32_t hosts, pen_time_us memory, uint64_t seed);
void tls_hosts_free(struct tls_hosts *t);
void tls_hosts_note(struct tls_hosts *t, const char *name, pen_time_us now);
bool tls_hosts_seen(const struct tls_hosts *t, const char *name, pen_time_us now);
