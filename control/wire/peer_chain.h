// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The certificates that a server sent, for people. OpenSSL prints them; nothing
// is decided here.

#include "pen_delivery.h"

#include <jansson.h>

// A new array: subject, issuer, validity, names, digests of certificate and key.
json_t *peer_chain_json(const struct pen_peer_chain *chain);
