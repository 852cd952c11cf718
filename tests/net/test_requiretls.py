# SPDX-License-Identifier: BSD-3-Clause
"""REQUIRETLS through two Penstocks, and towards servers that do not know it (RFC 8689).

    client -> first gateway -> second gateway -> recording servers
                     \\-> Postfix, which lacks REQUIRETLS, and recording servers
"""

import contextlib
import subprocess

import peers
import penstock_run as run
import pytest
import tls_peers

pytestmark = pytest.mark.xdist_group("requiretls")  # they share what a fixture of the file started

SECRET = "the launch is on the ninth"
HEAD_SECRET = "Subject: {}\r\nFrom: sender@back.example.test\r\nTo: r@example.test\r\n"
BACK = "sender@back.example.test"

# Who takes mail for a domain, as the first gateway sees it: the server, its address.
NEAR = {
    "two": ("mx.second", "10.77.0.5"),  # the second gateway
    "three": ("mx.second", "10.77.0.5"),
    "knows": ("mx.knows", "10.77.0.11"), "back": ("mx.back", "10.77.0.12"), "lacks": ("mx.lacks", "10.77.0.13"),
    "relaxed": ("mx.relaxed", "10.77.0.14"), "nodsn": ("mx.nodsn", "10.77.0.15"), "plain": ("mx.plain", "10.77.0.16"),
    "outside": ("mx.outside", "10.77.0.17"), "old": ("mx1", "10.77.0.1"), "oldrelaxed": ("mx1", "10.77.0.1"),
}
FAR = {"two": ("mx.far", "10.79.0.10"), "three": ("mx.farlacks", "10.79.0.11"), "back": ("mx.farback", "10.79.0.12")}


def zone(domains):
    text = peers.ZONE.format(mx1="10.77.0.1")
    text += "".join(f"{domain} MX 10 {host}\n" for domain, (host, _) in domains.items())
    text += "both MX 10 mx.lacks\nboth MX 20 mx.knows\n"
    return text + "".join(f"{host} A {a}\n" for host, a in dict(domains.values()).items() if host != "mx1")


def server(authority, where, **how):
    host, address = where
    cert, key = authority.issue(f"{host}.example.test")
    return {"name": f"{host}.example.test", "address": address, "starttls": "yes", "cert": cert, "key": key,
            "dsn": True, **how}


class World:
    def __init__(self, build, folder, stack):
        self.build, self.folder, self.stack = build, folder, stack
        self.ns, self.mid, far = (self.add(peers.Namespace(f"prq{n}")) for n in "abc")
        peers.Wire(self.ns, self.mid, "10.77.0.1/24", names=("bypass0", "kernel0"))
        peers.Wire(self.mid, far, "10.79.0.1/24", names=("bypass1", "kernel1"))
        self.mid.run("ip", "addr", "add", "10.77.0.5/24", "dev", "kernel0")
        self.authority = authority = tls_peers.Authority(folder / "ca")
        self.near = self.add(tls_peers.Servers(self.mid, folder / "near", [
            server(authority, NEAR["knows"], requiretls="yes"), server(authority, NEAR["back"], requiretls="yes"),
            server(authority, NEAR["lacks"]), server(authority, NEAR["relaxed"]),
            server(authority, NEAR["nodsn"], dsn=False), server(authority, NEAR["plain"], starttls="no"),
            server(authority, NEAR["outside"], requiretls="plain")], "kernel0"))
        self.far = self.add(tls_peers.Servers(far, folder / "far", [
            server(authority, FAR["two"], requiretls="yes"), server(authority, FAR["three"]),
            server(authority, FAR["back"], requiretls="yes")], "kernel1"))
        self.postfix = self.add(peers.Postfix(self.mid, folder / "postfix", "10.77.0.1", tls=True, extra=[
            "virtual_mailbox_domains = example.test, old.example.test, oldrelaxed.example.test"]))
        self.add(peers.Knot(self.ns, folder / "knot1", 5353, {"example.test": zone(NEAR)}))
        self.add(peers.Knot(self.mid, folder / "knot2", 5353, {"example.test": zone(FAR)}))
        (folder / "trusted.pem").write_text(authority.cert.read_text() + (folder / "postfix/cert.pem").read_text())
        self.second = self.start("second", self.mid, "bypass1", "10.79.0.2", core=1, myhostname="gateway2.example",
                                 name_of_server="mx.second.example.test", smtpd_listen="10.77.0.5:25",
                                 mynetworks="127.0.0.0/8 10.77.0.0/24")
        self.first = self.start("first", self.ns, "bypass0", "10.77.0.2")
        self.wires = 0

    def add(self, thing):
        return self.stack.enter_context(contextlib.closing(thing))

    def start(self, name, ns, device, source, name_of_server="gateway.example", core=0, gateway=None, **settings):
        cert, key = self.authority.issue(name_of_server)
        made = run.Gateway(
            self.build, self.folder / name, f"net_af_packet0,iface={device}", source=source, netns=ns.name, core=core,
            gateway=gateway, settings={
                "dns_stub_zones": "example.test=127.0.0.1@5353", "tlsrpt_enable": "no", "mta_sts_enable": "no",
                "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key,
                "smtp_tls_security_level": "verify", "smtp_tls_CAfile": self.folder / "trusted.pem",
                "smtp_tls_loglevel": 1, "smtp_tls_policy_maps":
                    "inline:{{relaxed.example.test = may}, {nodsn.example.test = may},"
                    " {oldrelaxed.example.test = may}}",
                "smtp_requiretls_policy": "inline:{{relaxed.example.test = opportunistic},"
                " {nodsn.example.test = opportunistic}, {oldrelaxed.example.test = opportunistic}}, enforce",
                **settings})
        self.stack.callback(made.stop)
        return made

    def another(self, **settings):
        """One more first gateway, with a wire of its own."""
        self.wires += 1
        net = f"10.{80 + self.wires}.0"
        peers.Wire(self.ns, self.mid, f"{net}.1/24", names=(f"bypass{1 + self.wires}", f"kernel{1 + self.wires}"))
        return self.start(f"another{self.wires}", self.ns, f"bypass{1 + self.wires}", f"{net}.2", gateway=f"{net}.1",
                          **settings)

    def send(self, domain, subject, gateway=None, header="", requiretls=True, starttls=True, sender=BACK):
        """Submits one mail to r@DOMAIN.example.test; returns the refusal, or None."""
        content = f"{HEAD_SECRET.format(subject)}{header}\r\n{SECRET}\r\n"
        mail = {"sender": sender, "recipients": [f"r@{domain}.example.test"], "content": content, "starttls": starttls,
                "mail_options": ["REQUIRETLS"] if requiretls else []}
        return tls_peers.submit(self.ns, (gateway or self.first).port, [mail])[0]

    def line(self, to, gateway=None, count=1):
        """The latest delivery line for a recipient once there are `count`."""
        log = (gateway or self.first).log
        try:
            peers.wait_until(lambda: len(tls_peers.deliveries(log).get(to, ())) >= count, 20, f"a line for {to}")
        except TimeoutError as late:
            raise AssertionError(f"{late}:\n{log.read_text()}") from None
        return tls_peers.deliveries(log)[to][-1]

    def outcome(self, domain, subject, **how):
        """Sends and returns the delivery line, which it prints, too."""
        gateway, to = how.get("gateway", self.first), f"r@{domain}.example.test"
        before = len(tls_peers.deliveries(gateway.log).get(to, ()))
        assert self.send(domain, subject, **how) is None
        line = self.line(to, gateway, before + 1)
        print("\n   " + line["line"].split(": ", 2)[2])
        return line


@pytest.fixture(scope="module")
def world(build, module_folder):
    with contextlib.ExitStack() as stack:
        yield World(build, module_folder, stack)


def shown(line):
    return line["status"], line["dsn"], line["tls"]


def parameters(mail):
    return mail["mail"].upper().split()[2:]


def notification(servers, subject):
    """The notification about the mail with this subject: its command lines and parts."""
    def found():
        return [m for m in servers.got() if m["mail"].startswith("MAIL FROM:<>")
                and f"\r\nSubject: {subject}\r\n" in m["content"]]
    peers.wait_until(found, 20, f"a notification about {subject}")
    (mail,) = found()
    message = tls_peers.parse(mail["content"])
    text, status, original = message.iter_parts()
    print("\n" + mail["mail"], message["Subject"], status.get_payload()[1].as_string().strip(),
          original.get_content_type(), sep="\n   ")
    assert message.get_content_type() == "multipart/report"
    assert message["To"] == BACK and mail["rcpt"][0].startswith(f"RCPT TO:<{BACK}>")
    return mail, message, status.get_payload()[1], original


def is_redacted(mail, original):
    assert original.get_content_type() == "text/rfc822-headers"
    assert SECRET not in mail["content"]
    assert "REQUIRETLS" not in parameters(mail)


def test_requiretls_travels_through_two_gateways(world):
    line = world.outcome("two", "through two")
    assert shown(line) == ("sent", "2.0.0", "verify/requiretls")
    assert line["relay"] == "mx.second.example.test[10.77.0.5]:25"
    second = world.line("r@two.example.test", world.second)
    print("   " + second["line"].split(": ", 2)[2])
    assert shown(second) == ("sent", "2.0.0", "verify/requiretls")
    mail = world.far.mail("through two")
    assert parameters(mail).count("REQUIRETLS") == 1
    assert mail["tls"] == "TLSv1.3" and SECRET in mail["content"]
    assert "\r\nRequire-TLS-ESMTP: yes\r\n" in mail["content"]


def test_the_second_gateway_bounces_what_it_cannot_pass_on(world):
    line = world.outcome("three", "not further")
    assert shown(line) == ("sent", "2.0.0", "verify/requiretls")
    second = world.line("r@three.example.test", world.second)
    print("   " + second["line"].split(": ", 2)[2])
    assert shown(second) == ("bounced", "5.7.30", "verify/!requiretls:none")
    mail, _, recipient, original = notification(world.far, "not further")
    assert recipient["Status"] == "5.7.30"
    is_redacted(mail, original)
    assert world.far.got("mx.farlacks.example.test") == []


def test_mail_without_the_demand_goes_without_the_parameter(world):
    assert shown(world.outcome("knows", "no demand", requiretls=False)) == ("sent", "2.0.0", "verify")
    assert "REQUIRETLS" not in parameters(world.near.mail("no demand"))


def test_postfix_without_requiretls_gets_nothing_and_the_notification_is_redacted(world):
    line = world.outcome("old", "for postfix")
    assert shown(line) == ("bounced", "5.7.30", "verify/!requiretls:none")
    assert line["relay"] == "mx1.example.test[10.77.0.1]:25"
    assert "REQUIRETLS" in line["text"]
    mail, message, recipient, original = notification(world.near, "for postfix")
    assert message["Subject"] == "Undelivered Mail Returned to Sender"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.7.30")
    assert recipient["Final-Recipient"] == "rfc822; r@old.example.test"
    is_redacted(mail, original)
    assert "From: sender@back.example.test" in original.get_content()
    assert world.postfix.delivered() == []
    assert "from=<sender@back.example.test>" not in world.postfix.log.read_text()


@pytest.mark.parametrize("domain, status, tls", [
    ("lacks", "5.7.30", "verify/!requiretls:none"), ("plain", "5.7.10", "!verify/!requiretls:nostarttls"),
    ("outside", "5.7.30", "verify/!requiretls:none")])
def test_a_server_that_cannot_keep_the_promise_gets_nothing(world, domain, status, tls):
    """Not known inside TLS; no TLS at all; announced in plaintext only, where it does not count."""
    line = world.outcome(domain, f"for {domain}")
    assert shown(line) == ("bounced", status, tls)
    mail, _, recipient, original = notification(world.near, f"for {domain}")
    assert recipient["Status"] == status
    is_redacted(mail, original)
    assert world.near.got(f"mx.{domain}.example.test") == []


def test_another_host_that_knows_it_gets_the_mail(world):
    line = world.outcome("both", "for both")
    assert shown(line) == ("sent", "2.0.0", "verify/requiretls")
    assert line["relay"].startswith("mx.knows.example.test[")
    assert world.near.got("mx.lacks.example.test") == []


def test_a_relaxed_policy_delivers_without_the_parameter_and_wants_no_content_back(world):
    assert shown(world.outcome("relaxed", "relaxed")) == ("sent", "2.0.0", "may/requiretls:none")
    mail = world.near.mail("relaxed")
    assert "RET=HDRS" in parameters(mail) and "REQUIRETLS" not in parameters(mail)
    assert mail["tls"] == "TLSv1.3" and SECRET in mail["content"]


def test_a_relaxed_policy_says_nothing_about_content_to_servers_without_dsn(world):
    assert shown(world.outcome("nodsn", "relaxed, no dsn")) == ("sent", "2.0.0", "may/requiretls:none")
    assert not [p for p in parameters(world.near.mail("relaxed, no dsn")) if p.startswith("RET=")]


def test_a_relaxed_policy_delivers_to_postfix(world):
    before = len(world.postfix.delivered())
    assert shown(world.outcome("oldrelaxed", "relaxed")) == ("sent", "2.0.0", "may/requiretls:none")
    peers.wait_until(lambda: len(world.postfix.delivered()) == before + 1, 20, "Postfix to deliver")


def test_the_header_demands_it_in_plaintext_submission_too(world):
    line = world.outcome("knows", "by header", requiretls=False, starttls=False, header="require-tls-esmtp: Yes\r\n")
    assert shown(line) == ("sent", "2.0.0", "verify/requiretls")
    mail = world.near.mail("by header")
    assert "REQUIRETLS" in parameters(mail)
    assert mail["content"].lower().count("require-tls-esmtp") == 1
    line = world.outcome("knows", "by no header", requiretls=False, header="Require-TLS-ESMTP: perhaps\r\n")
    assert shown(line) == ("sent", "2.0.0", "verify")
    assert line["conn_use"] is None  # never over a connection that was opened under another demand
    assert shown(world.outcome("old", "header, postfix", requiretls=False, header="Require-TLS-ESMTP: yes\r\n")) == (
        "bounced", "5.7.30", "verify/!requiretls:none")
    is_redacted(*notification(world.near, "header, postfix")[::3])


def sendmail(world, *args, subject):
    command = [world.build / "tools/sendmail/sendmail", "-C", world.first.conf, *args, "-f", BACK,
               "r@knows.example.test"]
    done = subprocess.run(world.ns.command(*command), input=f"Subject: {subject}\n\nx\n", capture_output=True,
                          text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    return parameters(world.near.mail(subject))


def test_sendmail_has_an_option_for_it(world):
    assert "REQUIRETLS" in sendmail(world, "-O", "requiretls=yes", subject="sendmail yes")
    assert "REQUIRETLS" in sendmail(world, "-ORequireTLS=YES", subject="sendmail YES")
    assert "REQUIRETLS" not in sendmail(world, "-O", "requiretls=no", subject="sendmail no")
    assert "REQUIRETLS" not in sendmail(world, subject="sendmail")


def test_tls_required_no_relaxes_everything_but_requiretls(world):
    deferred = world.outcome("plain", "strict", requiretls=False)
    assert shown(deferred) == ("deferred", "4.7.4", "!verify:none")
    line = world.outcome("plain", "excused", requiretls=False, header="TLS-Required: NO\r\n")
    assert shown(line) == ("sent", "2.0.0", "may:none")
    assert world.near.mail("excused")["tls"] is None
    line = world.outcome("plain", "both", header="TLS-Required: no\r\n")
    assert shown(line) == ("bounced", "5.7.10", "!verify/!requiretls:nostarttls")
    assert "REQUIRETLS" not in parameters(notification(world.near, "both")[0])


def test_the_option_is_known_inside_tls_only(world):
    assert world.send("knows", "plaintext", starttls=False) == [555, "5.5.4 Unsupported option: REQUIRETLS"]
    said = {}
    for starttls in (False, True):
        said[starttls] = tls_peers.keywords(world.ns, world.first.port, starttls)
    assert "requiretls" not in said[False] and "starttls" in said[False]
    assert "requiretls" in said[True] and "starttls" not in said[True]


def test_unredacted_notifications_are_requiretls_mail_themselves(world):
    gateway = world.another(requiretls_redact_dsn="no")
    assert shown(world.outcome("lacks", "whole", gateway=gateway)) == ("bounced", "5.7.30", "verify/!requiretls:none")
    mail, _, recipient, original = notification(world.near, "whole")
    assert recipient["Status"] == "5.7.30"
    assert original.get_content_type() == "message/rfc822"
    assert SECRET in mail["content"]
    assert "REQUIRETLS" in parameters(mail)
    assert shown(world.line(BACK, gateway)) == ("sent", "2.0.0", "verify/requiretls")


def test_the_feature_can_be_turned_off(world):
    gateway = world.another(requiretls_enable="no")
    assert world.send("knows", "disabled", gateway=gateway) == [555, "5.5.4 Unsupported option: REQUIRETLS"]
    line = world.outcome("lacks", "disabled header", gateway=gateway, requiretls=False,
                         header="Require-TLS-ESMTP: yes\r\n")
    assert shown(line) == ("sent", "2.0.0", "verify")
    assert "RET=HDRS" not in parameters(world.near.mail("disabled header"))
