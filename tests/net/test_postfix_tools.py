# SPDX-License-Identifier: BSD-3-Clause
"""mailq, postqueue, postsuper and qshape beside Postfix's own: the same options, lines of the same shape."""

import json
import os
import re
import subprocess

import peers
import penstock_run as run
import pytest

MAIL = [("a@bulk.example", ["x@one.test", "y@two.test"]), ("", ["z@one.test"]), ("c@sub.other.example", ["q@three.test"])]


class Ours:
    def __init__(self, gateway):
        self.gateway = gateway
        self.folder = gateway.base / "bin"
        self.folder.mkdir()
        for name in ("mailq", "postqueue", "postsuper", "qshape"):
            (self.folder / name).symlink_to(gateway.build / "tools/penstock/penstock")

    def run(self, name, *args, text=None):
        env = {**os.environ, "MAIL_CONFIG": str(self.gateway.conf), "TZ": "UTC"}
        return subprocess.run([self.folder / name, *map(str, args)], capture_output=True, text=True, input=text, env=env,
                              timeout=30)


class Theirs:
    def __init__(self, postfix):
        self.postfix = postfix

    def run(self, name, *args, text=None):
        conf = [] if name == "mailq" else ["-c", self.postfix.conf]
        return subprocess.run(["ip", "netns", "exec", self.postfix.ns.name, name, *map(str, conf), *map(str, args)],
                              capture_output=True, text=True, input=text, env={**os.environ, "TZ": "UTC"}, timeout=30)


@pytest.fixture
def ours(pair, submit):
    _sink, gateway = pair("-r", "RCPT:100", "-b", "450 4.2.1 come back later", minimal_backoff_time="300s")
    for sender, recipients in MAIL:
        submit(gateway, sender=sender, recipients=recipients)
    run.wait_until(lambda: gateway.json("status")["queue"]["deferred"] == 3, 20, "three deferred messages", gateway.alive)
    return Ours(gateway)


@pytest.fixture
def theirs(folder, closing):
    ns = closing(peers.Namespace("pntools"))
    ns.run("ip", "link", "set", "lo", "up")
    postfix = closing(peers.Postfix(ns, folder / "postfix", "127.0.0.1", extra=[
        "defer_transports = smtp", "enable_long_queue_ids = yes", "relayhost = [127.0.0.9]",
        "smtpd_relay_restrictions =", "smtpd_recipient_restrictions = permit_mynetworks, reject"]))
    for sender, recipients in MAIL:
        script = f"import smtplib; smtplib.SMTP('127.0.0.1', 25).sendmail({sender!r}, {recipients!r}, 'Subject: x\\n\\nx\\n')"
        subprocess.run(["ip", "netns", "exec", ns.name, "/usr/bin/python3", "-c", script], check=True, timeout=120)
    there = Theirs(postfix)
    peers.wait_until(lambda: there.run("postqueue", "-j").stdout.count('"deferred"') == 3, 20, "three deferred messages")
    return there


def shape(text):
    """What is the same on both sides: ids, times, sizes and reasons taken out, lines in an order of their own."""
    text = re.sub(r"^[0-9A-Za-z]{10,20}([ *!#])", lambda m: "ID" + m[1], text, flags=re.M)
    text = re.sub(r"(?<=ID[ *!#]) +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d (?=\S)", " SIZE TIME ", text)
    text = re.sub(r"^ *\(.*\)$", "(REASON)", text, flags=re.M)
    text = re.sub(r"-- \d+ Kbytes", "-- N Kbytes", text)
    return sorted(text.split("\n\n"))


def ids(tools):
    return {e["recipients"][0]["address"]: e["queue_id"] for e in map(json.loads, tools.run("postqueue", "-j").stdout.splitlines())}


def test_the_queue_looks_the_same(ours, theirs):
    mine, other = ours.run("postqueue", "-p"), theirs.run("postqueue", "-p")
    assert mine.returncode == other.returncode == 0
    head = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
    assert mine.stdout.startswith(head) and other.stdout.startswith(head)
    assert shape(mine.stdout.removeprefix(head)) == shape(other.stdout.removeprefix(head))
    assert ours.run("mailq").stdout == mine.stdout
    columns = [[m.start() for m in re.finditer(r"\S+", next(line for line in text.splitlines() if "MAILER-DAEMON" in line))][-1]
               for text in (mine.stdout, other.stdout)]
    assert columns[0] == columns[1] == 47


def test_json_has_the_same_members_in_the_same_order(ours, theirs):
    mine = [json.loads(line) for line in ours.run("postqueue", "-j").stdout.splitlines()]
    other = [json.loads(line) for line in theirs.run("postqueue", "-j").stdout.splitlines()]
    assert [list(e) for e in mine] == [list(e) for e in other]
    assert [list(r) for e in mine for r in e["recipients"]] == [list(r) for e in other for r in e["recipients"]]
    assert sorted(e["sender"] for e in mine) == sorted(e["sender"] for e in other)
    assert sorted(type(v).__name__ for e in mine for v in e.values()) == sorted(
        type(v).__name__ for e in other for v in e.values())


@pytest.mark.parametrize("args", [["deferred"], ["-s", "deferred"], ["-b", "4", "-t", "1", "deferred"],
                                  ["-p", "-m", "1", "deferred"], ["-s", "-p", "-m", "1", "-b", "3", "deferred", "active"],
                                  ["-l", "-b", "3", "deferred"], ["-w", "120", "deferred"], ["hold"], []])
def test_qshape_prints_the_same(ours, theirs, args):
    def rows(text):  # those with the same count and length come in any order
        lines = text.splitlines()
        return lines[:2], sorted(lines[2:])

    mine, other = ours.run("qshape", *args), theirs.run("qshape", *args)
    assert mine.returncode == other.returncode == 0, mine.stderr
    assert rows(mine.stdout) == rows(other.stdout)


def said(done, tools):
    text = "".join(line + "\n" for line in done.stderr.splitlines() if "warning" not in line)
    for address, queue_id in tools.known.items():
        text = text.replace(queue_id, f"<{address}>")
    return done.returncode, text


def test_postsuper_does_and_says_the_same(ours, theirs):
    steps = [
        (["-h", "x@one.test"], None), (["-h", "x@one.test", "-h", "z@one.test"], None), (["-H", "x@one.test"], None),
        (["-d", "-"], "q@three.test"), (["-d", "nosuchid"], None),
        (["-H", "ALL"], None), (["-d", "ALL", "nosuch"], None),
        (["-d", "ALL", "deferred", "hold", "incoming", "active"], None)]
    for tools in (ours, theirs):
        tools.known = ids(tools)
    for args, text in steps:
        found = []
        for tools in (ours, theirs):
            words = [tools.known.get(a, a) for a in args]
            given = tools.known[text] + "\n" if text else None
            found.append(said(tools.run("postsuper", *words, text=given), tools))
        # A message that is on hold already, and names of queues: Postfix is short about them.
        mine, other = (re.sub(r": nosuch$", "", t, flags=re.M) for _code, t in found)
        if args[:2] == ["-h", "x@one.test"] and len(args) == 4:
            assert "<z@one.test>: placed on hold" in mine and "<z@one.test>: placed on hold" in other
            continue
        assert (found[0][0], mine) == (found[1][0], other), args
    assert ours.run("postsuper", "-r", "ALL").stderr == "postsuper: Requeued: 0 messages\n"
    assert ours.run("postqueue", "-p").stdout == theirs.run("postqueue", "-p").stdout == "Mail queue is empty\n"


def test_marks_for_hold_and_forced_expiry(ours):
    known = ids(ours)
    ours.run("postsuper", "-h", known["q@three.test"])
    text = ours.run("mailq").stdout
    assert f"{known['q@three.test']}!" in text
    ours.run("postsuper", "-e", known["x@one.test"])
    run.wait_until(lambda: known["x@one.test"] not in ours.run("mailq").stdout, 20, "its end", ours.gateway.alive)
    ours.run("postsuper", "-f", known["q@three.test"])
    run.wait_until(lambda: known["q@three.test"] not in ours.run("mailq").stdout, 20, "its end", ours.gateway.alive)


def test_postqueue_flushes(ours):
    def attempts(address):
        (entry,) = ours.gateway.json("queue", "list", "--recipient", address)
        return entry["recipients"][0]["attempts"]

    known = ids(ours)
    assert ours.run("postqueue", "-i", known["z@one.test"]).returncode == 0
    run.wait_until(lambda: attempts("z@one.test") == 2, 20, "a second attempt", ours.gateway.alive)
    assert attempts("q@three.test") == 1
    assert ours.run("postqueue", "-s", "three.test").returncode == 0
    run.wait_until(lambda: attempts("q@three.test") == 2, 20, "a second attempt", ours.gateway.alive)
    assert ours.run("postqueue", "-f").returncode == 0
    run.wait_until(lambda: attempts("z@one.test") == 3, 20, "a third attempt", ours.gateway.alive)


def test_usage_and_a_daemon_that_is_down_have_postfix_exit_codes(ours, theirs):
    for args in ([], ["-p", "-j"], ["-x"], ["-p", "word"]):
        mine, other = ours.run("postqueue", *args), theirs.run("postqueue", *args)
        assert mine.returncode == other.returncode == 69, args
    assert ours.run("postsuper", "-x").returncode == theirs.run("postsuper", "-x").returncode == 1
    ours.gateway.stop()
    assert ours.run("mailq").returncode == 69
    assert ours.run("postqueue", "-f").returncode == 69
