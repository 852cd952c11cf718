# SPDX-License-Identifier: BSD-3-Clause
"""Damage on the disk costs the damaged message, is reported and kept, and nothing else."""

import re

import penstock_run as run
import pytest

MESSAGES = 200


def flip_inside_one_message(spool, number, run_name):
    """Inverts 16 bytes of the body of one message. Returns the segment file and where."""
    mark = f"X-Penstock-Id: {run_name}-{number}\r\n".encode()
    for path in sorted(spool.glob("seg-*")):
        data = path.read_bytes()
        at = data.find(mark)
        if at < 0:
            continue
        at = data.index(b"\r\n\r\n", at) + 1000
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(bytes(b ^ 0xFF for b in data[at:at + 16]))
        return path, at
    raise AssertionError(f"message {number} is not in the spool")


@pytest.fixture
def queued(build, folder, closing):
    """A gateway whose spool is full of mail that its receiver did not take, and how to end both."""
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif, "-r", "RCPT:100"))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}))
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 4, "-m", MESSAGES, "-l", 4096, "--run", "c",
                                "--first", 1, "-f", "s@bulk.example", "-t", "r@example.test"))
    assert source.result(60)["accepted"] == MESSAGES

    def end(how):
        # A clean stop leaves a table of contents, a crash does not: they are read in different ways.
        {"stop": gateway.stop, "kill": gateway.kill}[how]()
        sink.stop()

    gateway.end = end
    return gateway


def restart(build, folder, gateway):
    """With a receiver that takes mail; what it has then, in the end."""
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif, "--dump-dir", folder / "dump")
    try:
        gateway.start()
        gateway.wait_empty()
        status, corrupt = sink.status(fresh=True), gateway.json("status")["spool"]["corrupt"]
        gateway.stop()
    finally:
        sink.stop()
    numbers = set()
    for path in (folder / "dump").glob("*.eml"):
        found = re.search(rb"X-Penstock-Id: c-(\d+)", path.read_bytes())
        numbers.add(int(found[1]) if found else None)
    return status, corrupt, numbers


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_damaged_record_is_set_aside_and_all_other_mail_is_delivered(build, folder, queued, end):
    queued.end(end)
    path, at = flip_inside_one_message(queued.spool, 77, "c")
    status, corrupt, numbers = restart(build, folder, queued)
    assert corrupt >= 1
    said = queued.said()
    found = re.search(rf"{path.name}: (\d+) damaged bytes at offset (\d+).*set aside in (\S+)", said)
    assert found, said
    length, offset, kept = int(found[1]), int(found[2]), queued.spool / found[3]
    assert offset <= at < offset + length
    # One record, not the batch that it came in.
    assert length < 3 * 4096
    assert kept.parent.name == "corrupt" and kept.stat().st_size == length
    assert b"X-Penstock-Id: c-77\r\n" in kept.read_bytes()
    assert set(range(1, MESSAGES + 1)) - numbers == {77}
    assert (status["unique"], status["duplicates"], status["corrupted"]) == (MESSAGES - 1, 0, 0)
    # Where the envelope is still known its sender is told.
    assert (None in numbers) == (end == "stop")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_damaged_segment_header_loses_no_mail(build, folder, queued, end):
    queued.end(end)
    used = next(p for p in sorted(queued.spool.glob("seg-*")) if b"X-Penstock-Id: " in p.read_bytes())
    with open(used, "r+b") as f:
        f.write(b"\xff" * 64)
    status, _corrupt, numbers = restart(build, folder, queued)
    assert re.search(rf"{used.name}: \d+ damaged bytes at offset 0\b", queued.said()), queued.said()
    assert numbers == set(range(1, MESSAGES + 1))
    assert (status["unique"], status["duplicates"], status["corrupted"]) == (MESSAGES, 0, 0)
