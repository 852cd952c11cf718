# SPDX-License-Identifier: BSD-3-Clause
"""Notifications, read by Python's email package: one of each kind field by field, and the matrix of RFC 3461
towards Postfix with DSN and SMTPUTF8, and Postfix without.

    gateway -> 10.77.0.1 Postfix (DSN, SMTPUTF8): example.test, and back.example.test for the notifications
            -> 10.77.0.3 Postfix without both: nodsn.test
"""

import email
import email.policy
import itertools
import json
import subprocess

import peers
import penstock_run as run
import pytest

pytestmark = pytest.mark.xdist_group("dsn")  # they share what a fixture of the file started

SENDER = "sender@example.test"
HEAD = f"From: {SENDER}\r\nSubject: {{}}\r\nMessage-ID: <{{}}@example.test>\r\n"


class Report:
    """A notification: its three parts, and the fields of the second as lists of dictionaries."""

    def __init__(self, raw):
        self.raw = raw
        self.mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert self.mail.get_content_type() == "multipart/report", self.mail
        self.parts = list(self.mail.iter_parts())
        self.people, self.status = self.parts[0], self.parts[1]
        self.original = self.parts[2] if len(self.parts) > 2 else None
        if self.status.get_content_type() == "message/global-delivery-status":
            # A type that the package does not know: read its blocks as it would have.
            text = self.status.get_payload(decode=False)
            if not isinstance(text, str):
                text = text[0].as_bytes(policy=email.policy.SMTPUTF8).decode()
            blocks = [b for b in text.encode("utf-8", "surrogateescape").decode().replace("\r\n", "\n").split("\n\n")
                      if b.strip()]
            fields = [dict(line.split(": ", 1) for line in unfold(b)) for b in blocks]
        else:
            fields = [{k: str(v) for k, v in block.items()} for block in self.status.get_payload()]
            fields = [f for f in fields if f]
        self.message, self.recipients = fields[0], fields[1:]


def unfold(block):
    lines = []
    for line in block.splitlines():
        if line.startswith((" ", "\t")):
            lines[-1] += line
        elif line.strip():
            lines.append(line)
    return lines


# ---- each kind


@pytest.fixture(scope="module")
def samples(build, module_folder):
    folder = module_folder / "samples"
    folder.mkdir()
    subprocess.run([build / "queue/sched/dsn_sample", folder], check=True)
    return {p.stem: Report(p.read_bytes()) for p in folder.glob("*.eml")}


def test_one_notification_tells_of_several_fates(samples):
    r = samples["mixed"]
    assert r.mail["From"] == "Mail Delivery System <MAILER-DAEMON@gw.test>"
    assert (r.mail["To"], r.mail["Auto-Submitted"]) == ("alice@a.test", "auto-replied")
    assert r.mail["Subject"] == "Undelivered Mail Returned to Sender"
    assert r.mail.get_param("report-type") == "delivery-status"
    assert not r.mail.defects and not any(p.defects for p in r.parts)
    assert r.message == {"Original-Envelope-Id": "QQ+7", "Reporting-MTA": "dns; gw.test",
                         "X-Penstock-Queue-ID": "4Zs1Bc2XyzzK7D", "X-Penstock-Sender": "rfc822; alice@a.test",
                         "Arrival-Date": r.message["Arrival-Date"]}
    assert email.utils.parsedate_to_datetime(r.message["Arrival-Date"]).timestamp() == 1795232580
    assert r.recipients[0] == {
        "Original-Recipient": "rfc822; Robert+x@b.test", "Final-Recipient": "rfc822; bob@b.test", "Action": "failed",
        "Status": "5.1.1", "Remote-MTA": "dns; mx.b.test", "Diagnostic-Code": "smtp; 550 5.1.1 no such user"}
    expired = r.recipients[1]
    assert (expired["Action"], expired["Status"], expired["X-Penstock-In-Doubt"]) == ("failed", "4.1.1", "2")
    assert expired["Diagnostic-Code"].startswith("X-Penstock; connect to") and "Remote-MTA" not in expired
    assert [f["Action"] for f in r.recipients] == ["failed", "failed", "relayed", "delivered"]
    text = r.people.get_content()
    assert text.index("did not reach") < text.index("bob@b.test") < text.index("was delivered") < text.index("lmtp@d.test")
    assert "The time for delivery is over" in text and "It may have arrived all the same" in text
    assert r.original.get_content_type() == "message/rfc822"
    assert r.original.get_content()["Subject"] == "mixed" and b"secret body" in r.raw


def test_headers_alone_are_returned_when_asked_for(samples):
    r = samples["headers"]
    assert r.original.get_content_type() == "text/rfc822-headers"
    assert "Subject: headers" in r.original.get_content() and b"secret body" not in r.raw


def test_a_template_has_charset_sender_and_text(samples):
    r = samples["template"]
    assert r.mail["From"] == "Die Post <Postbote@gw.test>"
    assert r.mail["Subject"] == "Nicht zugestellt"
    assert r.people.get_content_charset() == "utf-8"
    assert r.people.get_content().startswith("Das ging nicht: ä")
    assert "bob@b.test" in r.people.get_content()


def test_a_delay_says_until_when_it_is_tried(samples):
    r = samples["delayed"]
    assert r.mail["Subject"] == "Delayed Mail (still being retried)"
    assert [f["Action"] for f in r.recipients] == ["delayed", "delayed"]
    assert all(email.utils.parsedate_to_datetime(f["Will-Retry-Until"]).timestamp() == 1795664580
               for f in r.recipients)
    assert r.original.get_content_type() == "text/rfc822-headers" and b"secret body" not in r.raw
    assert "nothing needs to be sent again" in r.people.get_content()


def test_success_is_relayed(samples):
    r = samples["relayed"]
    assert r.mail["Subject"] == "Successful Mail Delivery Report"
    assert (r.recipients[0]["Action"], r.recipients[0]["Status"]) == ("relayed", "2.1.1")
    assert r.original.get_content_type() == "text/rfc822-headers"


def test_smtputf8_mail_that_needs_it_gets_the_global_form(samples):
    r = samples["global"]
    assert r.mail.get_param("report-type") == "global-delivery-status"
    assert r.status.get_content_type() == "message/global-delivery-status"
    assert r.original.get_content_type() == "message/global"
    assert r.recipients[0]["Original-Recipient"] == "utf-8; Jörg@b.test"
    assert r.recipients[0]["Final-Recipient"] == "utf-8; jörg@bü.test"
    assert r.recipients[1]["Final-Recipient"] == "rfc822; plain@b.test"
    assert "jörg@bü.test" in r.people.get_content()
    assert samples["global-headers"].original.get_content_type() == "message/global-headers"
    # All of it ASCII: the form that any reader knows.
    plain = samples["utf8-plain"]
    assert plain.status.get_content_type() == "message/delivery-status"
    assert plain.recipients[0]["Original-Recipient"] == "utf-8; J\\x{F6}rg@b.test"
    assert plain.raw.isascii()


def test_the_postmaster_hears_of_mail_without_a_sender(samples):
    r = samples["postmaster"]
    assert r.mail["Subject"] == "Undelivered Mail Without a Sender" and r.mail["To"] == "postmaster@gw.test"
    assert r.recipients[0]["Action"] == "failed"


# ---- against servers


@pytest.fixture(scope="module")
def world(build, module_folder):
    folder = module_folder / "world"
    folder.mkdir()
    closing = []
    try:
        mine, theirs = (peers.Namespace(f"pd{n}") for n in "ab")
        closing += [mine, theirs]
        peers.Wire(mine, theirs, "10.77.0.1/24", "10.77.0.3/24")
        knows = peers.Postfix(theirs, folder / "knows", "10.77.0.1", extra=["smtputf8_enable = yes"])
        closing.append(knows)
        lacks = peers.Postfix(theirs, folder / "lacks", "10.77.0.3", extra=[
            "virtual_mailbox_domains = nodsn.test", "smtpd_discard_ehlo_keywords = dsn, smtputf8",
            "smtpd_recipient_restrictions = reject_unauth_destination"])
        closing.append(lacks)
        (folder / "bounce.cf").write_text(
            "failure_template = <<EOF\nCharset: us-ascii\nFrom: MAILER-DAEMON (Mail Delivery System)\n"
            "Subject: Returned by $the gateway\n\nHost $myhostname gave up; "
            "${maximal_queue_lifetime_days} days are over.\nEOF\n")
        gateway = run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0", source="10.77.0.2",
                              netns=mine.name, settings={
                                  "transport_maps": "inline:{{example.test = smtp:[10.77.0.1]},"
                                                    " {nodsn.test = smtp:[10.77.0.3]}}",
                                  "smtpd_authorized_verp_clients": "127.0.0.0/8", "maximal_queue_lifetime": "36h",
                                  "bounce_template_file": folder / "bounce.cf"})
        closing.append(gateway)

        class World:
            pass

        w = World()
        w.ns, w.knows, w.lacks, w.gateway, w.folder = mine, knows, lacks, gateway, folder
        yield w
    finally:
        for thing in reversed(closing):
            (thing.close if hasattr(thing, "close") else thing.stop)()


SUBMIT = """\
import json, smtplib, sys
for job in json.load(sys.stdin):
    s = smtplib.SMTP('127.0.0.1', %d, timeout=20)
    s.ehlo()
    s.command_encoding = 'utf-8'
    for line in job['commands']:
        code, text = s.docmd(line)
        assert code == 250, (line, code, text)
    code, text = s.data(job['content'].encode())
    assert code == 250, text
    s.quit()
"""


def submit(world, jobs):
    subprocess.run(world.ns.command("/usr/bin/python3", "-c", SUBMIT % world.gateway.port), check=True, timeout=120,
                   input=json.dumps(jobs), text=True)


def job(number, mail="", rcpts=(), sender=SENDER, body="original text"):
    return {"commands": [f"MAIL FROM:<{sender}>{mail}", *(f"RCPT TO:<{a}>{p}" for a, p in rcpts)],
            "content": HEAD.format(number, number) + f"\r\n{body}\r\n"}


def reports(world, server=None):
    """All notifications by the subject of what they are about."""
    found = {}
    for path in (server or world.knows).delivered():
        raw = path.read_bytes()
        if b"multipart/report" not in raw:
            continue
        report = Report(raw)
        part = report.original
        text = part.get_content()
        if isinstance(text, bytes):  # message/global: a type that the package does not know
            text = email.message_from_bytes(text)
        subject = text["Subject"] if hasattr(text, "keys") else email.message_from_string(text)["Subject"]
        found.setdefault(subject, []).append(report)
    return found


NOTIFY = ("", " NOTIFY=NEVER", " NOTIFY=FAILURE", " NOTIFY=SUCCESS", " NOTIFY=SUCCESS,FAILURE", " NOTIFY=DELAY")
RET = ("", " RET=FULL", " RET=HDRS")
ENVID = ("", " ENVID=id+2B7")
ORCPT = ("", " ORCPT=rfc822;o+2Bo@orig.test")
TO = ("nobody@example.test", "reader@example.test", "reader@nodsn.test")


def expected(notify, to):
    """The action that we report: RFC 3461 5.2 and 6.2."""
    if to == "nobody@example.test":
        return "failed" if notify in ("", " NOTIFY=FAILURE", " NOTIFY=SUCCESS,FAILURE") else None
    return "relayed" if "SUCCESS" in notify and to == "reader@nodsn.test" else None


def test_the_matrix_of_rfc_3461(world):
    rows = list(itertools.product(NOTIFY, RET, ENVID, ORCPT, TO, (SENDER, "")))
    submit(world, [job(f"matrix-{n}", ret + envid, [(to, notify + orcpt)], sender)
                   for n, (notify, ret, envid, orcpt, to, sender) in enumerate(rows)])
    world.gateway.wait_empty(60)
    want = {f"matrix-{n}": expected(r[0], r[4]) for n, r in enumerate(rows) if r[5] and expected(r[0], r[4])}
    # Those that Postfix reports by itself, as it was asked to, are its own and say so.
    ours = {}
    peers.wait_until(lambda: len({s for s, found in reports(world).items() if s in want}) == len(want), 60,
                     f"{len(want)} notifications")
    for subject, found in reports(world).items():
        mine = [r for r in found if r.message["Reporting-MTA"] == "dns; gateway.example"]
        assert len(mine) <= 1, subject
        if mine and subject.startswith("matrix-"):
            ours[subject] = mine[0]
    assert set(ours) == set(want)
    for n, (notify, ret, envid, orcpt, to, sender) in enumerate(rows):
        r = ours.get(f"matrix-{n}")
        if r is None:
            continue
        action = want[f"matrix-{n}"]
        fields = r.recipients[0]
        assert len(r.recipients) == 1
        assert (fields["Action"], fields["Final-Recipient"]) == (action, f"rfc822; {to}")
        assert fields["Status"].startswith("2." if action == "relayed" else "5.1.1")
        assert fields["Original-Recipient"] == ("rfc822; o+o@orig.test" if orcpt else f"rfc822; {to}")
        assert r.message.get("Original-Envelope-Id") == ("id+7" if envid else None)
        full = action == "failed" and ret != " RET=HDRS"
        assert r.original.get_content_type() == ("message/rfc822" if full else "text/rfc822-headers")
        assert (b"original text" in r.raw) == full
    asked = [line for line in world.knows.log.read_text().splitlines() if "orig_to" in line]
    print(f"{len(rows)} rows, {len(ours)} notifications of ours, {len(asked)} lines of Postfix with an original "
          "recipient")


def test_parameters_reach_a_server_that_knows_them(world):
    submit(world, [job("passed-on", " ENVID=my+2Did RET=HDRS",
                       [("reader@example.test", " NOTIFY=SUCCESS ORCPT=rfc822;me@orig.test")])])
    peers.wait_until(lambda: "passed-on" in reports(world), 30, "Postfix's own report")
    report, = reports(world)["passed-on"]
    assert report.message["Reporting-MTA"] == "dns; mx1.example.test"
    assert report.message["Original-Envelope-Id"] == "my-id"
    assert report.recipients[0]["Original-Recipient"].replace(" ", "") == "rfc822;me@orig.test"
    assert report.recipients[0]["Action"] == "delivered"


def test_several_recipients_share_a_notification_with_the_operators_text(world):
    submit(world, [job("several", "", [("nobody@example.test", ""), ("nowhere@example.test.invalid", ""),
                                       ("reader@example.test", "")])])
    peers.wait_until(lambda: "several" in reports(world), 60, "the notification")
    world.gateway.wait_empty(60)
    told = [f for r in reports(world)["several"] for f in r.recipients]
    assert sorted(f["Final-Recipient"] for f in told) == ["rfc822; nobody@example.test",
                                                          "rfc822; nowhere@example.test.invalid"]
    report = reports(world)["several"][0]
    assert report.mail["Subject"] == "Returned by $the gateway"
    assert report.people.get_content().startswith("Host gateway.example gave up; 2 days are over.")


def test_verp_senders_reach_the_receiver(world):
    submit(world, [job("verp", " XVERP", [("a@example.test", ""), ("b@example.test", "")], "list@bulk.test")])
    world.gateway.wait_empty(60)

    def seen():
        mails = [email.message_from_bytes(p.read_bytes()) for p in world.knows.delivered()]
        return sorted(m["Return-Path"] for m in mails if m["Subject"] == "verp")
    peers.wait_until(lambda: len(seen()) == 2, 30, "both deliveries")
    assert seen() == ["<list+a=example.test@bulk.test>", "<list+b=example.test@bulk.test>"]


def test_failures_of_verp_mail_go_to_the_sender_of_each_recipient(world):
    submit(world, [job("verp-lost", " XVERP", [("nobody@example.test", ""), ("nowhere@example.test.invalid", ""),
                                               ("reader@example.test", "")], "list@example.test")])
    world.gateway.wait_empty(60)
    peers.wait_until(lambda: len(reports(world).get("verp-lost", [])) == 2, 30, "two notifications")
    told = {r.mail["To"]: [f["Final-Recipient"] for f in r.recipients] for r in reports(world)["verp-lost"]}
    assert told == {"list+nobody=example.test@example.test": ["rfc822; nobody@example.test"],
                    "list+nowhere=example.test.invalid@example.test": ["rfc822; nowhere@example.test.invalid"]}
    assert {r.mail["Delivered-To"] for r in reports(world)["verp-lost"]} == set(told)  # the envelope says the same


def test_the_postmaster_gets_a_copy_of_a_warning(world):
    main = world.gateway.conf / "main.cf"
    before = main.read_text()
    main.write_text(before + "notify_classes = delay\ndelay_notice_recipient = watch@example.test\n"
                             "delay_warning_time = 1s\n")
    try:
        world.gateway.cli("reload")
        world.gateway.cli("suspend", "domain", "late.test", "--reason", "to be late")
        submit(world, [job("late", "", [("reader@late.test", "")])])
        peers.wait_until(lambda: len(reports(world).get("late", [])) == 2, 60, "the warning and its copy")
        found = {r.mail["To"]: r for r in reports(world)["late"]}
        assert set(found) == {SENDER, "watch@example.test"}
        assert {f["Action"] for r in found.values() for f in r.recipients} == {"delayed"}
        assert "The sender was told." in found["watch@example.test"].people.get_content()
    finally:
        main.write_text(before)
        world.gateway.cli("reload")
        world.gateway.cli("queue", "delete", "--everything")
        world.gateway.cli("resume", "domain", "late.test")


def test_smtputf8_goes_where_it_is_offered_and_bounces_where_not(world):
    submit(world, [
        job("utf8", " SMTPUTF8 BODY=8BITMIME", [("jörg@example.test", "")], body="grün"),
        job("utf8-lost", " SMTPUTF8 BODY=8BITMIME", [("jörg@nodsn.test", " ORCPT=utf-8;J\\x{F6}rg@orig.test")],
            sender="absender@example.test"),
        job("utf8-ascii", " SMTPUTF8", [("reader@nodsn.test", "")])])
    world.gateway.wait_empty(60)
    peers.wait_until(lambda: any(b"Subject: utf8\n" in p.read_bytes() for p in world.knows.delivered()), 30, "the mail")
    mail = next(p.read_bytes() for p in world.knows.delivered() if b"Subject: utf8\n" in p.read_bytes())
    assert "Delivered-To: jörg@example.test".encode() in mail or "jörg@example.test".encode() in mail
    assert b" with UTF8SMTP id " in mail
    peers.wait_until(lambda: "utf8-lost" in reports(world), 30, "the notification")
    report, = reports(world)["utf8-lost"]
    assert report.status.get_content_type() == "message/global-delivery-status"
    assert report.recipients[0]["Final-Recipient"] == "utf-8; jörg@nodsn.test"
    assert report.recipients[0]["Original-Recipient"] == "utf-8; Jörg@orig.test"
    assert report.recipients[0]["Status"] == "5.6.7"
    peers.wait_until(lambda: any(b"Subject: utf8-ascii\n" in p.read_bytes() for p in world.lacks.delivered()), 30,
                     "mail that needs nothing")


def test_a_bad_template_is_named_with_its_line(world, build):
    conf = world.folder / "bad"
    conf.mkdir()
    (conf / "b.cf").write_text("failure_template = <<EOF\nSubject: x\n\ntext\nEOF\nwhatever\n")
    main = (world.gateway.conf / "main.cf").read_text()
    (conf / "main.cf").write_text(main + f"bounce_template_file = {conf}/b.cf\n")
    done = subprocess.run([build / "tools/penstock/penstock", "-c", conf, "config", "check"], capture_output=True,
                          text=True)
    assert done.returncode == 1
    assert f"{conf}/b.cf:6: error: whatever: accepted is failure_template" in done.stderr
