# SPDX-License-Identifier: BSD-3-Clause
"""sendmail, as programs call it."""

import os
import subprocess

import penstock_run as run
import pytest

EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_TEMPFAIL = 64, 65, 69, 75


class Sendmail:
    def __init__(self, build, gateway, sink, dump):
        self.build, self.gateway, self.sink, self.dump = build, gateway, sink, dump
        self.expected = 0

    def run(self, *args, text="", name="sendmail"):
        return subprocess.run([name, "-C", self.gateway.conf, *args], executable=self.build / "tools/sendmail/sendmail",
                              input=text.encode() if isinstance(text, str) else text, capture_output=True, timeout=30)

    def sent(self, *args, text=""):
        """Sends one message and returns it as the receiver got it."""
        done = self.run(*args, text=text)
        assert (done.returncode, done.stderr) == (0, b"")
        self.expected += 1
        run.wait_until(lambda: self.sink.status()["messages"] == self.expected, 20, "the message", self.gateway.alive)
        return sorted(self.dump.glob("*.eml"))[-1].read_bytes()

    def recipients(self):
        self.gateway.wait_empty()
        sent = [line for line in self.gateway.log.read_text().splitlines() if "status=sent" in line]
        return sorted(line.split("to=<")[1].split(">")[0] for line in sent)


@pytest.fixture
def sendmail(build, folder, pair):
    sink, gateway = pair("--dump-dir", folder / "dump")
    return Sendmail(build, gateway, sink, folder / "dump")


def to(sendmail, *wanted):
    run.wait_until(lambda: sendmail.recipients() == sorted(wanted), 10, f"mail for {wanted}")


def test_recipients_come_from_the_arguments(sendmail):
    content = sendmail.sent("-f", "me@bulk.example", "a@example.test", "b@example.test",
                            text="To: somebody@else.test\nSubject: args\n\nbody\n")
    assert b"\r\nTo: somebody@else.test\r\nSubject: args\r\n" in content
    to(sendmail, "a@example.test", "b@example.test")
    assert "from=<me@bulk.example>" in sendmail.gateway.log.read_text()


def test_t_takes_recipients_from_the_header_and_removes_bcc(sendmail):
    content = sendmail.sent("-t", "-f", "me@bulk.example", text=(
        "From: me@bulk.example\nTo: A <a@example.test>,\n \"B, b\" <b@example.test>\nCc: c@example.test\n"
        "Bcc: secret@example.test,\n hidden@example.test\nSubject: t\n\nBcc: not a header here\n"))
    assert b"secret" not in content and b"hidden" not in content
    assert b"\r\nCc: c@example.test\r\nSubject: t\r\n" in content
    assert content.endswith(b"\r\n\r\nBcc: not a header here\r\n")
    to(sendmail, *(f"{n}@example.test" for n in ("a", "b", "c", "hidden", "secret")))


def test_bare_line_feeds_become_line_ends_and_crlf_stays(sendmail):
    content = sendmail.sent("-f", "me@bulk.example", "a@example.test", text="Subject: x\n\none\ntwo\r\nthree")
    assert content.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\n")


def test_a_dot_ends_the_input_unless_i_is_given(sendmail):
    text = "Subject: dots\n\nbefore\n.hidden\n..\n.\nafter\n"
    content = sendmail.sent("-f", "me@bulk.example", "a@example.test", text=text)
    assert content.endswith(b"\r\n\r\nbefore\r\n.hidden\r\n..\r\n")
    for option in ("-i", "-oi"):
        content = sendmail.sent(option, "-f", "me@bulk.example", "a@example.test", text=text)
        assert content.endswith(b"\r\n\r\nbefore\r\n.hidden\r\n..\r\n.\r\nafter\r\n")


def test_a_message_without_from_gets_one(sendmail):
    content = sendmail.sent("-F", "Me Myself", "-f", "me@bulk.example", "a@example.test", text="Subject: x\n\nx\n")
    assert b'\r\nFrom: "Me Myself" <me@bulk.example>\r\nSubject: x\r\n' in content


def test_requests_of_the_command_line_reach_the_gateway(sendmail):
    content = sendmail.sent("-N", "failure,delay", "-R", "hdrs", "-V", "id=1", "-O", "QueueDirectory=/x", "-f",
                            "me@bulk.example", "a@example.test", text="Subject: x\n\nx\n")
    assert b"Require-TLS-ESMTP" not in content
    done = sendmail.run("-N", "sometimes", "-O", "requiretls=maybe", "-O", "smtputf8=yes", "-f", "me@bulk.example",
                        "a@example.test", text="Subject: x\n\nx\n")
    assert done.returncode == 0
    assert [line.split(b": ")[1] for line in done.stderr.splitlines()] == [b"warning"] * 2


def test_mistakes_have_the_exit_codes_of_sysexits(sendmail):
    assert sendmail.run(text="Subject: x\n\nx\n").returncode == EX_USAGE
    assert sendmail.run("-Z", "a@example.test").returncode == EX_USAGE
    assert sendmail.run("-bs").returncode == EX_USAGE
    assert sendmail.run("-O", "requiretls", "a@example.test").returncode == EX_USAGE
    assert sendmail.run("-t", text="To: <broken\n\nx\n").returncode == EX_DATAERR
    done = sendmail.run("-f", "me@bulk.example", "a@example.test", text="Subject: x\n\n" + "x" * 78 + "\n" * 11000000)
    assert done.returncode == EX_UNAVAILABLE and b"5.3.4" in done.stderr


def test_a_daemon_that_is_down_is_a_temporary_failure(sendmail):
    sendmail.gateway.stop()
    done = sendmail.run("-f", "me@bulk.example", "a@example.test", text="Subject: x\n\nx\n")
    assert done.returncode == EX_TEMPFAIL
    assert done.stderr.startswith(b"sendmail: cannot connect to 127.0.0.1 port ")


def test_a_target_can_be_named_by_option_and_environment(sendmail, monkeypatch):
    port = sendmail.gateway.port
    sendmail.sent("-C", "/nonexistent", "-S", f"127.0.0.1:{port}", "-f", "me@bulk.example", "a@example.test", text="\nx\n")
    monkeypatch.setenv("PENSTOCK_SUBMISSION", f"127.0.0.1:{port}")
    sendmail.sent("-C", "/nonexistent", "-f", "me@bulk.example", "a@example.test", text="\nx\n")


def test_mailq_lists_the_queue_and_newaliases_succeeds(sendmail, monkeypatch):
    # Installed, penstock stands beside sendmail; in a build folder the path has to find it.
    monkeypatch.setenv("PATH", f"{sendmail.build}/tools/penstock:{os.environ['PATH']}")
    assert sendmail.run(name="mailq").stdout == b"Mail queue is empty\n"
    assert sendmail.run("-bp").stdout == b"Mail queue is empty\n"
    assert sendmail.run(name="newaliases").returncode == 0


def test_postfix_commands_are_penstocks(sendmail, monkeypatch):
    monkeypatch.setenv("PATH", f"{sendmail.build}/tools/penstock:{os.environ['PATH']}")
    monkeypatch.setenv("MAIL_CONFIG", str(sendmail.gateway.conf))

    def call(*words):
        return subprocess.run(words, executable=sendmail.build / "tools/sendmail/sendmail", capture_output=True, timeout=30)

    assert call("postqueue", "-p").stdout == b"Mail queue is empty\n"
    assert call("postsuper", "-d", "ALL").stderr == b"postsuper: Deleted: 0 messages\n"
    assert b" TOTAL " in call("qshape").stdout
