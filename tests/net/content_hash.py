# SPDX-License-Identifier: BSD-3-Clause
"""The content hash of tools/lib/pen_content_hash.h, for what real receivers stored."""

import re

import xxhash

FIELD = re.compile(rb"[!-9;-~]+:")
SKIPPED = re.compile(
    rb"(?:received|return-path|delivered-to|x-original-to|x-penstock-hash|message-id|date):", re.I)


def canonical(content):
    """CRLF line ends, the last one included."""
    content = re.sub(rb"(?<!\r)\n", b"\r\n", content)
    return content if not content or content.endswith(b"\n") else content + b"\r\n"


def fields(content):
    """The fields of the top header block, and what follows them."""
    found, at = [], 0
    while at < len(content):
        end = content.find(b"\n", at) + 1 or len(content)
        line = content[at:end]
        if found and line[:1] in (b" ", b"\t"):
            found[-1] += line
        elif FIELD.match(line):
            found.append(line)
        else:
            break
        at = end
    return found, content[at:]


def content_hash(content):
    """16 hexadecimal digits over a message as it was received."""
    head, rest = fields(canonical(content))
    kept = b"".join(f for f in head if not SKIPPED.match(f))
    return f"{xxhash.xxh3_64_intdigest(kept + rest):016x}"


def header(content, name):
    """The value of the last such field in the header block, or None."""
    values = [f.split(b":", 1)[1].strip().decode() for f in fields(canonical(content))[0]
              if f.lower().startswith(name.lower().encode() + b":")]
    return values[-1] if values else None
