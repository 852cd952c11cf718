# SPDX-License-Identifier: BSD-3-Clause
"""DANE over signed zones (RFC 7672): what each kind of record, host and zone leads to, at levels dane and dane-only."""

import re

import policy_peers as pp
import pytest

PARENT, GOOD = "signed.test", "good.signed.test"
EXPIRED, BOGUS, INSECURE = "expired.signed.test", "bogus.signed.test", "insecure.signed.test"

SENT = ("sent", "2.")
NOT_SENT = ("deferred", "4.7.5")

# kind: what tls= , status and dsn must be at dane, then at dane-only.
EXPECT = {
    "311": (("dane", *SENT), ("dane-only", *SENT)),
    "301": (("dane", *SENT), ("dane-only", *SENT)),
    "310": (("dane", *SENT), ("dane-only", *SENT)),
    "300": (("dane", *SENT), ("dane-only", *SENT)),
    "312": (("dane", *SENT), ("dane-only", *SENT)),
    "302": (("dane", *SENT), ("dane-only", *SENT)),
    "201": (("dane", *SENT), ("dane-only", *SENT)),
    "211": (("dane", *SENT), ("dane-only", *SENT)),
    "200": (("dane", *SENT), ("dane-only", *SENT)),
    "212": (("dane", *SENT), ("dane-only", *SENT)),
    # An end entity's record vouches for the key, whatever the rest says; an anchor's does not.
    "311-other-name": (("dane", *SENT), ("dane-only", *SENT)),
    "311-expired": (("dane", *SENT), ("dane-only", *SENT)),
    "211-other-name": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "211-expired": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "211-domain-name": (("dane", *SENT), ("dane-only", *SENT)),
    "211-stranger": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "311-wrong": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "301-wrong": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "rollover": (("dane", *SENT), ("dane-only", *SENT)),
    "rollover-done": (("dane", *SENT), ("dane-only", *SENT)),
    # sha512 is the strongest and does not fit: the sha256 beside it does not help (digest agility).
    "agility": (("!dane", *NOT_SENT), ("!dane-only", *NOT_SENT)),
    "one-unusable": (("dane", *SENT), ("dane-only", *SENT)),
    "001": (("encrypt", *SENT), ("dane-only?", *NOT_SENT)),
    "111": (("encrypt", *SENT), ("dane-only?", *NOT_SENT)),
    "311-short": (("dane:encrypt", *SENT), ("!dane-only", *NOT_SENT)),
    "321": (("dane:encrypt", *SENT), ("!dane-only", *NOT_SENT)),
    "none": (("may", *SENT), ("dane-only?", *NOT_SENT)),
    "no-starttls": (("!dane:none", "deferred", "4.7.4"), ("!dane-only:none", "deferred", "4.7.4")),
    # The last host's word: 5xx bounces, 4xx does not.
    "refused": (("!dane:none", "bounced", "5.5.1"), ("!dane-only:none", "bounced", "5.5.1")),
    "busy": (("!dane:none", "deferred", "4.7.0"), ("!dane-only:none", "deferred", "4.7.0")),
    "closes": (("dane?", "deferred", "4.4.2"), ("dane-only?", "deferred", "4.4.2")),
    "alias": (("dane", *SENT), ("dane-only", *SENT)),
    "alias-own": (("dane", *SENT), ("dane-only", *SENT)),
    "tlsa-alias": (("dane", *SENT), ("dane-only", *SENT)),
    "tlsa-bogus": (("dane?", *NOT_SENT), ("dane-only?", *NOT_SENT)),
    "no-mx": (("dane", *SENT), ("dane-only", *SENT)),
    "next-host": (("dane", *SENT), ("dane-only", *SENT)),
    "host-insecure": (("may", *SENT), ("dane-only?", *NOT_SENT)),
    # Zones.
    "mx-insecure": (("halfdane", *SENT), ("dane-only?", *NOT_SENT)),
    "mx-insecure-wrong": (("!halfdane", *NOT_SENT), ("dane-only?", *NOT_SENT)),
    "mx-insecure-none": (("may", *SENT), ("dane-only?", *NOT_SENT)),
    "mx-bogus": ((None, "deferred", "4.4.3"), (None, "deferred", "4.4.3")),
    "mx-expired": ((None, "deferred", "4.4.3"), (None, "deferred", "4.4.3")),
}
ZONE_OF = {"mx-insecure": INSECURE, "mx-insecure-wrong": INSECURE, "mx-insecure-none": INSECURE, "mx-bogus": BOGUS,
           "mx-expired": EXPIRED}


def domain(kind, only):
    return f"{'only-' if only else ''}d-{kind}.{ZONE_OF.get(kind, GOOD)}"


class Plan:
    """The hosts, and the records of each zone."""

    def __init__(self, net):
        self.net, self.address, self.cert = net, {}, {}
        self.records = {z: [] for z in (GOOD, EXPIRED, BOGUS, INSECURE)}
        self.stranger = pp.Authority(net.folder / "certificates", "stranger")

    def add(self, kind, tlsa=(), names=None, life=pp.DAY, mx=None, **options):
        """A host with a certificate and TLSA records, and the two domains that use it."""
        host = f"mx-{kind}.{GOOD}"
        cert = self.cert[kind] = self.net.ca.issue(host, names, life)
        self.address[kind] = self.net.host(cert, **options)
        self.records[GOOD].append(f"mx-{kind} A {self.address[kind]}")
        self.records[GOOD] += [f"_25._tcp.mx-{kind} TLSA {t(cert) if callable(t) else t}" for t in tlsa]
        self.add_domains(kind, mx or [f"10 {host}."])

    def add_domains(self, kind, mx):
        for only in (False, True):
            zone = ZONE_OF.get(kind, GOOD)
            self.records[zone] += [f"{domain(kind, only)}. MX {m}" for m in mx]


def of(*numbers):
    return lambda cert: cert.tlsa(*numbers)


def spoil(record):
    """Another digest of the same length."""
    head, data = record.rsplit(" ", 1)
    return f"{head} {'00' * (len(data) // 2)}"


def plan_records(p):
    for kind in ("311", "301", "310", "300", "312", "302", "201", "211", "200", "212"):
        p.add(kind, [of(*map(int, kind))])
    p.add("001", [of(0, 0, 1)])
    p.add("111", [of(1, 1, 1)])
    p.add("311-short", ["3 1 1 " + "ab" * 31])
    p.add("321", ["3 2 1 " + "ab" * 32])
    p.add("311-other-name", [of(3, 1, 1)], names=["elsewhere.test"])
    p.add("311-expired", [of(3, 1, 1)], life=-pp.DAY)
    p.add("211-other-name", [of(2, 1, 1)], names=["elsewhere.test"])
    p.add("211-expired", [of(2, 1, 1)], life=-pp.DAY)
    p.add("211-domain-name", [of(2, 1, 1)], names=[domain("211-domain-name", False), domain("211-domain-name", True)])
    p.add("211-stranger", [lambda cert: pp.Certificate.tlsa(p.stranger.issue("x"), 2, 1, 1)])
    p.add("311-wrong", [lambda cert: spoil(cert.tlsa(3, 1, 1))])
    p.add("301-wrong", [lambda cert: spoil(cert.tlsa(3, 0, 1))])
    old = p.net.ca.issue("old.test")
    p.add("rollover", [lambda cert: old.tlsa(3, 1, 1), of(3, 1, 1)])
    p.add("rollover-done", [of(3, 1, 1), lambda cert: old.tlsa(3, 1, 1)])
    p.add("agility", [of(3, 1, 1), lambda cert: old.tlsa(3, 1, 2)])
    p.add("one-unusable", ["3 1 1 " + "ab" * 31, of(1, 1, 1), of(3, 1, 1)])


def plan_hosts(p):
    p.add("none")
    p.add("no-starttls", [of(3, 1, 1)], starttls="no")
    p.add("refused", [of(3, 1, 1)], starttls="refuse")
    p.add("busy", [of(3, 1, 1)], starttls="busy")
    p.add("closes", [of(3, 1, 1)], starttls="close")
    p.add("tlsa-bogus", [of(3, 1, 1)])
    p.add("next-host", [of(3, 1, 1)], mx=[f"5 mx-311-wrong.{GOOD}.", f"10 mx-next-host.{GOOD}."])
    p.add("tlsa-alias", mx=None)
    p.records[GOOD] += ["_25._tcp.mx-tlsa-alias CNAME shared", f"shared TLSA {p.cert['tlsa-alias'].tlsa(3, 1, 1)}"]
    # The MX host is an alias: its records are at the name it leads to, or else at its own.
    p.add("alias", [of(2, 1, 1)], mx=[f"10 alias-mx.{GOOD}."])
    p.add("alias-own", names=[f"alias-own-mx.{GOOD}"], mx=[f"10 alias-own-mx.{GOOD}."])
    p.records[GOOD] += ["alias-mx CNAME mx-alias", "alias-own-mx CNAME mx-alias-own",
                        f"_25._tcp.alias-own-mx TLSA {p.cert['alias-own'].tlsa(2, 1, 1)}"]
    cert = p.net.ca.issue("no-mx.test")
    address = p.net.host(cert)
    for only in (False, True):
        p.records[GOOD] += [f"{domain('no-mx', only)}. A {address}",
                            f"_25._tcp.{domain('no-mx', only)}. TLSA {cert.tlsa(3, 1, 1)}"]
    p.add("host-insecure", mx=[f"10 mx.{INSECURE}."])
    p.records[INSECURE] += [f"mx A {p.address['host-insecure']}",
                            f"_25._tcp.mx TLSA {p.cert['host-insecure'].tlsa(3, 1, 1)}"]


def plan_zones(p):
    p.add_domains("mx-insecure", [f"10 mx-311.{GOOD}."])
    p.add_domains("mx-insecure-wrong", [f"10 mx-311-wrong.{GOOD}."])
    p.add_domains("mx-insecure-none", [f"10 mx-none.{GOOD}."])
    p.add_domains("mx-bogus", [f"10 mx-311.{GOOD}."])
    p.add_domains("mx-expired", [f"10 mx-311.{GOOD}."])


def tamper_tlsa(text):
    return re.sub(r"TLSA .*", "TLSA 3 1 1 " + "cd" * 32, text) if text.startswith("_25._tcp.mx-tlsa-bogus.") else None


def tamper_mx(text):
    return text.replace("MX 10 ", "MX 11 ") if " MX 10 " in text else None


def zones(p):
    """All zones as text, and the parent's key."""
    text = {z: "\n".join(r) + "\n" for z, r in p.records.items()}
    good = pp.SignedZone(GOOD, text[GOOD])
    expired = pp.SignedZone(EXPIRED, text[EXPIRED], expired=True)
    bogus = pp.SignedZone(BOGUS, text[BOGUS])
    names = [z.split(".")[0] for z in (GOOD, EXPIRED, BOGUS, INSECURE)]
    parent = pp.SignedZone(PARENT, "".join(f"{n} NS ns.{n}\nns.{n} A 127.0.0.1\n" for n in names)
                           + f"good {good.ds()}\nexpired {expired.ds()}\nbogus {bogus.ds()}\n", names)
    return {PARENT: parent.signed(), GOOD: good.signed(tamper_tlsa), EXPIRED: expired.signed(),
            BOGUS: bogus.signed(tamper_mx), INSECURE: pp.unsigned_zone(INSECURE, text[INSECURE])}, parent.anchor()


@pytest.fixture
def planned(build, folder, closing):
    net = pp.Net(build, folder, closing)
    p = Plan(net)
    plan_records(p)
    plan_hosts(p)
    plan_zones(p)
    net.start_hosts()
    text, anchor = zones(p)
    p.zones = closing(pp.Zones(net.mine, folder / "knot", text))
    (folder / "anchor").write_text(anchor)
    (folder / "tls_policy").write_text("".join(f"{domain(kind, True)} dane-only\n" for kind in EXPECT))
    p.settings = {"dns_stub_zones": p.zones.stubs, "dns_trust_anchor_file": folder / "anchor",
                  "smtp_tls_security_level": "dane", "smtp_tls_policy_maps": f"texthash:{folder}/tls_policy"}
    return p


def outcome(result):
    return result.get("tls"), result["status"], result["dsn"]


def fits(result, expected):
    tls, status, dsn = expected
    return result.get("tls") == tls and result["status"] == status and result["dsn"].startswith(dsn)


def test_every_kind_of_record_host_and_zone_is_treated_as_the_rules_say(planned):
    gateway = planned.net.gateway(**planned.settings)
    users = {f"user@{domain(kind, only)}": (kind, only) for kind in EXPECT for only in (False, True)}
    planned.net.submit(gateway, list(users))
    results = pp.wait_results(gateway, list(users))
    wrong = []
    print(f"\n{'kind':<20}{'dane':<34}dane-only")
    for kind, expected in EXPECT.items():
        pair = [results[f"user@{domain(kind, only)}"] for only in (False, True)]
        print(f"{kind:<20}" + "".join(f"{' '.join(map(str, outcome(r))):<34}" for r in pair))
        wrong += [(r["line"], e) for r, e in zip(pair, expected) if not fits(r, e)]
    for kind in ("mx-bogus", "mx-expired", "tlsa-bogus", "211-other-name"):
        print(results[f"user@{domain(kind, False)}"]["line"])
    assert not wrong, "\n".join(f"{line}\n    instead of {e}" for line, e in wrong)
    check_sessions(planned, results)
    texts = {kind: results[f"user@{domain(kind, False)}"]["text"] for kind in EXPECT}
    assert f"TLSA lookup error for mx-tlsa-bogus.{GOOD}:25" in texts["tlsa-bogus"]
    assert "not verified" in texts["311-wrong"]
    assert "no TLSA records found" in results[f"user@{domain('none', True)}"]["text"]
    assert "TLSA records unusable" in results[f"user@{domain('001', True)}"]["text"]
    assert "non DNSSEC destination" in results[f"user@{domain('mx-insecure', True)}"]["text"]


def check_sessions(planned, results):
    """The hosts saw what the log says: no mail in clear where TLS was needed, and SNI is the base domain."""
    smtp = planned.net.smtp
    for user, r in results.items():
        mails = smtp.mails(user)
        assert len(mails) == (r["status"] == "sent"), user
        assert all(m["tls"] for m in mails), user
    bases = {"311": "mx-311", "201": "mx-201", "rollover": "mx-rollover", "alias": "mx-alias",
             "alias-own": "alias-own-mx"}
    for kind, base in bases.items():
        names = {s["tls"]["sni"] for s in smtp.to(planned.address[kind]) if s["tls"]}
        assert names == {f"{base}.{GOOD}"}, kind
    # Skipped before any connection.
    assert smtp.to(planned.address["tlsa-bogus"]) == []


def test_without_a_trust_anchor_nothing_is_secure(planned):
    settings = {**planned.settings, "dns_trust_anchor_file": ""}
    gateway = planned.net.gateway(**settings)
    user, only = f"user@{domain('311-wrong', False)}", f"user@{domain('311', True)}"
    planned.net.submit(gateway, [user, only])
    results = pp.wait_results(gateway, [user, only])
    assert outcome(results[user])[:2] == ("may", "sent")
    assert fits(results[only], ("dane-only?", *NOT_SENT))


@pytest.mark.parametrize("policy, kind, expected", [
    ("may", "mx-insecure-wrong", ("may", *SENT)), ("encrypt", "mx-insecure-wrong", ("encrypt", *SENT)),
    ("dane", "mx-insecure-wrong", ("!halfdane", *NOT_SENT))])
def test_an_unsigned_mx_record_leads_to_the_configured_level(planned, policy, kind, expected):
    gateway = planned.net.gateway(**planned.settings, smtp_tls_dane_insecure_mx_policy=policy)
    user = f"user@{domain(kind, False)}"
    planned.net.submit(gateway, [user])
    result = pp.wait_results(gateway, [user])[user]
    assert fits(result, expected), result["line"]
