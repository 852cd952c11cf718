#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 at random instants, again and again, under load and over a disk that fails; then every copy is accounted for.

    tests/net/crash_campaign.py --build build [--kills 200] [--seed N]

Mail comes in all the time; segments of the spool are small, so that they are reclaimed and mail moves. Some sites answer
slowly, refuse, or break the connection behind the final dot; one is not there at all before the end. Writes and syncs of the
disk fail or take long. After the last kill the disk and the sites are well, and the queue has to become empty. Then:

 - all that a client was told is accepted is at the sink (lost 0), and `penstock audit` balances, with the daemon and without;
 - each further copy at the sink has the kill that explains it: the message before was the last one of its session, that
   session was open at the kill, and its end was not on disk. Whatever has no explanation fails the campaign;
 - each attempt in doubt is one whose session the sink broke behind the final dot, or that a kill of ours cut.

test_crash.py runs a short one.
"""

import argparse
import bisect
import collections
import json
import mmap
import pathlib
import random
import re
import shutil
import struct
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tools/lib")]

import penstock_run as run  # noqa: E402

DOMAINS, ABSENT = 20, 3  # d3 has no server until the end
CONCURRENCY = 50  # all domains are one site
RATE, LENGTH = 200, 3000
WRITE_EIO, WRITE_ENOSPC, SYNC_EIO, READ_EIO, SYNC_SLOW, SLOW_US, GIVEN, SEED = range(8)


class FaultDisk:
    """tests/lib/fault_disk.c in the daemon, and its numbers."""

    def __init__(self, build, folder, seed):
        self.path, self.library = folder / "faults", build / "tests/libfault_disk.so"
        self.path.write_bytes(bytes(32))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 32)
        self.set(SEED, seed & 0xffffffff)

    def env(self):
        return {"LD_PRELOAD": str(self.library), "PENSTOCK_FAULT_DISK": str(self.path)}

    def set(self, which, value):
        struct.pack_into("<I", self.map, which * 4, value)

    def given(self):
        return struct.unpack_from("<I", self.map, GIVEN * 4)[0]

    def draw(self, rng):
        """A disk for the next life: mostly tolerable, at times very bad, sometimes good."""
        bad = rng.choice((0, 1, 1, 1, 10))
        self.set(WRITE_EIO, bad * rng.randrange(10000))
        self.set(WRITE_ENOSPC, bad * rng.randrange(10000))
        self.set(SYNC_EIO, bad * rng.randrange(10000))
        self.set(SYNC_SLOW, bad * rng.randrange(20000))
        self.set(SLOW_US, rng.randrange(1000, 60000))

    def well(self):
        for which in range(SLOW_US):
            self.set(which, 0)


class Ledger:
    """What the sink wrote down, by session and by message."""

    def __init__(self, path):
        self.copies = collections.defaultdict(list)   # X-Penstock-Id: [(time, session)]
        self.refused = collections.Counter()          # the same, of those that it did not take behind the dot
        self.last = {}                                # session: (time, id) of its last message
        self.order = collections.defaultdict(list)    # session: ids
        self.opened, self.closed = {}, {}
        for line in path.read_text().splitlines():
            at, what, session, ident = line.split(" ", 3)
            at, session = int(at) / 1e6, int(session)
            if what == "open":
                self.opened[session] = at
            elif what == "close":
                self.closed[session] = at
            elif what == "message":
                self.copies[ident].append((at, session))
                self.order[session].append((at, ident))
            elif what == "refused":
                self.refused[ident] += 1


class EventLog:
    """Its records by message, with the life of the daemon that each belongs to."""

    def __init__(self, path):
        self.life, self.records, self.unreadable = 0, collections.defaultdict(list), 0
        self.doubts, self.committed = [], set()
        with open(path, errors="replace") as f:
            for line in f:
                try:
                    r = json.loads(line)
                except ValueError:
                    self.unreadable += 1  # a kill cut it
                    continue
                if r["type"] == "Start":
                    self.life += 1
                if r["type"] == "Commit":
                    self.committed.update(r["ids"])
                if "recipient_index" in r:
                    self.records[r["id"]].append((self.life, r["type"], bool(r.get("in_doubt"))))
                    if r.get("in_doubt"):
                        self.doubts.append((self.life, r["id"]))


class Campaign:
    def __init__(self, build, folder, kills, seed, closing, out=sys.stderr):
        self.build, self.folder, self.kills, self.seed, self.out = build, folder, kills, seed, out
        self.rng, self.kill_times, self.open_at_kill, self.starts_failed = random.Random(seed), [], [], 0
        self.closing = closing
        memif = folder / "memif.sock"
        self.sink = closing(run.Sink(
            build, folder, memif, "--dump-dir", folder / "dump", "--ledger", folder / "ledger", "--seed", seed % 10**6,
            "-r", "RCPT:3", "-q", ".:1", "-W", ".:0.02:5"))
        self.disk = FaultDisk(build, folder, seed)
        self.routes(absent=True)
        self.gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), env=self.disk.env(), settings={
            "transport_maps": f"texthash:{folder}/transport", "event_log_file": folder / "events",
            "spool_segment_size": "1m", "spool_size_limit": "600m", "message_size_limit": "256k",
            "minimal_backoff_time": "2s", "maximal_backoff_time": "5s", "smtp_connect_timeout": "2s",
            "in_doubt_policy": "retry", "default_destination_concurrency_limit": CONCURRENCY}))
        self.source = None

    def routes(self, absent):
        (self.folder / "transport").write_text("".join(
            f"d{n}.example.test smtp:[{run.Sink.ADDRESS}]:{2525 if absent and n == ABSENT else 25}\n"
            for n in range(DOMAINS)))

    def load(self):
        """Sources one after the other: each gives up what it does not know after a lost connection."""
        self.source = self.closing(run.Source(
            self.build, self.folder, self.gateway.port, "-d", "-s", 16, "-m", 10**9, "-l", LENGTH, "--run", "k", "--first", 1,
            "--rate", RATE, "--no-resend", "--acked-file", self.folder / "acked", "--give-up", 60, "--domains", DOMAINS,
            "-f", "", "-t", "r@example.test"))

    def kill(self):
        try:
            leases = self.gateway.json("status")["leases"]
        except (run.Failed, OSError, IndexError, ValueError):
            leases = None  # it was only about to start
        self.gateway.kill()
        self.kill_times.append(time.monotonic())
        with open(self.folder / "kills", "a") as f:  # for whoever has to look afterwards
            print(self.kill_times[-1], leases, file=f)
        self.open_at_kill.append(leases)

    def run(self):
        self.load()
        started = time.monotonic()
        for n in range(self.kills):
            self.disk.draw(self.rng)
            time.sleep(self.rng.uniform(0.05, 1.2))  # the instant is random: in the start, or in full work
            self.kill()
            if n % 20 == 19:
                print(f"{n + 1} kills, {time.monotonic() - started:.0f} s, disk faults {self.disk.given()}",
                      file=self.out, flush=True)
            if n + 1 < self.kills and self.rng.random() < 0.1:
                # In the middle of the start.
                run.Process.__init__(self.gateway, "penstockd", [
                    self.build / "control/penstockd", "-c", self.gateway.conf], self.gateway.base, None, self.disk.env())
                continue
            if n + 1 == self.kills:
                self.disk.well()
                self.routes(absent=False)
            self.gateway.start()
        self.seconds = time.monotonic() - started
        time.sleep(1)
        self.source.stop()
        self.gateway.wait_empty(600)

    def audit(self, *args):
        done = self.gateway.cli("audit", "--json", *args, check=False)
        return json.loads(done.stdout)

    def dumped(self):
        """X-Penstock-Id: the queue ids of its copies, out of Received fields."""
        ids = collections.defaultdict(set)
        for p in (self.folder / "dump").glob("*.eml"):
            head = p.read_bytes()[:2000]
            ids[re.search(rb"X-Penstock-Id: (\S+)", head)[1].decode()].add(
                re.search(rb"\bid ([0-9A-Za-z]+)", head)[1].decode())
        return ids

    def explain(self, ledger, events, ids):
        """For each further copy: (id, kill, session, why); and those without an explanation."""
        explained, open_questions = [], []
        for ident, copies in ledger.copies.items():
            records = [r for q in ids.get(ident, ()) for r in events.records[q]]
            # More records of a delivery than one: the first reply got as far as the event log.
            told = sum(kind == "Delivery" for _, kind, _ in records) > 1
            for (t1, s1), (t2, s2) in zip(copies, copies[1:]):
                kill = self.kill_between(ledger, ident, t1, s1, t2)
                told_yes = ids.get(ident, set()) & events.committed
                if kill is None and len(told_yes) < len(ids.get(ident, ())):
                    # pen_spool.h: its bytes were on the disk when the kill came before the spool could take them back.
                    explained.append((ident, None, s1, "a submission that was answered 451 came back, and was sent again"))
                elif kill is None:
                    open_questions.append({"id": ident, "sessions": [s1, s2], "times": [t1, t2], "records": records})
                else:
                    explained.append((ident, kill, s1, "the reply was in the event log, not in the spool" if told
                                      else "the reply had not come, or was not written down"))
        return explained, open_questions

    def kill_between(self, ledger, ident, t1, session, t2):
        """The kill that cut the session of the copy at t1 when this was its last message. What was in the sink's buffers
        is taken up to a second later."""
        at = bisect.bisect_left(self.kill_times, t1)
        for kill in (at - 1, at):
            if not 0 <= kill < len(self.kill_times):
                continue
            when = self.kill_times[kill]
            last = [i for t, i in ledger.order[session] if t <= when + 1][-1:]
            if (t1 - 1 <= when < t2 and last == [ident] and ledger.opened[session] <= when <=
                    ledger.closed.get(session, when)):
                return kill
        return None

    def report(self):
        status = self.sink.status(fresh=True)
        online = self.audit()
        counters = self.gateway.json("counters")
        self.gateway.stop()
        offline = self.audit("--offline")
        self.sink.stop()
        ledger, events, ids = Ledger(self.folder / "ledger"), EventLog(self.folder / "events"), self.dumped()
        acked = {f"k-{n}" for n in (self.folder / "acked").read_text().split()}
        lost = acked - set(ledger.copies)
        explained, questions = self.explain(ledger, events, ids)
        per_kill = collections.Counter(k for _, k, _, _ in explained if k is not None)
        by_id = {q: ident for ident, qs in ids.items() for q in qs}
        doubts = collections.Counter(
            "the sink broke the session behind the dot" if ledger.refused[by_id.get(q, "")] > 0 else "unexplained"
            for _, q in events.doubts)
        return {
            "kills": self.kills, "seed": self.seed, "seconds": round(self.seconds, 1), "disk_faults": self.disk.given(),
            "accepted": len(acked), "received": len(ledger.copies), "lost": len(lost), "lost_ids": sorted(lost)[:10],
            "copies": sum(map(len, ledger.copies.values())), "sink": {k: status[k] for k in (
                "messages", "unique", "duplicates", "corrupted", "dump_failed")},
            "duplicates": len(explained) + len(questions), "explained": dict(collections.Counter(w for *_, w in explained)),
            "unexplained": questions[:10], "unexplained_count": len(questions),
            "most_duplicates_of_a_kill": max(per_kill.values(), default=0),
            "bound_of_a_kill": CONCURRENCY,
            "in_doubt_attempts": len(events.doubts), "in_doubt_why": dict(doubts),
            "audit_online": {k: online[k] for k in ("balanced", "totals", "faults", "unconfirmed", "crashes", "lost_records")},
            "audit_offline": {k: offline[k] for k in ("balanced", "totals", "faults", "unconfirmed", "crashes",
                                                      "lost_records")},
            "last_life": {k: v for k, v in counters.get("spool", {}).items() if v},
            "list": [{"id": i, "kill": k, "session": s, "why": w} for i, k, s, w in explained]}


def show(r, out=sys.stdout):
    for key in ("kills", "seconds", "disk_faults", "accepted", "received", "lost", "copies", "duplicates", "explained",
                "unexplained_count", "most_duplicates_of_a_kill", "bound_of_a_kill", "in_doubt_attempts", "in_doubt_why",
                "sink"):
        print(f"{key:28} {r[key]}", file=out)
    for key in ("audit_online", "audit_offline"):
        print(f"{key:28} balanced {r[key]['balanced']}, {r[key]['totals']}\n{'':28} {r[key]['faults']}", file=out)


def check(r):
    assert r["lost"] == 0, r["lost_ids"]
    assert r["unexplained_count"] == 0, r["unexplained"]
    assert r["duplicates"] == r["sink"]["duplicates"] and r["sink"]["unique"] == r["received"], r["sink"]
    assert r["sink"]["corrupted"] == r["sink"]["dump_failed"] == 0
    assert r["most_duplicates_of_a_kill"] <= r["bound_of_a_kill"]
    assert r["in_doubt_why"].get("unexplained", 0) == 0, r["in_doubt_why"]
    for audit in (r["audit_online"], r["audit_offline"]):
        assert audit["balanced"], audit
        assert audit["totals"]["queued"] == audit["totals"]["in_doubt"] == 0
        assert audit["totals"]["accepted"] == audit["totals"]["delivered"] >= r["accepted"]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", type=pathlib.Path, default=TOP / "build")
    p.add_argument("--kills", type=int, default=200)
    p.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    p.add_argument("--keep", action="store_true", help="leave the folder")
    o = p.parse_args()
    folder = run.work_dir("penstock-crash-")
    print(f"seed {o.seed}, in {folder}", file=sys.stderr, flush=True)
    with run.killing() as closing:
        c = Campaign(o.build.resolve(), folder, o.kills, o.seed, closing)
        c.run()
        r = c.report()
        show(r)
        print(json.dumps(r))
        check(r)
    # Kept when it failed.
    if not o.keep:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
