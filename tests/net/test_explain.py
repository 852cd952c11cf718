# SPDX-License-Identifier: BSD-3-Clause
"""penstock explain and penstock tls probe: what the operator is told is what mail then meets."""

import policy_peers as pp
import pytest

ZONE = "exp.test"
WEB = "127.0.1.1"
POLICY = "version: STSv1\nmode: enforce\nmx: *.exp.test\nmax_age: 86400\n"


class Plan:
    """Five destinations, one for each thing that can decide."""

    def __init__(self, net, **settings):
        self.net, self.records, self.address, self.cert = net, [], {}, {}
        web_ca = pp.Authority(net.folder / "certificates", "web")
        self.add("plain")
        self.add("dane", [lambda c: c.tlsa(3, 1, 1)])
        self.add("sts")
        self.add("table")
        self.add("other-name", names=["elsewhere.test"])
        self.add("in-clear", starttls="no")
        self.records += ["nothing MX 0 .", '_mta-sts.sts TXT "v=STSv1; id=20261121;"', f"mta-sts.sts A {WEB}",
                         f'_smtp._tls.sts TXT "v=TLSRPTv1; rua=mailto:reports@{ZONE}"', "silent A 10.77.0.9"]
        net.start_hosts()
        web = net.closing(pp.Https(net.mine, net.folder / "web", {
            WEB: str(web_ca.issue("web", [f"mta-sts.sts.{ZONE}"]).path)}))
        web.serve(f"mta-sts.sts.{ZONE}", "ok", POLICY)
        zone = pp.SignedZone(ZONE, "\n".join(self.records) + "\n")
        zones = net.closing(pp.Zones(net.mine, net.folder / "knot", {ZONE: zone.signed()}))
        (net.folder / "anchor").write_text(zone.anchor())
        self.table = net.folder / "tls_policy"
        self.table.write_text(f"# a comment\nother.test none\ntable.{ZONE} verify match=nexthop ciphers=high\n"
                              f"in-clear.{ZONE} encrypt\nother-name.{ZONE} secure match=hostname\n")
        self.gateway = net.gateway(
            **settings, dns_stub_zones=zones.stubs, dns_trust_anchor_file=net.folder / "anchor", smtp_tls_security_level="dane",
            smtp_tls_CAfile=net.ca.file, mta_sts_CAfile=web_ca.file, requiretls_enable="yes",
            smtp_connect_timeout="3s", smtp_tls_policy_maps=f"texthash:{self.table}")

    def add(self, domain, tlsa=(), names=None, **options):
        cert = self.cert[domain] = self.net.ca.issue(f"mx-{domain}.{ZONE}", names)
        self.address[domain] = self.net.host(cert, **options)
        self.records += [f"{domain} MX 10 mx-{domain}", f"mx-{domain} A {self.address[domain]}"]
        self.records += [f"_25._tcp.mx-{domain} TLSA {t(cert)}" for t in tlsa]

    def explain(self, domain, *args):
        """The text and the JSON for a recipient there."""
        text = self.gateway.cli("explain", f"user@{domain}.{ZONE}", *args).stdout
        print(f"$ penstock explain user@{domain}.{ZONE} {' '.join(args)}\n{text}")
        return text, self.gateway.json("explain", f"user@{domain}.{ZONE}", *args)

    def probe(self, destination, *args):
        done = self.gateway.cli("tls", "probe", destination, *args, check=False)
        print(f"$ penstock tls probe {destination}\n{done.stdout}{done.stderr}")
        return done


@pytest.fixture
def plan(build, folder, closing):
    return Plan(pp.Net(build, folder, closing))


def only(hop):
    (entry,) = hop["tls"]
    return entry


def has(text, *parts):
    """The parts, in this order."""
    at = 0
    for part in parts:
        at = text.find(part, at)
        assert at >= 0, f"{part!r} is missing (or too early) in\n{text}"


def test_explain_shows_each_step_of_five_destinations(plan):
    check_plain(plan)
    check_dane(plan)
    check_sts(plan)
    check_table(plan)
    check_null_mx(plan)


def check_plain(plan):
    text, r = plan.explain("plain")
    has(text, f"route: smtp to plain.{ZONE}", "hosts: from MX records, DNSSEC secure", f"mx-plain.{ZONE} [",
        "MTA-STS: no policy", f"TLS with mx-plain.{ZONE}: may", "smtp_tls_security_level", "nxdomain",
        "no STARTTLS", "tls=may:none", "sources: 1", "s0", "10.77.0.2 as gateway.example", "limits:")
    hop, tls = r["hop"], only(r["hop"])
    assert r["route"] == {"transport": "smtp", "nexthop": f"plain.{ZONE}"}
    assert hop["lookup"]["status"] == "2.0.0" and hop["demand"] == "none"
    (host,) = hop["mx"]["hosts"]
    assert (host["host"], host["address"], host["port"], host["preference"], host["dnssec"]) == (
        f"mx-plain.{ZONE}", plan.address["plain"], 25, 10, "secure")
    assert tls["level"] == "may" and tls["if_starttls_not_offered"] == {"action": "deliver", "tls": "may:none"}
    assert tls["if_handshake_fails"]["action"] == "retry without TLS on a new connection"
    assert r["sources"]["first"][0]["address"] == "10.77.0.2"


def check_dane(plan):
    text, r = plan.explain("dane")
    has(text, f"TLS with mx-dane.{ZONE}: dane", "server name", f"mx-dane.{ZONE}", "TLSA",
        f"mx-dane.{ZONE}: ok, secure", "3 1 1 (32 bytes)", "no STARTTLS", "tls=!dane:none", "4.7.4",
        "wrong certificate", "tls=!dane", "4.7.5")
    tls = only(r["hop"])
    assert tls["level"] == "dane" and tls["servername"] == f"mx-dane.{ZONE}"
    assert tls["tlsa"] == [{"base": f"mx-dane.{ZONE}", "answer": "ok", "dnssec": "secure",
                            "records": ["3 1 1 (32 bytes)"]}]
    assert tls["if_certificate_differs"]["action"] == "try the next host"
    assert tls["if_certificate_differs"]["at_the_last_host"]["status"] == "4.7.5"


def check_sts(plan):
    text, r = plan.explain("sts")
    has(text, "MTA-STS: enforce", "id", "20261121", "mx", f"*.{ZONE}", "TLSRPT to", f"reports@{ZONE}",
        f"TLS with mx-sts.{ZONE}: secure", "match", f"mx-sts.{ZONE}", "tls=!secure:none")
    hop = r["hop"]
    assert hop["sts"] == {"asked": True, "mode": "enforce", "id": "20261121", "max_age": 86400, "mx": [f"*.{ZONE}"]}
    assert hop["tlsrpt"] == {"asked": True, "rua": [f"reports@{ZONE}"]}
    assert only(hop)["level"] == "secure" and only(hop)["match"] == [f"mx-sts.{ZONE}"]
    assert "MTA-STS" in only(hop)["rule"]


def check_table(plan):
    text, r = plan.explain("table", "--sender", "s@bulk.example")
    rule = f"smtp_tls_policy_maps texthash:{plan.table} line 3"
    has(text, f"TLS with mx-table.{ZONE}: verify", "rule", rule, "match", f"table.{ZONE}")
    tls = only(r["hop"])
    assert tls["level"] == "verify" and tls["match"] == [f"table.{ZONE}"] and rule in tls["rule"]
    assert r["sender"] == "s@bulk.example"


def check_null_mx(plan):
    text, r = plan.explain("nothing")
    has(text, f"route: smtp to nothing.{ZONE}", "lookup: bounced 5.1.10")
    assert r["hop"]["lookup"]["status"] == "5.1.10" and "tls" not in r["hop"]
    text, r = plan.explain("missing")
    has(text, "lookup: bounced 5.4.4")


def test_explain_with_requiretls_shows_what_the_demand_changes(plan):
    text, r = plan.explain("dane", "--requiretls")
    tls = only(r["hop"])
    assert r["hop"]["demand"] == "requiretls" and tls["requiretls"] == "enforce" and tls["level"] == "dane"
    missing = tls["if_requiretls_not_offered"]
    assert missing["tls"] == "dane/!requiretls" or missing["tls"].startswith("dane/!requiretls:")
    assert missing["at_the_last_host"]["status"] == "5.7.30"
    has(text, "requiretls", "enforce", "no REQUIRETLS", "5.7.30")
    # Nothing vouches for the name of this host: it is not even connected to.
    text, r = plan.explain("plain", "--requiretls")
    connect = only(r["hop"])["connect"]
    assert connect["at_the_last_host"]["status"] == "5.7.10"
    assert connect["tls"] == "may?/!requiretls:nocertmatch", connect
    has(text, "not connected", "5.7.10")
    assert only(plan.explain("sts", "--tls-optional")[1]["hop"])["level"] == "may"


def test_mail_meets_what_explain_said(plan):
    users = [f"user@{d}.{ZONE}" for d in ("plain", "dane", "sts", "table", "in-clear", "other-name", "nothing")]
    told = {u: plan.gateway.json("explain", u) for u in users}
    plan.net.submit(plan.gateway, users)
    results = pp.wait_results(plan.gateway, users)
    for user in users[:3]:
        assert results[user]["tls"] == only(told[user]["hop"])["level"], results[user]["line"]
    table, clear, name, nothing = (told[u]["hop"] for u in users[3:])
    for user, said in ((users[3], only(table)["if_certificate_differs"]),
                       (users[4], only(clear)["if_starttls_not_offered"]),
                       (users[5], only(name)["if_certificate_differs"])):
        end = said["at_the_last_host"]
        assert (results[user]["tls"], results[user]["dsn"], results[user]["status"]) == (
            said["tls"], end["status"], end["result"]), results[user]["line"]
    assert (results[users[6]]["dsn"], results[users[6]]["status"]) == (
        nothing["lookup"]["status"], nothing["lookup"]["result"])
    failed = sum(r["status"] != "sent" for r in results.values())
    assert sum(plan.gateway.json("status")["reply_classes"].values()) >= failed > 0


def test_the_probe_shows_the_chain_the_match_and_the_resumption(plan):
    done = plan.probe(f"dane.{ZONE}")
    assert done.returncode == 0
    cert = plan.cert["dane"]
    r = plan.gateway.json("tls", "probe", f"dane.{ZONE}")
    session, leaf = r["session"], r["session"]["chain"][0]
    has(done.stdout, f"mx-dane.{ZONE}", plan.address["dane"], "dane", "Verified", "TLSv1.3", "TLS_", "resumption",
        "yes", "certificate 0", f"CN=mx-dane.{ZONE}", "issuer", "CN=test authority ca", cert.sha256(),
        "certificate 1", "CN=test authority ca")
    assert session["match"] == "Verified" and session["protocol"] == "TLSv1.3" and session["tls"] == "dane"
    assert session["usable"] and session["encrypted"] and session["bits"] >= 128
    assert leaf["sha256"] == cert.sha256() and leaf["names"] == [f"mx-dane.{ZONE}"]
    assert cert.tlsa(3, 1, 1).endswith(leaf["key_sha256"])
    assert len(session["chain"]) == 2 and r["second"]["resumed"]
    seen = [s["tls"] for s in plan.net.smtp.to(plan.address["dane"]) if s["tls"]]
    assert seen[0]["cipher"] == session["cipher"]
    assert any(s["resumed"] for s in seen) and all(s["sni"] == f"mx-dane.{ZONE}" for s in seen)


def test_the_probe_says_why_a_host_is_not_good_enough(plan):
    session = plan.gateway.json("tls", "probe", f"other-name.{ZONE}")["session"]
    assert not session["usable"] and session["status"] == "4.7.5" and session["tls"] == "!secure"
    assert session["match"] == "Trusted" and session["chain"][0]["names"] == ["elsewhere.test"]
    session = plan.gateway.json("tls", "probe", f"in-clear.{ZONE}")["session"]
    assert not session["encrypted"] and session["status"] == "4.7.4" and session["tls"] == "!encrypt:none"
    session = plan.gateway.json("tls", "probe", f"[{plan.address['plain']}]:25")["session"]
    assert session["encrypted"] and session["match"] == "Trusted" and session["tls"] == "may"
    # A probe is no mail: nothing was sent.
    assert [m for s in plan.net.smtp.sessions() for m in s["mails"]] == []


def test_a_probe_that_reaches_nobody_says_so(plan):
    done = plan.probe(f"silent.{ZONE}")
    has(done.stdout + done.stderr, "4.4.1", "connect to silent")
    for destination, text in ((f"nothing.{ZONE}", "does not accept mail"), (f"missing.{ZONE}", "not found")):
        done = plan.probe(destination)
        assert done.returncode != 0 and text in done.stderr, done
    done = plan.probe(f"[{plan.address['dane']}]:2525")
    has(done.stdout + done.stderr, "4.4.1", "onnection refused")


def test_a_relayhost_that_does_not_exist_defers_because_it_is_our_mistake(build, folder, closing):
    plan = Plan(pp.Net(build, folder, closing), relayhost=f"missing.{ZONE}")
    text, r = plan.explain("plain")
    has(text, f"route: smtp to missing.{ZONE}", "lookup: deferred 4.3.5")
