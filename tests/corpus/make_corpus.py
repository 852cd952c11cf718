#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes a corpus of realistic messages, the same ones for the same seed.

Usage: make_corpus.py [--count N] [--seed S] DIR

Writes DIR/0001.eml ... with what real mail has and what breaks mail software:
multipart bodies, 8-bit text, base64 attachments, lines of 998 and more bytes,
dots at line starts, empty bodies, no final line end, bare LF line ends, folded
headers, and sizes from 0 bytes to 1 MiB. No message holds a bare CR: SMTP has
no way to carry one unchanged.
"""

import argparse
import base64
import pathlib
import random

WORDS = """order invoice parcel delivery address customer number thank account statement
monthly offer garden kitchen travel ticket booking confirm update notice meeting agenda
project report summary attached please reply before friday window shipping refund""".split()

UMLAUTS = ["Grüße aus Köln", "déjà vu à l'hôtel", "naïve façade", "żółta łódź", "日本語の本文", "здравствуйте"]


def sentence(rng, words=None):
    n = words or rng.randint(4, 14)
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize() + "."


def paragraph_lines(rng, lines):
    return [sentence(rng) for _ in range(lines)]


def head(rng, number, extra=()):
    lines = [
        f"From: \"Sender {number}\" <sender{number % 7}@bulk.example>",
        f"To: Reader <reader{number % 11}@example.test>",
        f"Subject: {sentence(rng, 5)}",
        f"Date: Sat, 21 Nov 2026 {number % 24:02d}:{number % 60:02d}:00 +0000",
        f"Message-ID: <{number}.{rng.getrandbits(40):x}@bulk.example>",
        "MIME-Version: 1.0",
    ]
    if number % 3 == 0:  # a folded header
        lines.append("List-Unsubscribe: <https://bulk.example/u/%x>,\n\t<mailto:unsubscribe@bulk.example>" % number)
    return lines + list(extra)


def plain(rng, n):
    return head(rng, n, ["Content-Type: text/plain; charset=us-ascii"]) + [""] + paragraph_lines(rng, rng.randint(1, 80))


def dots(rng, n):
    body = [".", "..", "...", ". leading dot and space", ".hidden", "text", ".", "", ".", ".."]
    rng.shuffle(body)
    return head(rng, n) + [""] + body * rng.randint(1, 40)


def eight_bit(rng, n):
    extra = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit"]
    return head(rng, n, extra) + [""] + [f"{rng.choice(UMLAUTS)} {sentence(rng)}" for _ in range(rng.randint(1, 60))]


def long_lines(rng, n):
    lengths = [76, 997, 998, 999, 1000, 1024, 2047, 2048, 2049, 4095, 4096, 5000, 8192, 20000]
    return head(rng, n) + [""] + [("x" * (length - 1)) + "." for length in rng.sample(lengths, 5)] + [".." + "y" * 1200]


def attachment_lines(rng, size):
    data = base64.encodebytes(rng.randbytes(size)).decode("ascii")
    return data.rstrip("\n").split("\n")


def multipart(rng, n, size=None):
    boundary = f"=_{rng.getrandbits(64):016x}"
    size = size or rng.choice([800, 3000, 20000, 60000])
    html = ["<html><body>"] + [f"<p>{sentence(rng)} &ouml;</p>" for _ in range(20)] + ["</body></html>"]
    return (head(rng, n, [f"Content-Type: multipart/mixed; boundary=\"{boundary}\""])
            + ["", "This is a multi-part message in MIME format.", f"--{boundary}",
               "Content-Type: multipart/alternative; boundary=inner", "", "--inner",
               "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", ""]
            + [sentence(rng) + " =C3=BC=" for _ in range(6)] + ["", "--inner", "Content-Type: text/html", ""]
            + html + ["--inner--", f"--{boundary}", "Content-Type: application/octet-stream; name=data.bin",
                      "Content-Transfer-Encoding: base64", ""]
            + attachment_lines(rng, size) + [f"--{boundary}--"])


def empty_body(rng, n):
    return head(rng, n) + [""]


def header_only(rng, n):
    return head(rng, n)


def blank_lines(rng, n):
    return head(rng, n) + [""] * rng.randint(2, 300) + ["end"]


KINDS = [plain, plain, multipart, dots, eight_bit, long_lines, plain, empty_body, header_only, blank_lines]


def message(seed, n):
    """Returns the bytes of message n (counted from 1)."""
    rng = random.Random(seed * 1000003 + n)
    if n == 1:
        return b""
    if n == 2:
        return b".\n"
    if n == 3:
        return "\r\n".join(multipart(rng, n, 740_000)).encode() + b"\r\n"  # 1 MiB once encoded
    lines = KINDS[n % len(KINDS)](rng, n)
    end = "\n" if n % 13 == 0 else "\r\n"
    text = "\n".join(lines).replace("\n", end)
    if n % 17 != 0:  # the rest has no final line end
        text += end
    return text.encode("utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("dir", type=pathlib.Path)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    for n in range(1, args.count + 1):
        (args.dir / f"{n:04d}.eml").write_bytes(message(args.seed, n))


if __name__ == "__main__":
    main()
