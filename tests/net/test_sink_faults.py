# SPDX-License-Identifier: BSD-3-Clause
"""A receiver that fails in every way it can: each message is delivered once, or its sender hears of it."""

import os
import re
import time

import penstock_run as run
import pytest

MESSAGES = 1000
FAULTS = ["-r", "CONNECT:2,EHLO:1,MAIL:3,RCPT:8,DATA:3,.:3", "-f", "RCPT:4,DATA:1,.:2",
          "-q", "CONNECT:1,EHLO:1,MAIL:1,RCPT:1,DATA:1,.:1", "-Q", "MAIL:1,.:1", "-W", "RCPT:0.002:50"]


def content_of(path):
    """Whether it is a notification, and the number of the message or of the one it is about."""
    content = path.read_bytes()
    number = int(re.search(rb"X-Penstock-Id: f-(\d+)", content)[1])
    return b"multipart/report" in content.split(b"\r\n\r\n", 1)[0], number


@pytest.mark.long
def test_every_message_is_delivered_once_or_its_sender_is_notified(build, folder, pair, closing):
    seed = int(os.environ.get("PENSTOCK_SEED", time.time_ns() % 10**9))
    print(f"PENSTOCK_SEED={seed}")
    sink, gateway = pair(*FAULTS, "--seed", seed, "--dump-dir", folder / "dump", minimal_backoff_time="1s",
                         maximal_backoff_time="1s", in_doubt_policy="retry")
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", MESSAGES, "-l", 3000, "--run", "f",
                                "--first", 1, "-f", "sender@bulk.example", "-t", "r@example.test"))
    assert source.result(60)["accepted"] == MESSAGES
    gateway.wait_empty(90)
    status, totals, queue = sink.status(fresh=True), gateway.json("status")["totals"], gateway.json("status")["queue"]
    print({k: status[k] for k in ("messages", "unique", "duplicates", "rejects_soft", "rejects_hard", "dropped")}, totals)
    assert totals["accepted"] == queue["recipients"] + totals["delivered"] + totals["bounced"] + totals["expired"] + \
        totals["deleted"]
    assert queue["recipients"] == totals["expired"] == totals["deleted"] == 0
    assert status["corrupted"] == status["duplicates"] == status["dump_failed"] == 0
    assert status["rejects_hard"] > 20 and status["rejects_soft"] > 50 and status["dropped"] > 20

    found = [content_of(p) for p in (folder / "dump").glob("*.eml")]
    delivered = [n for notification, n in found if not notification]
    notified = [n for notification, n in found if notification]
    assert len(set(delivered)) == len(delivered) == totals["delivered"] - len(notified)
    assert len(set(notified)) == len(notified)
    assert not set(delivered) & set(notified)
    # The receiver also refuses notifications for good; each of these is in the mail log.
    log = gateway.log.read_text()
    notifications = set(re.findall(r"sender non-delivery notification: (\w+)", log))
    refused = {i for i in notifications if re.search(rf"\b{i}: to=<sender@bulk\.example>.*status=bounced", log)}
    assert len(notifications) == len(notified) + len(refused)
    assert len(delivered) + len(notified) + len(refused) == MESSAGES
    assert totals["bounced"] == len(notifications) + len(refused)
    assert totals["accepted"] == MESSAGES + len(notifications)
