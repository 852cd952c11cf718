# SPDX-License-Identifier: BSD-3-Clause
"""The signed zones that other tests use are what their names say.

libunbound, the library that the gateway uses, is asked about each of them from
inside the namespace.
"""

import json
import subprocess
import sys

import peers
import pytest

ZONE = """\
$ORIGIN {zone}.
$TTL 300
@    SOA ns hostmaster 1 3600 600 86400 300
@    NS  ns.test.
@    MX  10 mx1
@    TXT "v=" "test"
mx1  A   192.0.2.1
mx1  AAAA 2001:db8::1
alias CNAME mx1
"""

# Prints {"name type": [status, records]}; arguments: anchor file, server, zone,
# then name and type of each question.
ASK = """
import ctypes, json, sys

class Result(ctypes.Structure):
    _fields_ = [("qname", ctypes.c_char_p), ("qtype", ctypes.c_int), ("qclass", ctypes.c_int),
                ("data", ctypes.POINTER(ctypes.c_void_p)), ("len", ctypes.POINTER(ctypes.c_int)),
                ("canonname", ctypes.c_char_p), ("rcode", ctypes.c_int), ("answer_packet", ctypes.c_void_p),
                ("answer_len", ctypes.c_int), ("havedata", ctypes.c_int), ("nxdomain", ctypes.c_int),
                ("secure", ctypes.c_int), ("bogus", ctypes.c_int), ("why_bogus", ctypes.c_char_p),
                ("was_ratelimited", ctypes.c_int), ("ttl", ctypes.c_int)]

types = {"A": 1, "MX": 15, "TXT": 16, "AAAA": 28, "TLSA": 52}
ub = ctypes.CDLL("libunbound.so.8")
ub.ub_ctx_create.restype = ctypes.c_void_p
ctx = ctypes.c_void_p(ub.ub_ctx_create())
anchor, server, zone, *questions = sys.argv[1:]
assert ub.ub_ctx_set_option(ctx, b"do-not-query-localhost:", b"no") == 0
assert ub.ub_ctx_set_stub(ctx, zone.encode(), server.encode(), 0) == 0
assert ub.ub_ctx_add_ta_file(ctx, anchor.encode()) == 0
assert ub.ub_ctx_zone_add(ctx, zone.encode(), b"transparent") == 0
told = {}
for name, kind in zip(questions[::2], questions[1::2]):
    result = ctypes.POINTER(Result)()
    assert ub.ub_resolve(ctx, name.encode(), types[kind], 1, ctypes.byref(result)) == 0
    r = result.contents
    status = "bogus" if r.bogus else "failed" if r.rcode not in (0, 3) else "secure" if r.secure else "insecure"
    data, i = [], 0
    while r.havedata and r.data[i]:
        data.append(ctypes.string_at(r.data[i], r.len[i]).hex())
        i += 1
    told[name + " " + kind] = [status, sorted(data)]
print(json.dumps(told))
"""


@pytest.fixture
def ns(closing):
    return closing(peers.Namespace("penstock-dns"))


def ask(ns, zones, *questions):
    server = zones.stub.split("=")[1]
    done = subprocess.run(ns.command(sys.executable, "-c", ASK, zones.anchor_file, server, "test", *questions),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_zone_has_the_security_that_it_was_made_with(ns, folder, closing):
    states = {"good.test": "secure", "old.test": "expired", "forged.test": "bogus", "open.test": "insecure"}
    zones = closing(peers.SignedZones(ns, folder / "zones", peers.free_port(), {
        name: (ZONE.format(zone=name), state) for name, state in states.items()}))
    told = ask(ns, zones, *[word for name in states for word in (name, "MX", f"mx1.{name}", "A", f"no.{name}", "A")],
               "alias.good.test", "AAAA", "good.test", "TXT", "_25._tcp.mx1.good.test", "TLSA")
    assert told["mx1.good.test A"] == ["secure", ["c0000201"]]
    assert told["good.test MX"][0] == "secure"
    assert told["no.good.test A"] == ["secure", []]
    assert told["alias.good.test AAAA"] == ["secure", ["20010db8000000000000000000000001"]]
    assert told["good.test TXT"] == ["secure", [(b"\2v=\4test").hex()]]
    assert told["_25._tcp.mx1.good.test TLSA"] == ["secure", []]
    for name in ("old.test", "forged.test"):
        assert told[f"mx1.{name} A"][0] == "bogus", told
        assert told[f"{name} MX"][0] == "bogus", told
    assert told["mx1.open.test A"] == ["insecure", ["c0000201"]]
    assert told["no.open.test A"] == ["insecure", []]


def test_tlsa_records_of_each_kind_are_served_signed(ns, folder, closing):
    cert, _ = peers.self_signed(folder, "mx1.tlsa.test")
    kinds = [(u, s, m) for u in (0, 1, 2, 3) for s in (0, 1) for m in (0, 1, 2)]
    text = ZONE.format(zone="tlsa.test") + "".join(
        f"_25._tcp.k{u}{s}{m} TLSA {peers.tlsa(cert, u, s, m)}\n" for u, s, m in kinds)
    # A rollover: the next key beside the present one.
    text += f"_25._tcp.mx1 TLSA {peers.tlsa(cert, 3, 1, 1)}\n_25._tcp.mx1 TLSA 3 1 1 {'00' * 32}\n"
    zones = closing(peers.SignedZones(ns, folder / "zones", peers.free_port(), {"tlsa.test": text}))
    names = [f"_25._tcp.k{u}{s}{m}.tlsa.test" for u, s, m in kinds]
    told = ask(ns, zones, *[word for name in [*names, "_25._tcp.mx1.tlsa.test"] for word in (name, "TLSA")])
    for name, (u, s, m) in zip(names, kinds):
        want = bytes([u, s, m]).hex() + peers.tlsa(cert, u, s, m).split()[3]
        assert told[f"{name} TLSA"] == ["secure", [want]]
    status, records = told["_25._tcp.mx1.tlsa.test TLSA"]
    assert status == "secure" and len(records) == 2
