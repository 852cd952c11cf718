# SPDX-License-Identifier: BSD-3-Clause
"""header_checks decide over mail as it comes in."""

import smtplib

import penstock_run as run
import pytest

TABLE = """\
/^Subject: .*\\bviagra\\b/            REJECT 5.7.1 no such goods here
/^X-Hold: yes/                      HOLD for a look
/^X-Discard: (.*)$/                 DISCARD because of $1
/^X-Warn: (.*)$/                    WARN seen $1
/^List-Id: <(.*)>/                  PREPEND X-Campaign: $1
"""


@pytest.fixture
def world(folder, pair):
    table = folder / "header_checks"
    table.write_text(TABLE)
    sink, gateway = pair("--dump-dir", folder / "dump", header_checks=f"pcre:{table}")
    return sink, gateway, folder / "dump"


def logged(gateway, text):
    run.wait_until(lambda: text in gateway.log.read_text(), 10, f"{text!r} in the mail log", gateway.alive)


def test_rejected_mail_gets_the_tables_text_and_the_session_goes_on(world):
    sink, gateway, _dump = world
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.sendmail("s@bulk.example", "r@example.test", "Subject: cheap Viagra now\r\n\r\nx\r\n")
        assert refusal.value.smtp_code == 550
        assert refusal.value.smtp_error == b"5.7.1 no such goods here"
        client.sendmail("s@bulk.example", "r@example.test", "Subject: fine\r\n\r\nviagra in the body\r\n")
    gateway.wait_empty()
    assert gateway.json("status")["totals"]["accepted"] == 1
    logged(gateway, "reject: header Subject: cheap Viagra now from unknown[127.0.0.1]; from=<s@bulk.example> "
                    "to=<r@example.test> proto=ESMTP")


def test_a_folded_header_is_matched_as_one_line(world):
    _sink, gateway, _dump = world
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
        with pytest.raises(smtplib.SMTPDataError):
            client.sendmail("s@bulk.example", "r@example.test", "Subject: cheap\r\n Viagra\r\n\r\nx\r\n")


def test_held_mail_shows_in_the_queue_and_is_not_delivered(world, submit):
    sink, gateway, _dump = world
    submit(gateway, "X-Hold: yes\r\nSubject: held\r\n\r\nx\r\n")
    submit(gateway, "Subject: free\r\n\r\nx\r\n")
    run.wait_until(lambda: gateway.queued() == 1, 20, "the other message to leave", gateway.alive)
    (entry,) = gateway.json("queue", "list")
    assert entry["queue_name"] == "hold"
    assert gateway.json("status")["queue"]["held"] == 1
    assert f"{entry['queue_id']}!" in gateway.cli("queue", "list").stdout
    gateway.cli("queue", "flush")
    # A restart must not let it out either.
    gateway.stop()
    gateway.start()
    submit(gateway, "Subject: free too\r\n\r\nx\r\n")
    run.wait_until(lambda: sink.status()["messages"] == 2, 20, "the third message at the sink", gateway.alive)
    (again,) = gateway.json("queue", "list")
    assert (again["queue_name"], again["queue_id"]) == ("hold", entry["queue_id"])
    logged(gateway, f"{entry['queue_id']}: hold: ")
    gateway.cli("queue", "delete", entry["queue_id"])
    gateway.wait_empty()


def test_discarded_mail_is_accepted_and_never_seen_again(world, submit):
    sink, gateway, _dump = world
    assert submit(gateway, "X-Discard: old news\r\n\r\nx\r\n") == {}
    submit(gateway, "Subject: fine\r\n\r\nx\r\n")
    run.wait_until(lambda: sink.status()["messages"] == 1, 20, "the other message at the sink", gateway.alive)
    assert gateway.json("status")["totals"]["accepted"] == 1
    logged(gateway, "because of old news")


def test_a_warning_is_logged_and_the_mail_goes_on(world, submit):
    sink, gateway, _dump = world
    submit(gateway, "X-Warn: odd thing\r\n\r\nx\r\n")
    run.wait_until(lambda: sink.status()["messages"] == 1, 20, "the message at the sink", gateway.alive)
    logged(gateway, "warning: header X-Warn: odd thing from unknown[127.0.0.1]; from=<s@bulk.example> "
                    "to=<r@example.test> proto=ESMTP")
    logged(gateway, ": seen odd thing")


def test_a_prepended_header_arrives_in_front_of_the_one_that_asked_for_it(world, submit):
    sink, gateway, dump = world
    submit(gateway, "Subject: news\r\nList-Id: <spring.bulk.example>\r\nX-Last: 1\r\n\r\nbody\r\n")
    run.wait_until(lambda: sink.status()["messages"] == 1, 20, "the message at the sink", gateway.alive)
    (path,) = dump.glob("*.eml")
    content = path.read_bytes()
    assert b"Subject: news\r\nX-Campaign: spring.bulk.example\r\nList-Id: <spring.bulk.example>\r\nX-Last: 1\r\n" in content
    assert content.endswith(b"\r\n\r\nbody\r\n")
