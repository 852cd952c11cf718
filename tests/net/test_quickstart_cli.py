# SPDX-License-Identifier: BSD-3-Clause
"""The penstock command against a running daemon: every verb, as text and as JSON, and its exit status."""

import json
import subprocess

import penstock_run as run
import pytest

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3


@pytest.fixture
def queue(pair, submit):
    """A gateway with three messages that nobody takes, and their queue ids."""
    _sink, gateway = pair("-r", "RCPT:100", "-b", "450 4.2.1 come back later", minimal_backoff_time="300s")
    for n in range(3):
        submit(gateway, f"Subject: {n}\r\n\r\nx\r\n", recipients=[f"r{n}@example.test"])
    run.wait_until(lambda: gateway.json("status")["queue"]["deferred"] == 3, 20, "three deferred messages", gateway.alive)
    return gateway, [e["queue_id"] for e in gateway.json("queue", "list")]


def test_status_tells_the_same_as_text_and_as_json(queue):
    gateway, _ids = queue
    found = gateway.json("status")
    assert found["pid"] == gateway.process.pid
    assert found["totals"] == {"accepted": 3, "delivered": 0, "deferred": 3, "bounced": 0, "expired": 0, "deleted": 0,
                               "in_doubt": 0}
    assert (found["queue"]["messages"], found["queue"]["recipients"]) == (3, 3)
    assert found["spool"]["messages"] == 3
    text = gateway.cli("status").stdout
    assert text.startswith("penstockd ") and "accepted 3 " in text and "messages 3 " in text


def test_queue_list_shows_every_message_with_its_reason(queue):
    gateway, ids = queue
    entries = gateway.json("queue", "list")
    assert [e["recipients"][0]["address"] for e in entries] == [f"r{n}@example.test" for n in range(3)]
    for entry in entries:
        assert entry["queue_name"] == "deferred"
        assert entry["sender"] == "s@bulk.example"
        assert entry["message_size"] > 0
        assert "450 4.2.1 come back later" in entry["recipients"][0]["delay_reason"]
    text = gateway.cli("queue", "list").stdout
    assert text.splitlines()[0].startswith("----Queue ID-----")
    assert all(i in text for i in ids)
    assert text.splitlines()[-1].endswith(" in 3 Requests.")


def test_a_queue_longer_than_one_page_is_listed_whole_and_deleted_whole(pair, build, folder, closing):
    _sink, gateway = pair("-r", "CONNECT:100", minimal_backoff_time="300s")
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 4, "-m", 1203, "-l", 100, "-f", "s@bulk.example",
                                "-t", "r@example.test"))
    source.result(60)
    ids = [e["queue_id"] for e in gateway.json("queue", "list")]
    assert len(set(ids)) == len(ids) == 1203
    assert gateway.json("queue", "delete", *ids[:700]) == {"deleted": 700, "missing": []}
    assert gateway.cli("queue", "delete", "ALL").stdout == "503 messages deleted\n"
    gateway.wait_empty(20)
    totals = gateway.json("status")["totals"]
    assert (totals["accepted"], totals["deleted"]) == (1203, 1203)
    assert gateway.cli("queue", "list").stdout == "Mail queue is empty\n"
    assert gateway.json("queue", "list") == []


def test_queue_show_gives_one_message(queue):
    gateway, ids = queue
    found = gateway.json("queue", "show", ids[1])
    assert found["queue_id"] == ids[1]
    (recipient,) = found["recipients"]
    assert (recipient["address"], recipient["attempts"]) == ("r1@example.test", 1)
    assert found["next_attempt"] > found["arrival_time"]
    text = gateway.cli("queue", "show", ids[1]).stdout
    assert "r1@example.test" in text and "450 4.2.1" in text
    missing = gateway.cli("queue", "show", "4aaaaaaaaaaaaa", check=False)
    assert missing.returncode == REFUSED and "no such message" in missing.stderr


def test_queue_flush_tries_deferred_mail_at_once(queue):
    gateway, ids = queue

    def attempts():
        return [e["recipients"][0]["attempts"] for e in gateway.json("queue", "list")]

    assert gateway.cli("queue", "flush", ids[2]).stdout == "1 messages will be tried now\n"
    run.wait_until(lambda: attempts() == [1, 1, 2], 20, "a second attempt", gateway.alive)
    run.wait_until(lambda: gateway.json("status")["queue"]["deferred"] == 3, 20, "its end", gateway.alive)
    assert gateway.json("queue", "flush") == {"flushed": 3}
    run.wait_until(lambda: attempts() == [2, 2, 3], 20, "another attempt of all", gateway.alive)
    missing = gateway.cli("queue", "flush", "4aaaaaaaaaaaaa", check=False)
    assert missing.returncode == REFUSED and "no such message" in missing.stderr


def test_queue_delete_says_which_ids_were_not_there(queue):
    gateway, ids = queue
    assert gateway.cli("queue", "delete", ids[0]).stdout == "1 messages deleted\n"
    done = gateway.cli("queue", "delete", "--json", ids[0], ids[1], "nonsense", check=False)
    assert done.returncode == REFUSED
    assert json.loads(done.stdout) == {"deleted": 1, "missing": [ids[0], "nonsense"]}
    command = [gateway.build / "tools/penstock/penstock", "--socket", gateway.socket, "queue", "delete", "-"]
    done = subprocess.run(command, input=f"{ids[2]}*\n", capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (DONE, "1 messages deleted\n")
    gateway.wait_empty(10)
    assert gateway.json("status")["totals"]["deleted"] == 3
    done = gateway.cli("queue", "show", ids[0], check=False)
    assert (done.returncode, done.stderr) == (REFUSED, f"penstock: {ids[0]}: no such message in the queue\n")
    # The deleted do not come back.
    gateway.stop()
    gateway.start()
    assert gateway.queued() == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_stop_ends_the_daemon_and_keeps_the_queue(queue, as_json):
    gateway, ids = queue
    if as_json:
        assert gateway.json("stop") == {"stopping": True}
    else:
        assert gateway.cli("stop").stdout == "penstockd is stopping\n"
    assert gateway.wait(20) == 0
    for verb in (["status"], ["queue", "list"], ["queue", "flush"], ["queue", "delete", "ALL"], ["stop"]):
        for extra in ([], ["--json"]):
            done = gateway.cli(*verb, *extra, check=False)
            assert done.returncode == UNREACHABLE
            assert "is penstockd running?" in done.stderr
            assert done.stdout == ""
    gateway.start()
    assert [e["queue_id"] for e in gateway.json("queue", "list")] == ids


@pytest.mark.parametrize("words", [
    [], ["nosuch"], ["queue"], ["queue", "nosuch"], ["queue", "show"], ["queue", "show", "a", "b"], ["queue", "delete"],
    ["queue", "flush", "a", "b"], ["queue", "list", "x"], ["status", "x"], ["stop", "x"], ["status", "--nosuch"]])
def test_wrong_usage_is_2_and_does_nothing(build, folder, words):
    done = subprocess.run([build / "tools/penstock/penstock", "--socket", folder / "nobody", *words],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == USAGE
    assert done.stdout == "" and done.stderr


@pytest.mark.parametrize("words", [["status"], ["queue", "list"], ["queue", "show"], ["queue", "flush"],
                                   ["queue", "delete"], ["config", "check"], ["config", "show"], ["stop"]])
def test_every_verb_has_its_own_help(build, words):
    done = subprocess.run([build / "tools/penstock/penstock", *words, "--help"], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == DONE
    assert done.stdout.startswith("usage: penstock [-c DIR] [--socket PATH] " + " ".join(words))
