#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the truth table of smtp_tls_per_site and the legacy booleans.

Usage: make_per_site_truth.py FILE          write it
       make_per_site_truth.py --check FILE  exit 1 when FILE differs

Made from the rules (TLS_LEGACY_README), not from the gateway: every keyword for
the host and for the next hop, under every setting of smtp_use_tls,
smtp_enforce_tls and smtp_tls_enforce_peername.
"""

import itertools
import pathlib
import sys

# What a keyword means by itself; "-" is no entry. Listed from weak to strong:
# the stronger of the two entries counts.
STRENGTH = ["-", "MAY", "NONE", "MUST_NOPEERMATCH", "MUST"]
MEANS = {"-": "(no match)", "MAY": "may", "NONE": "none", "MUST_NOPEERMATCH": "encrypt", "MUST": "verify"}
ORDER = ["-", "NONE", "MAY", "MUST_NOPEERMATCH", "MUST"]  # of the rows


def global_level(use, enforce, peername):
    if enforce:
        return "verify" if peername else "encrypt"
    return "may" if use else "none"


def rows():
    yield "host,nexthop,use_tls,enforce_tls,enforce_peername,combined,global,final"
    for host, nexthop in itertools.product(ORDER, ORDER):
        combined = MEANS[max(host, nexthop, key=STRENGTH.index)]
        for flags in itertools.product((0, 1), repeat=3):
            everywhere = global_level(*flags)
            yields = combined == "(no match)" or (combined == "may" and everywhere in ("encrypt", "verify"))
            final = everywhere if yields else combined
            yield ",".join([host, nexthop, *map(str, flags), combined, everywhere, final])


def main():
    text = "\n".join(rows()) + "\n"
    check = sys.argv[1] == "--check"
    path = pathlib.Path(sys.argv[2 if check else 1])
    if not check:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit(f"{path} is not what the rules say")


if __name__ == "__main__":
    main()
