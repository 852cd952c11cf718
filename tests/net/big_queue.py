#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A queue of millions: how long everything takes, and how much memory it needs.

    tests/net/big_queue.py --build build [--recipients 5000000] [--unreachable]

Messages of one recipient come in over SMTP, for 100 tenants and for 1,000 domains (--domains) that are a site each,
and stay: their tenants are suspended, or (--unreachable) nobody answers at their sites. Then they are counted,
listed, deleted by tenant, and the daemon is restarted over what is left. Prints a table and one JSON line.
test_big_queue.py runs the same with fewer.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tools/lib")]

import penstock_run as run  # noqa: E402

TENANTS, BODY = 100, 100  # the content is about 300 bytes with its header


def rss(pid):
    """Resident bytes: what the process has for itself, without the pages of files."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0  # it has ended


def folder_bytes(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


class Timed:
    """Numbers by name, in their order."""

    def __init__(self, out=sys.stderr):
        self.numbers, self.out = {}, out

    def note(self, name, value):
        self.numbers[name] = round(value, 3) if isinstance(value, float) else value
        print(f"{name:36} {self.numbers[name]:>16,}", file=self.out, flush=True)

    def took(self, name, call, *args, **kw):
        started = time.monotonic()
        result = call(*args, **kw)
        self.note(name, time.monotonic() - started)
        return result


def cli(gateway, *args, out=None, seconds=900):
    """As Gateway.cli, for answers that take long or are long."""
    command = [str(gateway.build / "tools/penstock/penstock"), "--socket", str(gateway.socket), "-c", str(gateway.conf),
               *map(str, args)]
    return subprocess.run(command, stdout=out or subprocess.PIPE, text=True, timeout=seconds, check=True)


def count_list(gateway):
    """A whole `queue list`: its lines, and the largest resident set of the program that wrote them."""
    command = [str(gateway.build / "tools/penstock/penstock"), "--socket", str(gateway.socket), "-c", str(gateway.conf),
               "queue", "list", "--json"]
    most = lines = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as p:
        while chunk := p.stdout.read1(1 << 20):
            if lines // 1000 != (lines := lines + chunk.count(b"\n")) // 1000:
                most = max(most, rss(p.pid))
    assert p.returncode == 0
    return lines, most


def deferred(gateway):
    return gateway.json("status")["queue"]["deferred"]


class BigQueue:
    def __init__(self, build, folder, recipients, domains, unreachable, closing, out=sys.stderr):
        self.build, self.folder, self.n, self.timed = build, folder, recipients, Timed(out)
        self.domains, self.unreachable = domains, unreachable
        memif = folder / "memif.sock"
        self.sink = closing(run.Sink(build, folder, memif))
        # Each domain has a next hop of its own, and so is a site. Nobody is at these addresses.
        (folder / "transport").write_text("".join(
            f"d{i}.example.test smtp:[10.{100 + i // 62500}.{i // 250 % 250}.{i % 250 + 1}]:25\n" for i in range(domains)))
        self.gateway = closing(run.Gateway(
            build, folder / "gateway", run.memif_device(memif), gateway=run.Sink.ADDRESS, settings={
                "transport_maps": f"texthash:{folder}/transport", "spool_size_limit": "18g",
                "minimal_backoff_time": "4h", "maximal_backoff_time": "8h", "smtpd_client_connection_count_limit": 0,
                "bounce_queue_lifetime": "30d", "maximal_queue_lifetime": "30d", "smtp_connect_timeout": "2s"}))
        self.timed.note("recipients", recipients)
        self.timed.note("empty: resident bytes", rss(self.gateway.process.pid))
        self.empty = rss(self.gateway.process.pid)

    def inject(self, seconds):
        if not self.unreachable:
            for t in range(TENANTS):
                self.gateway.cli("suspend", "tenant", f"t{t}", "--reason", "a large queue")
        source = run.Source(self.build, self.folder, self.gateway.port, "-d", "-s", 32, "-m", self.n, "-l", BODY,
                            "--domains", self.domains, "--tenants", TENANTS, "-f", "s@bulk.example",
                            "-t", "r@example.test", "--run", "big")
        try:
            done = source.result(seconds)
        finally:
            source.stop()
        assert done["accepted"] == self.n, done
        self.timed.note("inject: seconds", done["seconds"])
        self.timed.note("inject: messages a second", done["messages_per_second"])
        self.timed.note("content: bytes", done["bytes"] // self.n)
        run.wait_until(lambda: self.gateway.queued() == self.n, 60, "all in the queue", self.gateway.alive)
        if self.unreachable:
            self.timed.took("all deferred: seconds", run.wait_until, lambda: deferred(self.gateway) == self.n, seconds,
                            "all to be deferred", self.gateway.alive)

    def memory(self, name):
        now = rss(self.gateway.process.pid)
        queue = self.gateway.json("status")["queue"]
        queued, hot = queue["recipients"], queue["content_bytes"]
        self.timed.note(f"{name}: resident bytes", now)
        self.timed.note(f"{name}: content in memory", hot)
        self.timed.note(f"{name}: bytes a recipient", (now - self.empty - hot) / queued)
        return now, (now - self.empty - hot) / queued

    def look(self):
        status = self.timed.took("status: seconds", self.gateway.json, "status")
        self.timed.note("sites", status["sites"]["sites"])
        assert status["sites"]["sites"] == min(self.domains, self.n)
        counted = json.loads(self.timed.took("queue list --count: seconds", cli, self.gateway, "queue", "list", "--count",
                                             "--json").stdout)
        lines, most = self.timed.took("queue list: seconds", count_list, self.gateway)
        self.timed.note("queue list: resident bytes", most)
        assert lines == self.gateway.queued(), lines
        return counted

    def delete(self, tenant):
        before = self.gateway.queued()
        dry = json.loads(self.timed.took("delete --dry-run: seconds", cli, self.gateway, "queue", "delete", "--tenant",
                                         tenant, "--dry-run", "--json").stdout.splitlines()[-1])
        assert self.gateway.queued() == before
        real = json.loads(self.timed.took("delete: seconds", cli, self.gateway, "queue", "delete", "--tenant", tenant,
                                          "--json").stdout.splitlines()[-1])
        run.wait_until(lambda: self.gateway.queued() < before, 30, "the deletion", self.gateway.alive)
        assert dry["messages"] == real["messages"] == before - self.gateway.queued(), (dry, real, before)
        self.timed.note("delete: messages", real["messages"])

    def restart(self):
        before = self.gateway.queued()
        self.timed.took("stop: seconds", self.gateway.stop, seconds=300)
        self.timed.took("start: seconds", self.gateway.start)
        assert self.gateway.queued() == before
        self.gateway.kill()
        self.timed.took("start after kill -9: seconds", self.gateway.start)
        assert self.gateway.queued() == before


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--build", type=pathlib.Path, default=TOP / "build")
    p.add_argument("--recipients", type=int, default=5_000_000)
    p.add_argument("--domains", type=int, default=1000)
    p.add_argument("--unreachable", action="store_true", help="instead of suspended tenants")
    p.add_argument("--seconds", type=float, default=3600, help="how long the injection may take")
    p.add_argument("--keep", action="store_true", help="leave the folder")
    o = p.parse_args()
    folder = run.work_dir("penstock-big-")
    try:
        with run.killing() as closing:
            q = BigQueue(o.build.resolve(), folder, o.recipients, o.domains, o.unreachable, closing)
            q.inject(o.seconds)
            q.memory("full")
            q.timed.note("disk: bytes", folder_bytes(folder))
            q.look()
            q.delete("t7")
            q.restart()
            q.memory("after a restart")
            print(json.dumps(q.timed.numbers))
    finally:
        if not o.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
