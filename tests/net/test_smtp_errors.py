# SPDX-License-Identifier: BSD-3-Clause
"""What clients do wrong on the submission port is refused, and the session goes on."""

import email
import pathlib

import penstock_run as run
import pytest
from raw_smtp import Session

pytestmark = pytest.mark.xdist_group("smtp_errors")  # they share what a fixture of the file started

SIZE_LIMIT = 100000
RECIPIENTS = 5


@pytest.fixture(scope="module")
def world(build, module_folder):
    """One gateway and one sink for all tests here; the sink keeps what it gets."""
    folder = module_folder
    sink = gateway = None
    try:
        sink = run.Sink(build, folder, folder / "memif.sock", "--dump-dir", folder / "dump")
        gateway = run.Gateway(build, folder / "gateway", run.memif_device(folder / "memif.sock"), settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", "message_size_limit": SIZE_LIMIT,
            "smtpd_recipient_limit": RECIPIENTS, "smtpd_hard_error_limit": 6, "smtpd_soft_error_limit": 5})
        gateway.dump = folder / "dump"
        yield gateway
    finally:
        for p in (gateway, sink):
            if p is not None:
                p.stop()


@pytest.fixture
def session(world, closing):
    return closing(Session(world.port))


def arrived(gateway, subject):
    """The messages with this subject at the sink, once the gateway has nothing left to do."""
    gateway.wait_empty(20)
    found = []
    for path in sorted(pathlib.Path(gateway.dump).glob("*.eml")):
        content = path.read_bytes()
        if email.message_from_bytes(content)["Subject"] == subject:
            found.append(content)
    return found


WRONG = [
    ("FROBNICATE", "502 5.5.2"), ("EHLO", "501 "), ("HELO", "501 "), ("EHLO a b", "501 "), ("EHLO <x>", "501 "),
    ("MAIL", "501 5.5.4"), ("MAIL FROM:", "501 5."), ("MAIL TO:<a@b.example>", "501 5.5.4"),
    ("MAIL FROM:<a@b.example", "501 5."), ("MAIL FROM:<a b@c.example>", "501 5."),
    ("MAIL FROM:<a@b.example> SIZE=many", "501 5.5.4"), ("MAIL FROM:<a@b.example> NOSUCH=1", "555 5.5.4"),
    ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4"), ("RCPT TO:<a@b.example>", "503 5.5.1"),
    ("RCPT", "503 5.5.1"), ("DATA", "503 5.5.1"), ("DATA now", "501 5.5.4"), ("RSET now", "501 5.5.4"),
    ("VRFY", "501 5.5.4"), ("EXPN list", "502 5.5.1"), ("AUTH PLAIN", "5"), ("BDAT 3 LAST", "502 5.5.1"), ("", "5"),
]


@pytest.mark.parametrize(("line", "answer"), WRONG)
def test_a_wrong_command_is_refused_and_the_session_goes_on(session, line, answer):
    session.ask("EHLO client.example")
    assert session.ask(line).startswith(answer)
    assert session.works()


def test_commands_out_of_order_are_refused_with_503_or_554(session):
    session.ask("EHLO client.example")
    assert session.ask("MAIL FROM:<a@b.example>").startswith("250")
    assert session.ask("MAIL FROM:<a@b.example>").startswith("503 5.5.1")
    assert session.ask("DATA").startswith("554 5.5.1")
    assert session.ask("RCPT TO:<>").startswith("501 5.1.3")
    assert session.works()


def test_errors_up_to_the_hard_limit_end_the_session_with_421(session):
    answers = [session.ask("FROBNICATE") for _ in range(6)]
    assert all(a.startswith("502") for a in answers)
    assert session.reply().startswith("421 4.7.0 gateway.example Error: too many errors")
    assert session.at_end()


def test_an_http_client_is_sent_away_with_221_before_it_can_do_harm(session):
    session.send("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<v@example.test>\r\n")
    assert session.reply().startswith("221 2.7.0")
    assert session.at_end()


def test_a_message_announced_as_too_big_is_refused_at_mail(session):
    session.ask("EHLO client.example")
    assert session.ask(f"MAIL FROM:<a@b.example> SIZE={SIZE_LIMIT + 1}").startswith("552 5.3.4")
    assert session.ask(f"MAIL FROM:<a@b.example> SIZE={SIZE_LIMIT}").startswith("250")
    assert session.works()


def test_a_message_that_turns_out_too_big_is_refused_at_its_end(world, session):
    session.begin()
    session.send("Subject: too big\r\n\r\n" + ("x" * 98 + "\r\n") * (SIZE_LIMIT // 100 + 10) + ".\r\n")
    assert session.reply().startswith("552 5.3.4")
    assert session.works()
    assert arrived(world, "too big") == []


def test_recipients_beyond_the_limit_are_put_off_and_the_others_stay(world, session):
    session.ask("EHLO client.example")
    session.ask("MAIL FROM:<s@bulk.example>")
    answers = [session.ask(f"RCPT TO:<r{n}@example.test>") for n in range(RECIPIENTS + 2)]
    assert all(a.startswith("250") for a in answers[:RECIPIENTS])
    assert all(a.startswith("452 4.5.3") for a in answers[RECIPIENTS:])
    assert session.ask("DATA").startswith("354")
    assert session.ask("Subject: many\r\n\r\nx\r\n.").startswith("250")
    gateway_total = arrived(world, "many")
    assert len(gateway_total) == 1


def test_a_command_line_beyond_the_limit_is_refused_once_and_skipped(session):
    session.ask("EHLO client.example")
    session.send("NOOP " + "x" * 20000 + "\r\n")
    assert session.reply().startswith("500 5.5.2")
    assert session.ask("NOOP").startswith("250")
    assert session.works()


def test_garbage_in_a_pipeline_is_answered_line_by_line(session):
    session.send("EHLO client.example\r\nMAIL FROM:<s@bulk.example>\r\nRCPT TO:<\r\nRCPT TO:<r@example.test>\r\n"
                 "GARBAGE\r\nDATA\r\nSubject: p\r\n\r\nx\r\n.\r\nNOSUCH\r\nQUIT\r\n")
    codes = [session.reply()[:3] for _ in range(9)]
    assert codes == ["250", "250", "501", "250", "502", "354", "250", "502", "221"]
    assert session.at_end()


def test_bytes_that_are_no_text_are_refused(session):
    session.ask("EHLO client.example")
    assert session.ask(b"MAIL FROM:<\xff\xfe@b.example>").startswith("5")
    assert session.ask(b"NOOP \x00\x01").startswith(("250", "5"))
    assert session.works()


def test_bare_line_feeds_become_line_ends(world, session):
    session.begin()
    assert session.ask("Subject: bare\n\none\ntwo\r\n.").startswith("250")
    (content,) = arrived(world, "bare")
    assert content.endswith(b"\r\n\r\none\r\ntwo\r\n")


@pytest.mark.parametrize("end", ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\n.\r"])
def test_only_crlf_dot_crlf_ends_a_message(world, session, end):
    subject = "smuggled " + end.encode().hex()
    session.begin()
    session.send(f"Subject: {subject}\r\n\r\nbefore{end}MAIL FROM:<evil@bulk.example>\r\n"
                 f"RCPT TO:<victim@example.test>\r\nDATA\r\nSubject: second {subject}\r\n\r\nevil\r\n.\r\n")
    assert session.reply().startswith("250 2.0.0 Ok: queued as ")
    assert session.ask("NOOP").startswith("250")
    (content,) = arrived(world, subject)
    assert b"\r\nRCPT TO:<victim@example.test>\r\nDATA\r\n" in content
    # What went on to the next server did not end early there either.
    assert content.endswith(b"\r\nevil\r\n")
    assert arrived(world, f"second {subject}") == []
    assert "to=<victim@example.test>" not in world.log.read_text()


def test_a_stranger_may_not_relay(build, folder, closing):
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "mynetworks": "192.0.2.0/24"}))
    session = closing(Session(gateway.port))
    session.ask("EHLO client.example")
    assert session.ask("MAIL FROM:<a@b.example>").startswith("250")
    assert session.ask("RCPT TO:<r@example.test>") == "554 5.7.1 <r@example.test>: Relay access denied"
    assert session.ask("DATA").startswith("554 5.5.1")
    assert session.ask("NOOP").startswith("250")
    line = "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1"
    run.wait_until(lambda: line in gateway.log.read_text(), 10, "the refusal in the mail log")
    assert sink.status()["messages"] == 0
