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


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_damaged_record_is_set_aside_and_all_other_mail_is_delivered(build, folder, closing, end):
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif, "-r", "RCPT:100")
    try:
        gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}))
        source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 4, "-m", MESSAGES, "-l", 4096, "--run", "c",
                                    "--first", 1, "-f", "s@bulk.example", "-t", "r@example.test"))
        assert source.result(60)["accepted"] == MESSAGES
        if end == "kill":
            gateway.kill()
        else:
            gateway.stop()
    finally:
        sink.stop()
    path, at = flip_inside_one_message(gateway.spool, 77, "c")

    sink = closing(run.Sink(build, folder, memif, "--dump-dir", folder / "dump"))
    gateway.start()
    said = gateway.said()
    found = re.search(rf"{path.name}: (\d+) damaged bytes at offset (\d+).*set aside in (\S+)", said)
    assert found, said
    length, offset, kept = int(found[1]), int(found[2]), gateway.spool / found[3].rstrip(".")
    assert offset <= at < offset + length
    # One record, not the batch that it came in.
    assert length < 3 * 4096
    assert kept.parent.name == "corrupt" and kept.stat().st_size == length
    assert b"X-Penstock-Id: c-77\r\n" in kept.read_bytes()
    gateway.wait_empty()
    status = sink.status()
    assert (status["unique"], status["duplicates"], status["corrupted"]) == (MESSAGES - 1, 0, 0)
    numbers = {int(re.search(rb"X-Penstock-Id: c-(\d+)", p.read_bytes())[1]) for p in (folder / "dump").glob("*.eml")}
    assert set(range(1, MESSAGES + 1)) - numbers == {77}
    assert gateway.json("status")["spool"]["corrupt"] >= 1


def test_a_damaged_segment_header_loses_no_mail(build, folder, closing):
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif, "-r", "RCPT:100")
    try:
        gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}))
        source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 4, "-m", MESSAGES, "-l", 4096, "-f",
                                    "s@bulk.example", "-t", "r@example.test"))
        assert source.result(60)["accepted"] == MESSAGES
        gateway.kill()
    finally:
        sink.stop()
    used = [p for p in sorted(gateway.spool.glob("seg-*")) if b"X-Penstock-Id: " in p.read_bytes()]
    with open(used[0], "r+b") as f:
        f.write(b"\xff" * 64)
    sink = closing(run.Sink(build, folder, memif))
    gateway.start()
    assert re.search(rf"{used[0].name}: \d+ damaged bytes at offset 0\b", gateway.said()), gateway.said()
    gateway.wait_empty()
    status = sink.status()
    assert (status["unique"], status["duplicates"], status["corrupted"]) == (MESSAGES, 0, 0)
