# SPDX-License-Identifier: BSD-3-Clause
"""TLSRPT (RFC 8460): what is counted, the report against the RFC's JSON, and its way by mail and HTTPS."""

import base64
import datetime
import email
import email.policy
import gzip
import json
import re
import time

import jsonschema
import peers
import policy_peers as pp
import pytest

ZONE = "rpt.test"
WEB, BAD_WEB = "127.0.1.1", "127.0.1.2"

TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}


def exactly(required, optional=()):
    """An object with these members and no others."""
    return {"type": "object", "required": list(required), "additionalProperties": False,
            "properties": {**required, **dict(optional)}}


# RFC 8460, section 4.
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
ADDRESS = {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
RESULTS = ["starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
           "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
           "sts-policy-invalid", "sts-webpki-invalid"]
POLICY = exactly({"policy-type": {"enum": ["tlsa", "sts", "no-policy-found"]}, "policy-domain": TEXT},
                 {"policy-string": {"type": "array", "items": TEXT, "minItems": 1},
                  "mx-host": {"type": "array", "items": TEXT, "minItems": 1}})
FAILURE = exactly({"result-type": {"enum": RESULTS}, "failed-session-count": {**COUNT, "minimum": 1}},
                  {"sending-mta-ip": ADDRESS, "receiving-ip": ADDRESS, "receiving-mx-hostname": TEXT,
                   "receiving-mx-helo": TEXT, "additional-information": {"type": "string", "format": "uri"},
                   "failure-reason-code": TEXT})
SCHEMA = exactly({
    "organization-name": TEXT,
    "date-range": exactly({"start-datetime": TIME, "end-datetime": TIME}),
    "contact-info": TEXT,
    "report-id": TEXT,
    "policies": {"type": "array", "minItems": 1, "items": exactly(
        {"policy": POLICY,
         "summary": exactly({"total-successful-session-count": COUNT, "total-failure-session-count": COUNT})},
        {"failure-details": {"type": "array", "minItems": 1, "items": FAILURE}})},
})

MAIL, POST = f"mailto:reports@collect.{ZONE}", f"https://report.{ZONE}/tlsrpt?from=us"


def user(domain):
    return f"user@{domain}.{ZONE}"


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")


# MTA-STS domains whose certificate or policy is at fault: names, life and issuer of the host's certificate.
STS_HOSTS = {
    "sts-outside": (None, pp.DAY, "ca"),
    "sts-missing": (None, pp.DAY, "ca"),
    "sts-bad-web": (None, pp.DAY, "ca"),
    "sts-expired": (None, -pp.DAY, "ca"),
    "sts-stranger": (None, pp.DAY, "stranger"),
    "sts-wrong-stranger": (["elsewhere.test"], pp.DAY, "stranger"),
    "testing-wrong": (["elsewhere.test"], pp.DAY, "ca"),
    "testing-expired": (None, -pp.DAY, "ca"),
}
# Domain: status of its mail, policy type, result type.
FAILURES = {
    "sts-outside": ("deferred", "sts", "validation-failure"),
    "sts-missing": ("sent", "sts", "sts-policy-fetch-error"),
    "sts-bad-web": ("sent", "sts", "sts-webpki-invalid"),
    "sts-expired": ("deferred", "sts", "certificate-expired"),
    "sts-stranger": ("deferred", "sts", "validation-failure"),
    "sts-wrong-stranger": ("deferred", "sts", "certificate-not-trusted"),
    "tlsa-unusable": ("sent", "tlsa", "tlsa-invalid"),
    "tlsa-bogus": ("deferred", "tlsa", "dnssec-invalid"),
    "no-tlsa": ("deferred", "tlsa", "dane-required"),
}


def tamper(text):
    return re.sub(r"TLSA .*", "TLSA 3 1 1 " + "cd" * 32, text) if text.startswith("_25._tcp.mx-tlsa-bogus.") else None


class Plan:
    """Domains with a host each; all in one signed zone, whose key is the trust anchor."""

    def __init__(self, net):
        self.net, self.records, self.address, self.cert = net, [f"report A {WEB}"], {}, {}
        web_ca = pp.Authority(net.folder / "certificates", "web")
        stranger = pp.Authority(net.folder / "certificates", "stranger")
        self.add("plain-tls", MAIL)
        self.add("dane", f"{MAIL},{POST}", [lambda c: c.tlsa(3, 1, 1)])
        self.add("dane-wrong", POST, ["3 1 1 " + "00" * 32])
        self.add("sts", MAIL)
        self.add("sts-wrong", POST, names=["elsewhere.test"])
        self.add("sts-broken", POST)
        self.add("busy", MAIL, starttls="busy")
        self.add("no-offer", MAIL, starttls="no")
        self.add("not-asked", None)
        self.add("unreachable-rua", f"https://no-report.{ZONE}/")
        for domain, (names, life, ca) in STS_HOSTS.items():
            self.add(domain, POST, names=names, life=life, ca=stranger if ca == "stranger" else None)
        self.add("tlsa-unusable", POST, [lambda c: c.tlsa(1, 1, 1)])
        self.add("tlsa-bogus", POST, [lambda c: c.tlsa(3, 1, 1)])
        self.add("no-tlsa", POST)
        # Its TLSA records forbid its host: reports get there all the same.
        self.add("collect", MAIL, ["3 1 1 " + "11" * 32])
        net.start_hosts()
        sts = ("sts", "sts-wrong", "sts-broken", *STS_HOSTS)
        names = [f"mta-sts.{d}.{ZONE}" for d in sts]
        self.web = net.closing(pp.Https(net.mine, net.folder / "web", {
            WEB: str(web_ca.issue("web", [f"report.{ZONE}", f"no-report.{ZONE}", *names]).path),
            BAD_WEB: str(stranger.issue("bad-web", names).path)}))
        for d in sts:
            self.records += [f'_mta-sts.{d} TXT "v=STSv1; id=1;"',
                             f"mta-sts.{d} A {BAD_WEB if d == 'sts-bad-web' else WEB}"]
            host = "elsewhere.test" if d == "sts-outside" else f"mx-{d}.{ZONE}"
            mode = "testing" if d.startswith("testing") else "enforce"
            self.web.serve(f"mta-sts.{d}.{ZONE}", {"sts-broken": "garbage", "sts-missing": "missing"}.get(d, "ok"),
                           f"version: STSv1\nmode: {mode}\nmx: {host}\nmax_age: 86400\n")
        self.web.serve(f"report.{ZONE}", "ok")
        self.records.append(f"no-report A {WEB}")
        zone = pp.SignedZone(ZONE, "\n".join(self.records) + "\n")
        self.zones = net.closing(pp.Zones(net.mine, net.folder / "knot", {ZONE: zone.signed(tamper)}))
        (net.folder / "anchor").write_text(zone.anchor())
        (net.folder / "tls_policy").write_text(f"no-tlsa.{ZONE} dane-only\n")
        self.settings = {
            "smtp_tls_policy_maps": f"texthash:{net.folder}/tls_policy",
            "dns_stub_zones": self.zones.stubs, "dns_trust_anchor_file": net.folder / "anchor",
            "smtp_tls_security_level": "dane", "smtp_tls_CAfile": net.ca.file, "mta_sts_CAfile": web_ca.file,
            "tlsrpt_CAfile": web_ca.file, "tlsrpt_organization": "Bulk & Co", "tlsrpt_sender": "tls@bulk.example",
            "tlsrpt_contact": "postmaster@bulk.example"}

    def add(self, domain, rua, tlsa=(), names=None, life=pp.DAY, ca=None, **options):
        cert = self.cert[domain] = (ca or self.net.ca).issue(f"mx-{domain}.{ZONE}", names, life)
        self.address[domain] = self.net.host(cert, **options)
        self.records += [f"{domain} MX 10 mx-{domain}", f"mx-{domain} A {self.address[domain]}"]
        self.records += [f"_25._tcp.mx-{domain} TLSA {t(cert) if callable(t) else t}" for t in tlsa]
        if rua:
            self.records.append(f'_smtp._tls.{domain} TXT "v=TLSRPTv1; rua={rua}"')

    def deliver(self, gateway, domains, times=3):
        recipients = [f"u{n}@{d}.{ZONE}" for n in range(times) for d in domains]
        self.net.submit(gateway, recipients)
        return pp.wait_results(gateway, recipients)

    def counts(self, gateway, state="counting"):
        return {r["domain"].removesuffix(f".{ZONE}"): (r["success"], r["failure"])
                for r in gateway.json("tlsrpt", "list")["reports"] if r["state"] == state}


@pytest.fixture
def plan(build, folder, closing):
    return Plan(pp.Net(build, folder, closing))


def check_report(report, day):
    """Against the RFC by a reader that knows nothing of the writer; the sums have to be right too."""
    jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(report)
    assert report["date-range"] == {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
    for p in report["policies"]:
        failures = sum(f["failed-session-count"] for f in p.get("failure-details", []))
        assert p["summary"]["total-failure-session-count"] == failures
    policies = [json.dumps(p["policy"], sort_keys=True) for p in report["policies"]]
    assert len(set(policies)) == len(policies)


def show(gateway, domain, day=None):
    report = gateway.json("tlsrpt", "show", f"{domain}.{ZONE}", *(["--day", day] if day else []))
    check_report(report, today())
    assert report["organization-name"] == "Bulk & Co"
    assert report["contact-info"] == "postmaster@bulk.example"
    return report


def only(report):
    (entry,) = report["policies"]
    return entry


ALL = ["plain-tls", "dane", "dane-wrong", "sts", "sts-wrong", "sts-broken", "busy", "no-offer", "not-asked"]


def test_every_session_is_counted_once_and_the_reports_are_what_the_rfc_wants(plan):
    gateway = plan.net.gateway(**plan.settings)
    plan.deliver(gateway, ALL)
    counted = set(ALL) - {"no-offer", "not-asked"}
    # Sessions that were opened for mail which another one took may still be coming up.
    peers.wait_until(lambda: all(sum(plan.counts(gateway).get(d, ())) == plan.net.smtp.session_count(plan.address[d])
                                 for d in counted), 10, "all sessions to be counted")
    counts = plan.counts(gateway)
    print(gateway.cli("tlsrpt", "list").stdout, gateway.cli("tlsrpt", "show", f"dane-wrong.{ZONE}").stdout, sep="\n")
    assert set(counts) == counted
    check_good(plan, gateway, counts)
    check_bad(plan, gateway, counts)


def check_good(plan, gateway, counts):
    smtp = plan.net.smtp
    for d in ("plain-tls", "dane", "sts"):
        sessions = smtp.session_count(plan.address[d])
        assert counts[d] == (sessions, 0) and sessions > 0, d
        entry = only(show(gateway, d))
        assert entry["summary"] == {"total-successful-session-count": sessions, "total-failure-session-count": 0}
        assert "failure-details" not in entry
    assert only(show(gateway, "plain-tls"))["policy"] == {"policy-type": "no-policy-found",
                                                          "policy-domain": f"plain-tls.{ZONE}"}
    tlsa = only(show(gateway, "dane"))["policy"]
    assert tlsa["policy-type"] == "tlsa" and tlsa["policy-domain"] == f"mx-dane.{ZONE}"
    assert [s.lower() for s in tlsa["policy-string"]] == [plan.cert["dane"].tlsa(3, 1, 1)]
    sts = only(show(gateway, "sts"))["policy"]
    assert sts == {"policy-type": "sts", "policy-domain": f"sts.{ZONE}", "mx-host": [f"mx-sts.{ZONE}"],
                   "policy-string": ["version: STSv1", "mode: enforce", f"mx: mx-sts.{ZONE}", "max_age: 86400"]}


def check_bad(plan, gateway, counts):
    expected = {"dane-wrong": ("tlsa", "validation-failure"), "sts-wrong": ("sts", "certificate-host-mismatch"),
                "busy": ("no-policy-found", "starttls-not-supported"),
                "sts-broken": ("sts", "sts-policy-invalid")}
    for d, (kind, result) in expected.items():
        entry = only(show(gateway, d))
        (failure,) = entry["failure-details"]
        print(d, json.dumps(entry))
        assert entry["policy"]["policy-type"] == kind, d
        assert failure["result-type"] == result, d
        assert failure["sending-mta-ip"] == "10.77.0.2" and failure["receiving-ip"] == plan.address[d]
        assert failure["receiving-mx-hostname"] == f"mx-{d}.{ZONE}"
        assert counts[d] == (0, failure["failed-session-count"])
        assert counts[d][1] == plan.net.smtp.session_count(plan.address[d]), d


def test_each_kind_of_failure_is_told_by_its_name(plan):
    gateway = plan.net.gateway(**plan.settings)
    results = plan.deliver(gateway, FAILURES, times=1)
    print()
    for d in FAILURES:
        entry = only(show(gateway, d))
        failures = [(f["result-type"], f.get("failure-reason-code")) for f in entry.get("failure-details", [])]
        print(f"{d:<22}{results[f'u0@{d}.{ZONE}']['status']:<10}{entry['policy']['policy-type']:<17}{failures}")
    for d, (status, kind, result) in FAILURES.items():
        entry = only(show(gateway, d))
        assert results[f"u0@{d}.{ZONE}"]["status"] == status, d
        assert entry["policy"]["policy-type"] == kind, d
        assert [f["result-type"] for f in entry["failure-details"]] == [result], d
    assert plan.net.smtp.session_count(plan.address["sts-outside"]) == 0


def test_testing_mode_delivers_and_reports_what_enforce_would_have_refused(plan):
    gateway = plan.net.gateway(**plan.settings)
    expected = {"testing-wrong": "certificate-host-mismatch", "testing-expired": "certificate-expired"}
    results = plan.deliver(gateway, expected, times=1)
    assert {(r["tls"], r["status"]) for r in results.values()} == {("may", "sent")}
    for d, result in expected.items():
        entry = only(show(gateway, d))
        assert entry["policy"]["policy-type"] == "sts"
        assert [f["result-type"] for f in entry.get("failure-details", [])] == [result], d


def read_mail(mail):
    """The report in a mail, and the mail."""
    message = email.message_from_bytes(base64.b64decode(mail["data"]), policy=email.policy.default)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    text, body = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert body.get_content_type() == "application/tlsrpt+gzip"
    return json.loads(gzip.decompress(body.get_payload(decode=True))), message, body.get_filename()


def check_mail(plan, gateway, domain, mail):
    report, message, name = read_mail(mail)
    check_report(report, today())
    assert report == show(gateway, domain)
    full = f"{domain}.{ZONE}"
    assert message["TLS-Report-Domain"] == full and message["TLS-Report-Submitter"] == "bulk.example"
    assert message["TLS-Required"].lower() == "no"
    assert message["To"] == f"<reports@collect.{ZONE}>" or message["To"] == f"reports@collect.{ZONE}"
    subject = " ".join(message["Subject"].split())
    assert subject == f"Report Domain: {full} Submitter: bulk.example Report-ID: <{report['report-id']}>"
    begin = int(datetime.datetime.fromisoformat(report["date-range"]["start-datetime"]).timestamp())
    submitter, of, start, end = name.removesuffix(".json.gz").split("!")[:4]
    assert (submitter, of, int(start), int(end)) == ("bulk.example", full, begin, begin + 86399)


def test_reports_go_out_by_mail_and_https_and_are_not_reported_on(plan):
    gateway = plan.net.gateway(**plan.settings)
    plan.deliver(gateway, ["plain-tls", "dane", "dane-wrong", "unreachable-rua"], times=2)
    sent = {r["domain"]: r for r in gateway.json("tlsrpt", "send", "--day", "today")["reports"]}
    assert {d.split(".")[0] for d, r in sent.items() if r["sent"]} == {"plain-tls", "dane", "dane-wrong"}
    failed = sent[f"unreachable-rua.{ZONE}"]
    assert not failed["sent"] and "503" in failed["why"]
    rcpt = f"reports@collect.{ZONE}"
    pp.wait_results(gateway, [rcpt], count=2)
    mails = {read_mail(m)[1]["TLS-Report-Domain"].split(".")[0]: m for m in plan.net.smtp.mails(rcpt)}
    assert set(mails) == {"plain-tls", "dane"}
    for domain, mail in mails.items():
        check_mail(plan, gateway, domain, mail)
    posts = [p for p in plan.web.requests() if p["method"] == "POST" and p["host"] == f"report.{ZONE}"]
    assert {(p["path"], p["type"]) for p in posts} == {("/tlsrpt?from=us", "application/tlsrpt+gzip")}
    reports = [json.loads(gzip.decompress(base64.b64decode(p["body"]))) for p in posts]
    wanted = [show(gateway, d) for d in ("dane", "dane-wrong")]
    assert sorted(reports, key=json.dumps) == sorted(wanted, key=json.dumps)
    # The mail with the reports made no counts, other mail to that domain does.
    assert "collect" not in plan.counts(gateway)
    assert set(plan.counts(gateway, "sent")) == {"plain-tls", "dane", "dane-wrong"}
    assert set(plan.counts(gateway, "waiting")) == {"unreachable-rua"}
    result = plan.deliver(gateway, ["collect"], times=1)[f"u0@collect.{ZONE}"]
    assert (result["tls"], result["status"]) == ("!dane", "deferred"), result["line"]
    assert plan.counts(gateway)["collect"] == (0, 1)


def test_counts_survive_a_killed_daemon(plan):
    gateway = plan.net.gateway(**plan.settings)
    plan.deliver(gateway, ["plain-tls", "dane-wrong"])
    before = plan.counts(gateway)
    reports = [show(gateway, d) for d in before]
    assert set(before) == {"plain-tls", "dane-wrong"}
    time.sleep(6)  # counts are written every 5 s
    gateway.kill()
    gateway.start()
    assert plan.counts(gateway) == before
    assert [show(gateway, d, today()) for d in before] == reports
    plan.deliver(gateway, ["dane"])
    assert set(plan.counts(gateway)) == {"plain-tls", "dane-wrong", "dane"}


def test_what_is_not_there_is_an_error_with_a_sentence(plan):
    gateway = plan.net.gateway(**plan.settings)
    for args in (["show", f"dane.{ZONE}"], ["show", f"dane.{ZONE}", "--day", "yesterday"], ["send"],
                 ["send", "--day", "2026-02-31"], ["show", "../../etc/passwd", "--day", "2026-01-01"]):
        done = gateway.cli("tlsrpt", *args, check=False)
        assert done.returncode != 0 and done.stderr.strip(), args
    assert "no domain that asks for reports" in gateway.cli("tlsrpt", "list").stdout
