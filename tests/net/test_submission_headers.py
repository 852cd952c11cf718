# SPDX-License-Identifier: BSD-3-Clause
"""Fields that say how mail is to be treated, SMTPUTF8, VERP and refusals at submission."""

import smtplib
import subprocess

import penstock_run as run
import pytest
import raw_smtp


@pytest.fixture
def world(pair, folder, closing):
    class World:
        dump = folder / "dump"

        def __init__(self, **settings):
            self.sink, self.gateway = pair("--dump-dir", self.dump, **settings)

        def session(self):
            return closing(raw_smtp.Session(self.gateway.port))

        def say(self, content, sender="s@bulk.example", recipients=("r@example.test",)):
            """One message; returns the reply to its end."""
            session = self.session()
            session.begin(sender, recipients)
            return session.ask(content.replace("\n", "\r\n") + "\r\n.")

        def arrived(self, count):
            run.wait_until(lambda: self.sink.status()["messages"] == count, 20, "the mail", self.gateway.alive)
            return [p.read_bytes() for p in sorted(self.dump.glob("*.eml"))]

        def logs(self, text):
            """The log is written by a thread of its own."""
            run.wait_until(lambda: text in self.gateway.log.read_text(), 10, f"a line with {text}", self.gateway.alive)
            return True

    return World


def test_fields_are_taken_out_before_the_mail_goes_on(world):
    w = world()
    assert w.say("X-Penstock-Tenant: acme\nSubject: one\nX-Penstock-Pool: default\nX-Penstock-Campaign: xmas\n"
                 "X-Penstock-Priority: high\nX-Penstock-Id: stays\n\nX-Penstock-Tenant: text").startswith("250 2.0.0")
    content = w.arrived(1)[0]
    assert b"acme" not in content and b"xmas" not in content and b"Priority" not in content
    assert b"\r\nSubject: one\r\nX-Penstock-Id: stays\r\n" in content
    assert b"\r\n\r\nX-Penstock-Tenant: text" in content


@pytest.mark.parametrize("field, reply", [
    ("X-Penstock-Priority: urgent", "554 5.6.0 X-Penstock-Priority: urgent: accepted is high, normal or low"),
    ("X-Penstock-Pool: bulk", "554 5.6.0 X-Penstock-Pool: bulk: egress.conf has no such pool"),
    ("X-Penstock-Tenant: a b", "554 5.6.0 X-Penstock-Tenant: a b: accepted is a name"),
    ("X-Penstock-Schedule: days=mon; zone=Mars/Olympus", "554 5.6.0 X-Penstock-Schedule: zone=Mars/Olympus: "),
    ("X-Penstock-Schedule: hours=9-17", "554 5.6.0 X-Penstock-Schedule: hours=9-17: accepted as hours is 09:00-17:00"),
    ("X-Penstock-Schedule: not-after=2001-01-01T00:00:00Z", "554 5.6.0 X-Penstock-Schedule: "),
])
def test_a_bad_field_is_refused_by_name(world, field, reply):
    w = world()
    assert w.say(f"{field}\nSubject: x\n\nx").startswith(reply)
    assert w.gateway.queued() == 0
    assert w.logs("reject: END-OF-MESSAGE")
    assert w.session().works()


def test_malformed_mail_is_refused_with_the_right_code(world):
    w = world(message_size_limit=20000, header_size_limit=2000, smtpd_recipient_limit=2)
    s = w.session()
    assert s.ask("EHLO c").startswith("250")
    assert s.ask("MAIL FROM:<s@bulk.example> SIZE=20001").startswith("552 5.3.4 ")
    assert s.ask("MAIL FROM:<no address>").startswith("501 5.1.7 ")
    assert s.ask("MAIL FROM:<ä@bulk.example>").startswith("553 5.6.7 ")
    assert s.ask("MAIL FROM:<s@bulk.example>").startswith("250")
    assert s.ask("RCPT TO:<@@>").startswith("501 5.1.3 ")
    assert s.ask("RCPT TO:<ä@example.test>").startswith("553 5.6.7 ")
    assert s.ask("RCPT TO:<a@example.test>").startswith("250")
    assert s.ask("RCPT TO:<b@example.test>").startswith("250")
    assert s.ask("RCPT TO:<c@example.test>").startswith("452 4.5.3 ")
    s.ask("RSET")
    for content, reply in ((b"Subject: a\0b\r\n\r\nx", "554 5.6.0 Error: NUL byte in the message"),
                           (b"Subject: x\r\n\r\na\0b", "554 5.6.0 Error: NUL byte in the message"),
                           (b"Subject: " + b"x" * 3000 + b"\r\n\r\nx", "554 5.6.0 Error: header field too long"),
                           (b"Subject: x\r\n\r\n" + b"x" * 25000, "552 5.3.4 ")):
        s.begin()
        assert s.ask(content + b"\r\n.").startswith(reply)
    assert s.works()


def test_sender_maps_name_the_tenant_whose_list_counts(world):
    w = world(sender_tenant_maps="inline:{{news@acme.test = acme/news}, {@globex.test = globex}}")
    w.gateway.cli("suppression", "add", "bob@example.test", "--tenant", "acme", "--reason", "moved")
    s = w.session()
    s.ask("EHLO c")
    for sender, reply in (("news@acme.test", "550 5.7.1 <bob@example.test>: Recipient address suppressed "
                           "(operator: moved)"), ("any@globex.test", "250"), ("other@acme.test", "250")):
        assert s.ask(f"MAIL FROM:<{sender}>").startswith("250")
        assert s.ask("RCPT TO:<bob@example.test>").startswith(reply)
        s.ask("RSET")


def test_smtputf8_mail_reaches_no_server_that_does_not_offer_it(world):
    w = world()
    with smtplib.SMTP("127.0.0.1", w.gateway.port, timeout=20) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        client.sendmail("s@bulk.example", ["jörg@example.test"], "Subject: x\r\n\r\nx\r\n",
                        mail_options=["SMTPUTF8", "BODY=8BITMIME"], rcpt_options=["NOTIFY=NEVER"])
        client.sendmail("s@bulk.example", ["ascii@example.test"], "Subject: x\r\n\r\nx\r\n",
                        mail_options=["SMTPUTF8"])
    # Nothing in the second needs it, so it goes where the first cannot.
    w.arrived(1)
    w.gateway.wait_empty()
    assert w.logs("dsn=5.6.7")
    assert w.logs("SMTPUTF8 is required, but was not offered by host")


def test_verp_is_for_those_who_may(world, build):
    w = world()
    done = subprocess.run([build / "tools/sendmail/sendmail", "-C", w.gateway.conf, "-XV", "-f", "list@bulk.example",
                           "a@example.test"], input=b"Subject: x\n\nx\n", capture_output=True)
    assert done.returncode == 69 and b"smtpd_authorized_verp_clients" in done.stderr
    assert w.gateway.queued() == 0
