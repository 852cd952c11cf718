# SPDX-License-Identifier: BSD-3-Clause
"""The content hash of tools/lib/pen_content_hash.h, for what real receivers stored."""

import re

import xxhash

# Header fields that relays add or that carry the hash itself.
SKIPPED = re.compile(
    rb"(?:received|return-path|delivered-to|x-original-to|x-penstock-hash|message-id|date)[ \t]*:", re.I)


def content_hash(content):
    """16 hexadecimal digits over canonical content (CRLF line ends)."""
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    kept, at, skipping = [], 0, False
    while at < len(content):
        end = content.find(b"\r\n", at) + 2
        line = content[at:end]
        if line == b"\r\n":
            break
        if line[:1] not in b" \t":
            skipping = SKIPPED.match(line) is not None
        if not skipping:
            kept.append(line)
        at = end
    return f"{xxhash.xxh3_64_intdigest(b''.join(kept) + content[at:]):016x}"


def header(content, name):
    found = re.search(rb"^" + name.encode() + rb": *([^\r\n]*)", content.split(b"\r\n\r\n", 1)[0], re.I | re.M)
    return found.group(1).decode() if found else None
