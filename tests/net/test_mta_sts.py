# SPDX-License-Identifier: BSD-3-Clause
"""MTA-STS (RFC 8461): policies from an HTTPS host of the test's own, and what they mean for mail."""

import policy_peers as pp
import pytest

ZONE = "sts.test"
SENT = ("sent", "2.")
NOT_SENT = ("deferred", "4.7.5")

# domain -> MX hosts (below), policy mode, its mx patterns, what the policy host does; tls=, status, dsn.
CASES = {
    "right": (["mx-right"], "enforce", ["mx-right.sts.test"], "ok", ("secure", *SENT)),
    "wildcard": (["mx-right"], "enforce", ["nothing.test", "*.sts.test"], "ok", ("secure", *SENT)),
    "wildcard-certificate": (["a.wild"], "enforce", ["*.wild.sts.test"], "ok", ("secure", *SENT)),
    "wrong-name": (["mx-wrong"], "enforce", ["*.sts.test"], "ok", ("!secure", *NOT_SENT)),
    "common-name": (["mx-cn"], "enforce", ["*.sts.test"], "ok", ("!secure", *NOT_SENT)),
    "untrusted": (["mx-untrusted"], "enforce", ["*.sts.test"], "ok", ("!secure", *NOT_SENT)),
    "expired": (["mx-expired"], "enforce", ["*.sts.test"], "ok", ("!secure", *NOT_SENT)),
    "plain": (["mx-plain"], "enforce", ["*.sts.test"], "ok", ("!secure:none", "deferred", "4.7.4")),
    "outside": (["mx-outside"], "enforce", ["*.elsewhere.test"], "ok", ("secure?", *NOT_SENT)),
    "two-labels": (["a.b-deep"], "enforce", ["*.sts.test"], "ok", ("secure?", *NOT_SENT)),
    "partly": (["mx-outside", "mx-right"], "enforce", ["mx-right.sts.test"], "ok", ("secure", *SENT)),
    "next-host": (["mx-wrong", "mx-right"], "enforce", ["*.sts.test"], "ok", ("secure", *SENT)),
    "testing": (["mx-wrong"], "testing", ["*.elsewhere.test"], "ok", ("may", *SENT)),
    "testing-plain": (["mx-plain"], "testing", ["*.sts.test"], "ok", ("may:none", *SENT)),
    "none": (["mx-wrong"], "none", [], "ok", ("may", *SENT)),
    "no-record": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "ok", ("may", *SENT)),
    "two-records": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "ok", ("may", *SENT)),
    # A policy that cannot be had: as if there were none.
    "missing": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "missing", ("may", *SENT)),
    "redirect": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "redirect", ("may", *SENT)),
    "garbage": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "garbage", ("may", *SENT)),
    "slow": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "slow", ("may", *SENT)),
    "bad-certificate": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "ok", ("may", *SENT)),
    "no-policy-host": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "ok", ("may", *SENT)),
    # The same MX hosts, with and without a policy that forbids them.
    "shared-strict": (["mx-wrong"], "enforce", ["*.elsewhere.test"], "ok", ("secure?", *NOT_SENT)),
    "shared-broken": (["mx-wrong"], "enforce", [], "garbage", ("may", *SENT)),
    "shared-free": (["mx-wrong"], None, [], "ok", ("may", *SENT)),
}
WEB, BAD_WEB = "127.0.1.1", "127.0.1.2"


def policy(mode, mx, max_age=86400):
    return (f"version: STSv1\r\nmode: {mode}\r\n" + "".join(f"mx: {m}\r\n" for m in mx) + f"max_age: {max_age}\r\n")


def user(domain):
    return f"user@{domain}.{ZONE}"


class Plan:
    def __init__(self, net):
        self.net, self.ca = net, net.ca
        self.web_ca = pp.Authority(net.folder / "certificates", "web")
        stranger = pp.Authority(net.folder / "certificates", "stranger")
        self.addresses = {
            "mx-right": net.host(self.ca.issue(f"mx-right.{ZONE}")),
            "a.wild": net.host(self.ca.issue("wild", [f"*.wild.{ZONE}"])),
            "mx-wrong": net.host(self.ca.issue("other.test")),
            "mx-cn": net.host(self.ca.issue(f"mx-cn.{ZONE}", ["other.test"])),
            "mx-untrusted": net.host(stranger.issue(f"mx-untrusted.{ZONE}")),
            "mx-expired": net.host(self.ca.issue(f"mx-expired.{ZONE}", life=-pp.DAY)),
            "mx-plain": net.host(),
            "mx-outside": net.host(self.ca.issue(f"mx-outside.{ZONE}")),
            "a.b-deep": net.host(self.ca.issue(f"a.b-deep.{ZONE}")),
        }
        net.start_hosts()
        names = [f"mta-sts.{d}.{ZONE}" for d in CASES]
        self.sites = {WEB: str(self.web_ca.issue("web", names).path),
                      BAD_WEB: str(self.web_ca.issue("bad-web", ["elsewhere.test"]).path)}
        self.zones = net.closing(pp.Zones(net.mine, net.folder / "knot", {ZONE: self.zone()}))
        self.web = self.start_web()

    def start_web(self):
        web = self.net.closing(pp.Https(self.net.mine, self.net.folder / "web", self.sites))
        for domain, (_, mode, mx, behaviour, _) in CASES.items():
            web.serve(f"mta-sts.{domain}.{ZONE}", behaviour, policy(mode, mx))
        return web

    def zone(self, mx=None, ids=None):
        """`mx` and `ids` replace a domain's hosts and its record's id; an id of None takes the record away."""
        lines = [f"{host} A {address}" for host, address in self.addresses.items()]
        for domain, (hosts, mode, _, _, _) in CASES.items():
            hosts = (mx or {}).get(domain, hosts)
            lines += [f"{domain} MX {10 + n} {h}" for n, h in enumerate(hosts)]
            number = (ids or {}).get(domain, "1")
            if mode is None or domain == "no-record" or number is None:
                continue
            lines.append(f'_mta-sts.{domain} 1 TXT "v=STSv1; id={number};"')
            if domain == "two-records":
                lines.append(f'_mta-sts.{domain} 1 TXT "v=STSv1; id=2;"')
            if domain != "no-policy-host":
                lines.append(f"mta-sts.{domain} A {BAD_WEB if domain == 'bad-certificate' else WEB}")
        return pp.unsigned_zone(ZONE, "\n".join(lines) + "\n")

    def gateway(self, **settings):
        return self.net.gateway(**{"dns_stub_zones": self.zones.stubs, "mta_sts_CAfile": self.web_ca.file,
                                   "smtp_tls_CAfile": self.ca.file, "mta_sts_timeout": "2s", **settings})


@pytest.fixture
def plan(build, folder, closing):
    return Plan(pp.Net(build, folder, closing))


def outcome(result):
    return result.get("tls"), result["status"], result["dsn"]


def fits(result, expected):
    tls, status, dsn = expected
    return result.get("tls") == tls and result["status"] == status and result["dsn"].startswith(dsn)


def test_policies_decide_as_the_rfc_says_and_broken_ones_do_not_stop_mail(plan):
    gateway = plan.gateway()
    plan.net.submit(gateway, [user(d) for d in CASES])
    results = pp.wait_results(gateway, [user(d) for d in CASES])
    print()
    for d in CASES:
        print(f"{d:<22}{CASES[d][1]!s:<9}{CASES[d][3]:<10}", *outcome(results[user(d)]))
    wrong = [f"{results[user(d)]['line']}\n    instead of {c[-1]}" for d, c in CASES.items()
             if not fits(results[user(d)], c[-1])]
    assert not wrong, "\n".join(wrong)
    for d, case in CASES.items():
        mails = plan.net.smtp.mails(user(d))
        assert len(mails) == (case[-1][1] == "sent"), d
        asked = plan.web.requests(f"mta-sts.{d}.{ZONE}")
        none = d in ("no-record", "two-records", "bad-certificate", "no-policy-host", "shared-free")
        assert [r["path"] for r in asked] == ([] if none else ["/.well-known/mta-sts.txt"]), d
    # What the policy does not name is not even connected to.
    assert plan.net.smtp.to(plan.addresses["mx-outside"]) == []
    assert plan.net.smtp.to(plan.addresses["a.b-deep"]) == []
    assert "MTA-STS policy" in results[user("outside")]["text"]
    snis = {s["tls"]["sni"] for s in plan.net.smtp.to(plan.addresses["mx-right"]) if s["tls"]}
    assert snis == {f"mx-right.{ZONE}"}


def test_a_domain_with_a_forbidding_policy_never_holds_up_another_with_the_same_hosts(plan):
    gateway = plan.gateway()
    recipients = [f"u{n}@{d}.{ZONE}" for n in range(10) for d in ("shared-strict", "shared-free", "shared-broken")]
    plan.net.submit(gateway, recipients)
    results = pp.wait_results(gateway, recipients)
    for r, result in results.items():
        assert result["status"] == ("deferred" if "strict" in r else "sent"), result["line"]


def test_a_cached_policy_outlives_its_host_its_record_and_a_restart(plan):
    gateway = plan.gateway()
    plan.net.submit(gateway, [user("right"), user("wildcard"), user("partly")])
    results = pp.wait_results(gateway, [user("right"), user("wildcard"), user("partly")])
    assert {outcome(r)[:2] for r in results.values()} == {("secure", "sent")}
    plan.web.close()
    plan.net.submit(gateway, [user("right")])
    assert outcome(pp.wait_results(gateway, [user("right")], count=2)[user("right")])[:2] == ("secure", "sent")
    gateway.stop()
    # Somebody takes the records over: one is gone, one has a new id, and both name another host.
    forged = {"wildcard": ["mx-wrong"], "right": ["mx-outside"]}
    plan.zones.replace(ZONE, plan.zone(forged, {"wildcard": None, "right": "2"}), f"right.{ZONE}", "MX",
                       lambda answer: "outside" in answer)
    gateway.start()
    for n in range(2):  # the first lookup starts a refresh behind its answer, which fails
        plan.net.submit(gateway, [user("right"), user("wildcard"), user("partly")])
        results = pp.wait_results(gateway, [user("right")], count=3 + n)
        results |= pp.wait_results(gateway, [user("wildcard"), user("partly")], count=2 + n)
        assert fits(results[user("right")], ("secure?", *NOT_SENT)), results[user("right")]["line"]
        assert results[user("wildcard")]["status"] == "deferred", results[user("wildcard")]["line"]
        assert fits(results[user("partly")], ("secure", *SENT)), results[user("partly")]["line"]
    assert plan.net.smtp.to(plan.addresses["mx-outside"]) == []


def test_without_mta_sts_enable_no_policy_is_asked_for(plan):
    gateway = plan.gateway(mta_sts_enable="no")
    plan.net.submit(gateway, [user("wrong-name"), user("outside")])
    results = pp.wait_results(gateway, [user("wrong-name"), user("outside")])
    assert {outcome(r)[:2] for r in results.values()} == {("may", "sent")}
    assert plan.web.requests() == []
