# SPDX-License-Identifier: BSD-3-Clause
"""Each TLS level against each outcome of STARTTLS, with real TLS over a veth, as the mail log shows it.

One daemon serves all cases at once: a domain for each (its MX names the server with the behaviour that is
wanted), a row of smtp_tls_policy_maps for each domain. Run with -s to see expected and logged side by side.
"""

import contextlib
import re

import peers
import penstock_run as run
import pytest
import tls_peers

pytestmark = pytest.mark.xdist_group("tls_levels")  # they share what a fixture of the file started

LEVELS = ("none", "may", "encrypt", "fingerprint", "verify", "secure")
REQUIRED = LEVELS[2:]
OUTCOMES = ("plain", "refused4", "refused5", "garbage", "close", "late", "name", "expired", "selfsigned", "ok")
TITLE = {"plain": "STARTTLS not offered", "refused4": "STARTTLS refused with 454",
         "refused5": "STARTTLS refused with 502", "garbage": "handshake failure",
         "close": "lost after the 220", "late": "lost after the handshake",
         "name": "mismatch: wrong name", "expired": "mismatch: expired", "selfsigned": "mismatch: self-signed",
         "ok": "good certificate"}
ADDRESS = {outcome: f"10.77.0.{10 + n}" for n, outcome in enumerate(OUTCOMES)}
POSTFIX = ("may", "encrypt", "fingerprint", "verify", "secure", "wrongprint")


def expected(level, outcome):
    """(status, dsn, tls=) by parts 3.1 and 3.9 of the rules."""
    if level == "none":
        return "sent", "2.0.0", "none"
    if outcome in ("name", "expired", "selfsigned", "ok"):
        if level in ("may", "encrypt") or outcome == "ok":
            return "sent", "2.0.0", level
        return "deferred", "4.7.5", f"!{level}"
    if level == "may":
        return "sent", "2.0.0", "may:none"  # in the same session, or by a retry without TLS
    return {"plain": ("deferred", "4.7.4", f"!{level}:none"),
            "refused4": ("deferred", "4.7.0", f"!{level}:none"),
            "refused5": ("bounced", "5.5.1", f"!{level}:none"),
            "garbage": ("deferred", "4.7.5", f"{level}?"),
            "close": ("deferred", "4.4.2", f"{level}?"),
            "late": ("deferred", "4.4.2", level)}[outcome]  # the handshake had decided


# Several MX hosts, in order: what a domain at level encrypt gets.
LISTS = {
    "plain-ok": (("plain", "ok"), ("sent", "2.0.0", "encrypt"), "ok"),
    "refused5-ok": (("refused5", "ok"), ("sent", "2.0.0", "encrypt"), "ok"),
    "garbage-ok": (("garbage", "ok"), ("sent", "2.0.0", "encrypt"), "ok"),
    "refused5-refused5b": (("refused5", "refused5b"), ("bounced", "5.5.1", "!encrypt:none"), "refused5b"),
    "refused5-refused4": (("refused5", "refused4"), ("deferred", "4.7.0", "!encrypt:none"), "refused4"),
    # Soft beats hard, whatever the order: the last host's answer stands, as a temporary one.
    "refused4-refused5": (("refused4", "refused5"), ("deferred", "4.5.1", "!encrypt:none"), "refused5"),
}
ADDRESS |= {"refused5b": "10.77.0.30", "once": "10.77.0.31", "once0": "10.77.0.32"}


def servers(authority, folder):
    good = authority.issue("*.ok.example.test", "mx.ok.example.test", "*.late.example.test")
    certs = dict.fromkeys(OUTCOMES, good)
    certs["name"] = authority.issue("mx.elsewhere.test")
    certs["expired"] = authority.issue("mx.expired.example.test", "*.expired.example.test",
                                       dates=("20200101000000Z", "20210101000000Z"))
    own = folder / "selfsigned"
    own.mkdir()
    certs["selfsigned"] = peers.self_signed(own, "mx.selfsigned.example.test")
    how = {"plain": "no", "refused4": "454 4.7.0 TLS not available now", "refused5": "502 5.5.1 no TLS here",
           "garbage": "garbage", "close": "close", "late": "close-after"}
    made = [{"name": f"mx.{o}.example.test", "address": ADDRESS[o], "starttls": how.get(o, "yes"), "cert": certs[o][0],
             "key": certs[o][1]} for o in OUTCOMES]
    made.append({"name": "mx.refused5b.example.test", "address": ADDRESS["refused5b"],
                 "starttls": "502 5.5.1 nor here"})
    made += [{"name": f"mx.{o}.example.test", "address": ADDRESS[o], "starttls": "once", "cert": good[0],
              "key": good[1]} for o in ("once", "once0")]
    return made, good


def zone():
    """LEVEL.OUTCOME.example.test and more, all with MX records."""
    text = peers.ZONE.format(mx1="10.77.0.1")
    for outcome, address in ADDRESS.items():
        text += f"mx.{outcome} A {address}\n*.{outcome} MX 10 mx.{outcome}\n"
    for domain, (hosts, _, _) in LISTS.items():
        text += "".join(f"{domain}.list MX {n}0 mx.{o}\n" for n, o in enumerate(hosts, 1))
    text += "".join(f"{p}.pf MX 10 mx1\n" for p in POSTFIX)
    return text


def policies(good, postfix_cert):
    """The table, by next hop."""
    table = {}
    for outcome in OUTCOMES:
        for level in LEVELS:
            table[f"{level}.{outcome}.example.test"] = level
        table[f"fingerprint.{outcome}.example.test"] = f"fingerprint match={tls_peers.fingerprint(good[0])}"
    table[".list.example.test"] = "encrypt"
    table["[10.77.0.19]"] = "verify match=mx.ok.example.test"
    table["[10.77.0.16]"] = "verify match=mx.ok.example.test"
    for level in POSTFIX[:5]:
        table[f"{level}.pf.example.test"] = level
    # A chain that is one self-signed certificate: its file is the trust anchor.
    table["fingerprint.pf.example.test"] = f"fingerprint match={tls_peers.fingerprint(postfix_cert)}"
    table["wrongprint.pf.example.test"] = f"fingerprint match={tls_peers.fingerprint(good[0])}"
    table["secure.pf.example.test"] = "secure match=mx1.example.test"
    table["level.ok.example.test"] = "sometimes"
    table["attribute.ok.example.test"] = "encrypt colour=blue"
    table["match.ok.example.test"] = "may match=nexthop"
    table["digest.ok.example.test"] = "fingerprint"
    return table


class World:
    def __init__(self, build, folder, stack):
        self.build, self.folder, self.stack = build, folder, stack
        self.ns = self.add(peers.Namespace("ptlg"))
        theirs = self.theirs = self.add(peers.Namespace("ptlm"))
        peers.run("ip", "-n", theirs.name, "addr", "add", "10.77.0.1/24", "dev", "lo")
        self.wires = 0
        authority = tls_peers.Authority(folder / "ca")
        made, good = servers(authority, folder)
        self.servers = self.add(tls_peers.Servers(theirs, folder / "servers", made, "lo"))
        domains = ", ".join(f"{p}.pf.example.test" for p in POSTFIX)
        self.postfix = self.add(peers.Postfix(theirs, folder / "postfix", "10.77.0.1", tls=True, extra=[
            f"virtual_mailbox_domains = example.test, {domains}", "smtpd_tls_received_header = yes"]))
        self.add(peers.Knot(self.ns, folder / "knot", 5353, {"example.test": zone()}))
        postfix_cert = folder / "postfix/cert.pem"
        (folder / "trusted.pem").write_text(authority.cert.read_text() + postfix_cert.read_text())
        self.table = folder / "policy"
        self.table.write_text("".join(f"{k}\t{v}\n" for k, v in policies(good, postfix_cert).items()))
        self.gateway = self.start("gateway", smtp_tls_security_level="none",
                                  smtp_tls_policy_maps=f"texthash:{self.table}", smtp_tls_loglevel=1,
                                  smtp_tls_note_starttls_offer="yes", smtp_connection_reuse_count_limit=1)

    def add(self, thing):
        return self.stack.enter_context(contextlib.closing(thing))

    def start(self, name, **settings):
        """Another gateway, with a wire and a network of its own: both would answer for one address."""
        n, self.wires = self.wires, self.wires + 1
        peers.Wire(self.ns, self.theirs, f"10.{78 + n}.0.1/24", names=(f"bypass{n}", f"kernel{n}"))
        gateway = run.Gateway(self.build, self.folder / name, f"net_af_packet0,iface=bypass{n}",
                              source=f"10.{78 + n}.0.2", gateway=f"10.{78 + n}.0.1", netns=self.ns.name, settings={
                                  "dns_stub_zones": "example.test=127.0.0.1@5353", "tlsrpt_enable": "no",
                                  "mta_sts_enable": "no", "smtp_tls_CAfile": self.folder / "trusted.pem", **settings})
        self.stack.callback(gateway.stop)
        return gateway

    def send(self, domains, gateway=None, seconds=40):
        """One message to each domain; returns the last delivery line of each."""
        gateway = gateway or self.gateway
        to = {d: f"r@{d}" for d in domains}
        before = tls_peers.deliveries(gateway.log)
        done = tls_peers.submit(self.ns, gateway.port, [{
            "sender": "", "recipients": [a], "content": f"Subject: for {d}\r\n\r\nx\r\n"} for d, a in to.items()])
        assert done == [None] * len(done)

        def missing():
            now = tls_peers.deliveries(gateway.log)
            return [a for a in to.values() if len(now.get(a, ())) == len(before.get(a, ()))]
        try:
            peers.wait_until(lambda: not missing(), seconds, "every delivery line")
        except TimeoutError:
            raise AssertionError(f"no line for {missing()}; {gateway.said()}") from None
        now = tls_peers.deliveries(gateway.log)
        return {d: now[a][-1] for d, a in to.items()}

    def lines(self, pattern):
        return [line for line in self.gateway.log.read_text().splitlines() if re.search(pattern, line)]


@pytest.fixture(scope="module")
def world(build, module_folder):
    with contextlib.ExitStack() as stack:
        yield World(build, module_folder, stack)


@pytest.fixture(scope="module")
def matrix(world):
    """The delivery line of every level and outcome."""
    cases = {f"{level}.{outcome}.example.test": (level, outcome) for outcome in OUTCOMES for level in LEVELS}
    return {cases[d]: line for d, line in world.send(cases).items()}


def shown(line):
    return line["status"], line["dsn"], line["tls"]


def table(rows):
    """Expected and logged, side by side: rows are (left, expected, delivery line)."""
    print()
    for left, (status, dsn, tls), line in rows:
        mark = "  " if shown(line) == (status, dsn, tls) else "!!"
        want = f"{status} {dsn} tls={tls}"
        text = line["line"].split(", relay=")[1]
        print(f"{mark} {left:38} | {want:40} | relay={text}")


def test_every_level_and_outcome_logs_what_the_rules_say(matrix):
    table((f"{level:11} {TITLE[outcome]}", expected(level, outcome), line)
          for (level, outcome), line in matrix.items())
    wrong = {case: (expected(*case), line["line"]) for case, line in matrix.items() if shown(line) != expected(*case)}
    assert wrong == {}


def test_refusals_say_in_the_log_why(matrix):
    def text(level, outcome):
        return matrix[level, outcome]["text"]
    for level in REQUIRED:
        host = {o: f"mx.{o}.example.test[{ADDRESS[o]}]" for o in OUTCOMES}
        assert text(level, "plain") == f"TLS is required, but was not offered by host {host['plain']}"
        assert text(level, "refused4") == (f"TLS is required, but host {host['refused4']} refused to start TLS: "
                                           "454 4.7.0 TLS not available now")
        assert text(level, "refused5") == (f"TLS is required, but host {host['refused5']} refused to start TLS: "
                                           "502 5.5.1 no TLS here")
        assert text(level, "garbage").startswith(f"Cannot start TLS with {host['garbage']}: handshake failure")
        assert text(level, "close") == f"lost connection with {host['close']} while performing the TLS handshake"
        assert text(level, "late") == f"lost connection with {host['late']} while performing the EHLO handshake"
    for outcome in ("name", "expired", "selfsigned"):
        assert text("fingerprint", outcome).startswith("Server certificate not verified: ")
    for level in ("verify", "secure"):
        assert text(level, "name").startswith("Server certificate not verified: ")
        assert text(level, "expired").startswith("Server certificate not trusted: ")
        assert text(level, "selfsigned").startswith("Server certificate not trusted: ")


def test_mail_is_encrypted_exactly_where_the_field_says_so(world, matrix):
    mails = {m["rcpt"][0].split("<")[1].split(">")[0]: m for m in world.servers.got()}
    for (level, outcome), line in matrix.items():
        mail = mails.pop(line["to"], None)
        assert (mail is not None) == (line["status"] == "sent"), line["line"]
        if mail is not None:
            assert (mail["tls"] is not None) == (line["tls"] == level != "none"), line["line"]


def test_level_none_never_asks_for_tls(world, matrix):
    gateway = world.start("none", smtp_tls_security_level="none", smtp_tls_note_starttls_offer="yes")
    before = len(world.servers.got(event="starttls"))
    lines = world.send(["x.ok.example.test", "x.garbage.example.test"], gateway)
    assert {shown(line) for line in lines.values()} == {("sent", "2.0.0", "none")}
    assert len(world.servers.got(event="starttls")) == before
    log = gateway.log.read_text()
    assert "Host offered STARTTLS: [mx.ok.example.test]" in log
    assert "Host offered STARTTLS: [mx.garbage.example.test]" in log


def test_an_offer_is_noted_only_where_tls_was_offered_and_not_used(world, matrix):
    noted = {re.search(r"\[(mx[^]]*)\]", line)[1] for line in world.lines("Host offered STARTTLS: ")}
    assert "mx.ok.example.test" in noted  # by level none
    assert "mx.refused4.example.test" in noted
    assert "mx.plain.example.test" not in noted


def test_the_next_host_is_tried_before_mail_is_given_up(world):
    lines = world.send([f"{d}.list.example.test" for d in LISTS])
    table((f"encrypt     {d}", want, lines[f"{d}.list.example.test"]) for d, (_, want, _) in LISTS.items())
    for domain, (_, want, last) in LISTS.items():
        line = lines[f"{domain}.list.example.test"]
        assert shown(line) == want, line["line"]
        assert line["relay"] == f"mx.{last}.example.test[{ADDRESS[last]}]:25", line["line"]


def test_the_status_counts_kinds_of_failures(world, matrix):
    classes = world.gateway.json("status")["reply_classes"]
    assert sum(classes.values()) >= sum(line["status"] != "sent" for line in matrix.values()) > 0


def test_an_address_literal_has_a_policy_of_its_own(world):
    lines = world.send(["[10.77.0.19]", "[10.77.0.16]"])
    assert shown(lines["[10.77.0.19]"]) == ("sent", "2.0.0", "verify")
    assert shown(lines["[10.77.0.16]"]) == ("deferred", "4.7.5", "!verify")


POSTFIX_EXPECTED = {d: ("sent", "2.0.0", d) for d in POSTFIX[:5]}
POSTFIX_EXPECTED["wrongprint"] = ("deferred", "4.7.5", "!fingerprint")


@pytest.fixture(scope="module")
def postfix_lines(world):
    return world.send([f"{d}.pf.example.test" for d in POSTFIX])


def test_postfix_takes_mail_at_every_level(world, postfix_lines):
    table((f"Postfix     {d}", want, postfix_lines[f"{d}.pf.example.test"]) for d, want in POSTFIX_EXPECTED.items())
    for domain, want in POSTFIX_EXPECTED.items():
        line = postfix_lines[f"{domain}.pf.example.test"]
        assert shown(line) == want, line["line"]
    peers.wait_until(lambda: len(world.postfix.delivered()) >= 5, 20, "Postfix to deliver")
    for path in world.postfix.delivered():
        assert "using TLSv1.3 with cipher" in path.read_text()


def test_tls_lines_name_what_the_certificate_was_worth(world, matrix, postfix_lines):
    def words(host):
        pattern = rf"penstock/smtp\[\d+\]: (\w+) TLS connection established to {re.escape(host)}:25: " \
                  r"TLSv1\.3 with cipher TLS_AES_\w+ \((128/128|256/256) bits\)$"
        return {m[1] for m in map(re.compile(pattern).search, world.lines("TLS connection established")) if m}
    # may and encrypt look at the chain, fingerprint and up at what they are to match.
    assert words("mx.ok.example.test[10.77.0.19]") == {"Trusted", "Verified"}
    # A good chain stays Trusted when the name, or the digest, is another one.
    assert words("mx.name.example.test[10.77.0.16]") == {"Trusted"}
    assert words("mx.selfsigned.example.test[10.77.0.18]") == {"Untrusted"}
    assert words("mx.expired.example.test[10.77.0.17]") == {"Untrusted"}
    assert words("mx1.example.test[10.77.0.1]") == {"Trusted", "Verified"}


def test_a_second_session_with_a_host_is_resumed(world, postfix_lines):
    """Under the same policy only: the level is part of what a session is kept under."""
    for level in ("verify", "may"):
        world.send([f"{level}.pf.example.test"])
    reused = world.lines(r"TLS connection reused to mx1\.example\.test\[10\.77\.0\.1\]:25: TLSv1\.3 with cipher")
    assert {re.search(r": (\w+) TLS connection reused", line)[1] for line in reused} == {"Verified", "Trusted"}


BROKEN = {
    "level": "sometimes", "attribute": "encrypt colour=blue", "match": "may match=nexthop", "digest": "fingerprint",
}


def test_a_broken_policy_defers_and_names_table_and_key(world):
    before = len(world.servers.got())
    lines = world.send([f"{d}.ok.example.test" for d in BROKEN])
    table((f"broken      {v}", ("deferred", "4.7.5", "unknown?"), lines[f"{d}.ok.example.test"])
          for d, v in BROKEN.items())
    for domain, value in BROKEN.items():
        name = f"{domain}.ok.example.test"
        assert shown(lines[name]) == ("deferred", "4.7.5", "unknown?"), lines[name]["line"]
        assert "client TLS configuration problem" in lines[name]["text"]
        (warning,) = [line for line in world.lines("warning: ") if f"TLS policy lookup for {name}" in line][:1]
        assert f"texthash:{world.table}" in warning and name in warning and value in warning, warning
    assert len(world.servers.got()) == before


PER_SITE = {  # smtp_tls_per_site over no TLS: by next hop, and by host
    "none": ("NONE", ("sent", "2.0.0", "none")), "may": ("MAY", ("sent", "2.0.0", "may")),
    "nopeer": ("MUST_NOPEERMATCH", ("sent", "2.0.0", "encrypt")), "must": ("MUST", ("sent", "2.0.0", "verify")),
    "bad": ("PERHAPS", ("deferred", "4.7.5", "unknown?")), "nomatch": (None, ("sent", "2.0.0", "none")),
}
PER_HOST = {"plain": ("deferred", "4.7.4", "!encrypt:none"), "name": ("deferred", "4.7.5", "!verify")}


def test_the_legacy_table_goes_by_next_hop_and_by_host(world):
    per_site = world.folder / "per_site"
    rows = [f"{d}.ok.example.test {word}\n" for d, (word, _) in PER_SITE.items() if word]
    per_site.write_text("".join(rows) + "mx.plain.example.test MUST_NOPEERMATCH\nmx.name.example.test must\n")
    # Nothing else says anything: neither smtp_tls_security_level nor smtp_use_tls are set, and no policy maps.
    gateway = world.start("legacy", smtp_tls_security_level="none", smtp_tls_per_site=f"texthash:{per_site}")
    want = {f"{d}.ok.example.test": w for d, (_, w) in PER_SITE.items()}
    want |= {f"x.{o}.example.test": w for o, w in PER_HOST.items()}
    lines = world.send(want, gateway)
    table((f"per site    {d.removesuffix('.example.test')}", w, lines[d]) for d, w in want.items())
    assert {d: shown(line) for d, line in lines.items()} == want


def test_young_mail_is_not_sent_in_clear_after_a_failed_handshake(world):
    gateway = world.start("memory", smtp_tls_security_level="may", smtp_tls_fallback_delay="1d")
    lines = world.send(["x.garbage.example.test", "x.plain.example.test", "x.ok.example.test"], gateway)
    assert shown(lines["x.garbage.example.test"]) == ("deferred", "4.7.5", "may?")
    assert shown(lines["x.plain.example.test"]) == ("sent", "2.0.0", "may:none")
    assert shown(lines["x.ok.example.test"]) == ("sent", "2.0.0", "may")


def test_a_host_that_has_done_tls_is_not_asked_without_it(world):
    """A downgrade after success is suspicious; with no memory of the success it is as for any other host."""
    gateway = world.start("remembers", smtp_tls_security_level="may", smtp_connection_reuse_count_limit=1)
    lines = [world.send(["x.once.example.test"], gateway)["x.once.example.test"] for _ in range(2)]
    assert [shown(line) for line in lines] == [("sent", "2.0.0", "may"), ("deferred", "4.7.5", "may?")]
    assert lines[1]["text"].endswith("; it has worked before, so no retry without TLS")
    gateway = world.start("forgets", smtp_tls_security_level="may", smtp_connection_reuse_count_limit=1,
                          smtp_tls_downgrade_memory=0)
    lines = [world.send(["x.once0.example.test"], gateway)["x.once0.example.test"] for _ in range(2)]
    assert [shown(line) for line in lines] == [("sent", "2.0.0", "may"), ("sent", "2.0.0", "may:none")]


def test_delivery_lines_have_the_shape_that_log_readers_know(matrix):
    """Postfix's, with tls= before dsn=; with syslog_name = postfix it is what pflogsumm reads."""
    shape = re.compile(
        r"^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ penstock/smtp\[\d+\]: \w+: to=<[^>]+>, relay=[\w.-]+\[[\d.]+\]:25, "
        r"(conn_use=\d+, )?delay=\d+(\.\d+)?, delays=(\d+(\.\d+)?/){3}\d+(\.\d+)?, "
        r"tls=!?[a-z]+(:[a-z]+)?\??, dsn=[245]\.\d\.\d+, status=(sent \(.+\)|(deferred|bounced) \(.+\), class=[\w-]+)$")
    for line in matrix.values():
        assert shape.match(line["line"]), line["line"]
