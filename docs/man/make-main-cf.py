#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes the manual page of main.cf from the table of parameters.

Usage: make-main-cf.py          write penstock.main.cf.5 beside this script
       make-main-cf.py --check  exit 1 when the page there is not up to date
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "control/config/pen_params.def"
PAGE = HERE / "penstock.main.cf.5"

# Read, checked and kept, but nothing asks for the value. tests/docs/check_docs.py
# compares this list with the sources.
NO_EFFECT = {
    "compatibility_level": "so that tools that look for it find it",
    "smtpd_sasl_type": "it has one value",
}

# What the system decides when main.cf does not.
SYSTEM_DEFAULTS = {
    "config_directory": "the folder that holds main.cf",
    "mydomain": "$myhostname without its first label",
    "myhostname": "the system's host name",
}

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

HEAD = r""".\" SPDX-License-Identifier: BSD-3-Clause
.\" Made from control/config/pen_params.def by docs/man/make-main-cf.py: edit those.
.TH PENSTOCK.MAIN.CF 5 "2026-11-21" "Penstock" "File Formats"
.SH NAME
penstock.main.cf \- parameters of the Penstock mail gateway
.SH SYNOPSIS
.I /etc/penstock/main.cf
.SH DESCRIPTION
The file has Postfix's format. A parameter that Postfix has too has the same name and means the same; defaults
differ where this page says so.
.PP
Network ports and sender addresses are not here but in
.BR egress.conf (5).
.PP
.B penstock config check
reports every fault of the file at once, with line and value.
.B penstock config show
prints the parameters in effect. The file is read when
.BR penstockd (8)
starts and at
.BR "penstock reload" ,
which names the changes that need a restart and applies the others.
.SS Format
.IP \(bu 2
A line is
.IR "name = value" .
White space around the value does not count. A value may be empty.
.IP \(bu
A line that begins with white space continues the line before it.
.IP \(bu
A line whose first character that is not white space is
.B #
is a comment. Empty lines and comments do not end a continued line.
.IP \(bu
When a name is given twice the last one counts, with a warning.
.IP \(bu
.IR $name ,
.I ${name}
and
.I $(name)
stand for the value of another parameter, or of a name of your own that the file defines.
.I ${name?text}
is the text when the value is not empty,
.I ${name:text}
when it is;
.I ${name?{a}:{b}}
chooses;
.I ${{a} == {b}?{c}:{d}}
compares.
.B $$
is a dollar sign.
.IP \(bu
A name that is neither a parameter nor used by another value gets a warning, with the nearest name that exists.
.SS Tables
A parameter that takes tables has a list of
.IR type : name ,
looked up in that order.
.TP
.BI inline: "{ key = value, { key = text with spaces } }"
The table itself. A value with spaces or commas makes its own braces necessary, as in the second entry; such entries
may be all there are:
.BR "inline:{{ a.example = smtp:[x.example] }, { b.example = error:5.1.2 gone }}" .
Keys are compared without regard to case.
.TP
.BI texthash: path
A file with a key, white space and a value in each line. A key with spaces stands in double quotes. Comments and
continued lines are as in main.cf.
.TP
.BI cidr: path
A file with a network, white space and a value in each line. The first line that matches counts;
.B !
before a network turns its meaning round. Lines between
.BI if " network"
and
.B endif
count only when that matches.
.TP
.BI cidr: "{{ network value }, { network value }}"
The same rules here instead of in a file.
.TP
.BI pcre: path
A file with
.I /pattern/flags
and a result in each line; the first pattern that matches counts. Any character that is no letter, digit or space may stand
in place of the slash.
.BR ! ,
.B if
and
.B endif
are as for cidr. In a result,
.BR $1 ,
.B ${1}
and
.B $(1)
are what a group matched,
.B $$
is a dollar sign. Case does not count and "." matches a newline; each of the flags
.B i m s x A E U
turns its meaning round.
.TP
.BI pcre: "{{ /pattern/flags result }, ...}"
The same rules here.
.TP
.BI regexp: path
As pcre, with the flags
.B i
and
.B m
only.
.TP
.BI static: value
The same value for every key.
.TP
.BI fail: text
Every lookup fails, as when a database is away: mail that asks is deferred.
.PP
.I transport_maps
takes no pcre, regexp and fail tables;
.I header_checks
takes one table of the type
.B pcre:
or
.BR regexp: .
.SS "Values of smtp_tls_policy_maps"
The key is the next hop as routed
.RB ( example.com ,
.BR [relay.example]:587 );
where that is a domain, its parents are looked up in inline and texthash tables as
.BR .example.com .
The value is a security level, as for
.IR smtp_tls_security_level ,
and attributes
.IB name = value
separated by white space or commas; one whose value has spaces stands in braces. A value that is broken defers the mail of
its key.
.TP
.B match
At verify and secure, names joined by ":": hostname, nexthop, dot\-nexthop, a host name, or .domain for all below it. At
fingerprint, fingerprints joined by "|". May be given several times.
.TP
.B servername
The name sent as SNI, instead of
.IR smtp_tls_servername .
.TP
.B ciphers
The grade: medium, high, null.
.TP
.B protocols
As
.IR smtp_tls_mandatory_protocols ,
with ":" between several.
.TP
.B exclude
Ciphers that are not used; empty: no exclusions.
.TP
.B tafile
At verify and secure: an absolute path of a PEM file whose trust anchors replace all others. May be given several times.
.TP
.B connection_reuse
.BR no :
each message gets a connection of its own.
.TP
.B policy_type
.B sts
or
.BR no\-policy\-found :
what TLS reports (RFC 8460) say of this policy. With
.BR sts ,
only hosts that
.B mx_host_pattern
names are used. The attributes below need it.
.TP
.B policy_domain
The domain of the report.
.TP
.B policy_string
A line of the policy, for the report. May be given several times.
.TP
.B mx_host_pattern
A host name, or *.domain. May be given several times.
.TP
.B policy_ttl
A number; it has no effect.
.TP
.B policy_failure
Why the policy is not in force, for the report: sts\-policy\-fetch\-error, sts\-policy\-invalid, sts\-webpki\-invalid or
validation\-failure.
.TP
.B enable_rpk
yes or no; it has no effect.
.SS "Values of smtp_tls_per_site"
.BR NONE ,
.BR MAY ,
.B MUST_NOPEERMATCH
and
.BR MUST ,
in any case, looked up for the next hop and for the host; the stricter of the two counts. The table is not used when
.I smtp_tls_policy_maps
is set.
.SS "Values of smtp_requiretls_policy"
A list of tables and words, tried in order; the first that says a word for the next hop's domain decides, and none at all
means enforce. The words:
.BR enforce ,
.B opportunistic+starttls
(without REQUIRETLS at the receiver too, but over TLS),
.B opportunistic
(REQUIRETLS where it is offered), and
.B disable
(the demand is not passed on).
"""

FOOT = r""".SH FILES
.TP
.I /etc/penstock/main.cf
This file.
.TP
.I /etc/penstock/egress.conf
Ports, addresses, limits.
.SH SEE ALSO
.BR penstockd (8),
.BR penstock (1),
.BR egress.conf (5)
"""


def parameters(text):
    """Yields (group, kind, name, [arguments]) in the order of the table."""
    group = ""
    for line in re.finditer(r'^// (?P<group>[A-Z][A-Za-z ]+)$|^PEN_(?P<kind>[A-Z]+)\((?P<name>\w+),(?P<rest>.*?)\)$',
                            text, re.M | re.S):
        if line["group"]:
            group = line["group"]
            continue
        args = re.findall(r'"((?:[^"\\]|\\.)*)"|\'(.)\'|(-?\d+)', line["rest"])
        yield group, line["kind"], line["name"], [a or b or c for a, b, c in args]


def roff(text):
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + text if text[:1] in (".", "'") else text


def seconds(n):
    """The largest unit that divides n, as main.cf would have it."""
    for size, unit in ((86400, "d"), (3600, "h")):
        if n and n % size == 0:
            return f"{n // size}{unit}"
    return f"{n}s"


def amount(n):
    """Bytes, with a suffix where one fits."""
    for shift, unit in ((30, "g"), (20, "m"), (10, "k")):
        if n and n % (1 << shift) == 0:
            return f"{n >> shift}{unit}"
    return str(n)


def accepted(kind, args):
    """What the parameter takes, in one sentence; args without default and doc."""
    if kind == "STR":
        return ""
    if kind == "HOST":
        return "A host name."
    if kind == "BOOL":
        return "yes or no."
    if kind == "INT":
        return f"A number from {args[0]} to {args[1]}."
    if kind == "SIZE":
        return f"Bytes, from {amount(int(args[0]))} to {amount(int(args[1]))}; k, m or g may follow the number."
    if kind == "DURATION":
        return (f"A time from {seconds(int(args[1]))} to {seconds(int(args[2]))}; without one of s, m, h, d, w "
                f"the number means {UNITS[args[0]]}.")
    if kind == "ENUM":
        return "One of " + ", ".join(args[0].split("|")) + "."
    if kind == "NETS":
        return "A list of networks such as 10.0.0.0/8 or [2001:db8::]/32."
    if kind == "ENDPOINTS":
        return f"A list of address:port; without a port, {args[0]}."
    if kind == "SERVERS":
        return "A list of address@port; without a port, 53."
    if kind == "STUBS":
        return "A list of zone=address@port; without a port, 53."
    raise SystemExit(f"{TABLE}: PEN_{kind} is new: say in {__file__} what it accepts")


def entry(kind, name, args):
    default, doc, between = args[0], args[-1], args[1:-1]
    shown = SYSTEM_DEFAULTS.get(name, default or "empty")
    lines = [".TP", rf"\fB{roff(name)}\fP (default: {roff(shown)})", roff(doc.rstrip(".")) + "."]
    if name in NO_EFFECT:
        lines.append(f"Accepted, without an effect: {roff(NO_EFFECT[name])}.")
    said = accepted(kind, between)
    if said:
        lines.append(roff(said))
    return lines


def page():
    out, last = [], None
    for group, kind, name, args in parameters(TABLE.read_text()):
        if group != last:
            out.append(f'.SH {group.upper()}' if " " not in group else f'.SH "{group.upper()}"')
            last = group
        out += entry(kind, name, args)
    return HEAD + "\n".join(out) + "\n" + FOOT


def main():
    text = page()
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit(f"{PAGE.name} is not up to date: run docs/man/make-main-cf.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
