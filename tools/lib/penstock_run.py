# SPDX-License-Identifier: BSD-3-Clause
"""Starts Penstock's programs for the quickstart, the tests and the benchmarks.

Each object owns one process and a folder of its own, and stops what it started,
by pid. The programs' output goes to files in that folder.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]


class Failed(RuntimeError):
    """Something did not come up or ended badly; the text says what to look at."""


# Seconds for a program to start: plenty, on a machine that has other work too.
START = 120

# What free_port gives one of; 0 stands for whatever the kernel has.
ports = [0]

# auto, yes or no. Programs that start at once would take the pages that others have just counted.
hugepages = "auto"


def wait_until(condition, seconds, what, alive=None):
    deadline = time.monotonic() + seconds
    while not condition():
        if alive is not None and not alive():
            raise Failed(f"ended while waiting for {what}")
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def work_dir(prefix="penstock-"):
    """A fresh folder that other users may enter (Postfix runs as its own)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get("PENSTOCK_TMP", "/var/tmp")))
    path.chmod(0o755)
    return path


def free_port():
    """A port that nobody listens on. It is not held until it is used: who runs beside others sets `ports`."""
    for port in random.sample(ports, len(ports)):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return s.getsockname()[1]
    raise Failed("no free port")


class Process:
    def __init__(self, name, args, folder, netns=None, env=None):
        self.name, self.folder = name, pathlib.Path(folder)
        self.out, self.err = self.folder / f"{name}.out", self.folder / f"{name}.err"
        args = [str(a) for a in args]
        if netns:
            args = ["ip", "netns", "exec", netns, *args]
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env={**os.environ, **(env or {})})

    def alive(self):
        return self.process.poll() is None

    def said(self):
        return self.err.read_text(errors="replace") + self.out.read_text(errors="replace")

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds} s\n{self.said()[-2000:]}") from None

    def stop(self, sig=signal.SIGTERM, seconds=20):
        if self.alive():
            self.process.send_signal(sig)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                raise Failed(f"{self.name} had to be killed\n{self.said()[-2000:]}") from None
        return self.process.returncode

    def give_up(self, failure):
        if self.alive():
            self.process.kill()
            self.process.wait(5)
        raise Failed(f"{self.name}: {failure}\n{self.said()[-2000:]}") from None

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def killing():
    """As closing: closing(x) returns the process x, which is killed at the end of the block, the last one first."""
    things = []

    def add(thing):
        things.append(thing)
        return thing

    try:
        yield add
    finally:
        for thing in reversed(things):
            if thing.alive():
                thing.process.kill()
                thing.process.wait(30)


MEMIF = "net_memif0,role={role},id=0,socket={socket},socket-abstract=no,bsize=2048,rsize=11,mac={mac}"


class Sink(Process):
    """penstock-sink on the server end of a memif."""

    ADDRESS = "10.99.0.1"

    def __init__(self, build, folder, memif, *options, core=1):
        self.status_file = pathlib.Path(folder) / "sink.json"
        self.status_file.unlink(missing_ok=True)
        device = MEMIF.format(role="server", socket=memif, mac="02:00:00:00:00:01")
        super().__init__("penstock-sink", [
            build / "tools/sink/penstock-sink", "--device", device, "--address", f"{self.ADDRESS}/24", "--port", "25",
            "--core", core, *(["--no-huge"] if hugepages == "no" else []), "--status-file", self.status_file,
            *options], folder)
        try:
            wait_until(self.status_file.exists, START, "penstock-sink to start", self.alive)
        except Failed as failure:
            self.give_up(failure)

    def status(self, fresh=False):
        """Its counters, which it writes twice a second; `fresh`: as they are now or later."""
        if fresh:
            asked = time.time()
            wait_until(lambda: self.status_file.stat().st_mtime > asked, 10, "a new status of penstock-sink", self.alive)
        for _ in range(50):
            try:
                return json.loads(self.status_file.read_text())
            except (OSError, ValueError):  # being replaced
                time.sleep(0.02)
        raise Failed("penstock-sink writes no status")


class Gateway(Process):
    """penstockd with a folder for its configuration, spool, log and sockets."""

    def __init__(self, build, folder, device, source="10.99.0.2", gateway=None, core=0, workers=1, netns=None,
                 settings=None, egress="", env=None):
        self.build, self.base, self.netns, self.env = build, pathlib.Path(folder), netns, env
        self.conf, self.spool = self.base / "conf", self.base / "spool"
        self.log, self.socket = self.base / "maillog", self.base / "control.sock"
        self.port = free_port()
        for d in (self.conf, self.spool):
            d.mkdir(parents=True, exist_ok=True)
        params = {
            "myhostname": "gateway.example", "smtpd_listen": f"127.0.0.1:{self.port}", "mynetworks": "127.0.0.0/8",
            "queue_directory": self.spool, "maillog_file": self.log, "control_socket": self.socket, "mail_owner": "",
            "egress_config": self.conf / "egress.conf", **(settings or {})}
        (self.conf / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in params.items()))
        key = "gateway6" if ":" in (gateway or "") else "gateway"
        gateway_line = f'\t{key} = "{gateway}";\n' if gateway else ""
        (self.conf / "egress.conf").write_text(
            f"workers = {workers};\ncores = [{', '.join(str((core + n) % 2) for n in range(workers))}];\n"
            f"hugepages = {hugepages};\n{egress}"
            f'port p0 {{\n\tdevice = "{device}";\n\tprefix = 24;\n{gateway_line}}}\n'
            f'source s0 {{\n\tport = p0;\n\taddress = "{source}";\n\thelo = "gateway.example";\n}}\n')
        self.start()

    def start(self):
        super().__init__("penstockd", [self.build / "control/penstockd", "-c", self.conf], self.base, self.netns, self.env)
        try:
            wait_until(self.listening, START, "penstockd to answer", self.alive)
        except Failed as failure:
            self.give_up(failure)

    def queued(self):
        return self.json("status")["queue"]["messages"]

    def wait_empty(self, seconds=60):
        wait_until(lambda: self.queued() == 0, seconds, "an empty queue", self.alive)

    def listening(self):
        try:
            return self.cli("status", check=False).returncode == 0
        except OSError:
            return False

    def cli(self, *args, check=True):
        command = [str(self.build / "tools/penstock/penstock"), "--socket", str(self.socket), "-c", str(self.conf),
                   *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise Failed(f"penstock {' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def json(self, *args):
        """The verb's JSON: an object, or for queue list one per message."""
        lines = [json.loads(line) for line in self.cli(*args, "--json").stdout.splitlines()]
        return lines if args[:2] == ("queue", "list") else lines[0]

    def stop(self, sig=signal.SIGTERM, seconds=40):
        """An orderly stop must end with 0: sanitizers report through the exit status."""
        running = self.alive()
        code = super().stop(sig, seconds)
        if running and code != 0:
            raise Failed(f"penstockd: exit {code} on its way out\n{self.said()[-3000:]}")
        return code

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def memif_device(socket_path):
    return MEMIF.format(role="client", socket=socket_path, mac="02:00:00:00:00:02")


class Impair(Process):
    """penstock-impair between a gateway and a sink, which are the clients and the server of its two sides."""

    def __init__(self, build, folder, gateway_side, sink_side, *options, core=0):
        devices = [
            f"net_memif0,role=server,id=0,socket={gateway_side},socket-abstract=no,bsize=2048,rsize=11",
            f"net_memif1,role=client,id=0,socket={sink_side},socket-abstract=no,bsize=2048,rsize=11"]
        super().__init__("penstock-impair", [
            build / "tools/impair/penstock-impair", "--json", "--core", core, *options, *devices], folder)
        try:
            wait_until(lambda: "running, seed" in self.said(), START, "penstock-impair to start", self.alive)
        except Failed as failure:
            self.give_up(failure)

    def counts(self):
        """Stops it and returns what it did."""
        self.stop()
        return json.loads(self.out.read_text().strip().splitlines()[-1])


class Source(Process):
    """penstock-source towards a submission port."""

    def __init__(self, build, folder, port, *options, netns=None):
        super().__init__("penstock-source", [
            build / "tools/source/penstock-source", "--json", *options, f"127.0.0.1:{port}"], folder, netns)

    def result(self, seconds=300, codes=(0,)):
        code = self.wait(seconds)
        lines = self.out.read_text().strip().splitlines()
        if code not in codes or not lines:
            raise Failed(f"penstock-source: exit {code}\n{self.said()[-2000:]}")
        return json.loads(lines[-1])
