# SPDX-License-Identifier: BSD-3-Clause
"""Postfix, tuned for bulk mail, on loopback: the peer that Penstock is measured beside.

The settings are those that made Postfix fastest here; the receiver discards.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import penstock_run as run

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file = {base}/log/maillog
maillog_file_prefixes = {base}
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
relayhost = [127.0.0.1]:{sink}
smtpd_peername_lookup = no
default_process_limit = 150
smtp_destination_concurrency_limit = 40
initial_destination_concurrency = 40
smtp_connection_cache_on_demand = yes
smtp_connection_cache_destinations = [127.0.0.1]:{sink}
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 100000
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtp_tls_security_level = none
"""

MASTER_CF = """\
{port}    inet  n  -  n  -     -    smtpd
cleanup   unix  n  -  n  -     0    cleanup
qmgr      unix  n  -  n  300   1    qmgr
rewrite   unix  -  -  n  -     -    trivial-rewrite
bounce    unix  -  -  n  -     0    bounce
defer     unix  -  -  n  -     0    bounce
trace     unix  -  -  n  -     0    bounce
proxymap  unix  -  -  n  -     -    proxymap
smtp      unix  -  -  n  -     -    smtp
error     unix  -  -  n  -     -    error
retry     unix  -  -  n  -     -    error
anvil     unix  -  -  n  -     1    anvil
scache    unix  -  -  n  -     1    scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`settings`: further lines of main.cf."""

    def __init__(self, base, sink_port, settings=()):
        self.base, self.port = pathlib.Path(base), run.free_port()
        for d in ("conf", "queue", "data", "log"):
            (self.base / d).mkdir(parents=True)
        self.base.chmod(0o755)
        for d in ("data", "log"):
            shutil.chown(self.base / d, "postfix", "postfix")
        (self.base / "conf/main.cf").write_text(MAIN_CF.format(base=self.base, sink=sink_port) +
                                               "".join(f"{line}\n" for line in settings))
        (self.base / "conf/master.cf").write_text(MASTER_CF.format(port=f"127.0.0.1:{self.port}"))
        subprocess.run(["postfix", "-c", self.base / "conf", "start"], check=True, capture_output=True)
        run.wait_until(lambda: listening(self.port), 20, "Postfix to listen")

    def queued(self):
        return any(files for q in ("incoming", "active", "deferred")
                   for _, _, files in os.walk(self.base / "queue" / q))

    def stop(self):
        pid = int((self.base / "queue/pid/master.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        run.wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 20, "Postfix to stop")


def listening(port):
    return f"127.0.0.1:{port} " in subprocess.run(["ss", "-Hltn"], capture_output=True, text=True).stdout


def discarding_sink(folder):
    port = run.free_port()
    sink = run.Process("smtp-sink", ["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1000"], folder)
    run.wait_until(lambda: listening(port), 10, "smtp-sink to listen", sink.alive)
    return sink, port


def smtp_source(port, messages, size, sessions, keep_open=True):
    """Runs Postfix's own load source; returns the seconds that it took."""
    start = time.monotonic()
    subprocess.run(["smtp-source", *(["-d"] if keep_open else []), "-s", str(sessions), "-m", str(messages), "-l",
                    str(size), "-f", "sender@bulk.example", "-t", "reader@example.test", f"127.0.0.1:{port}"],
                   check=True, capture_output=True)
    return time.monotonic() - start


def end_to_end(folder, messages, size, sessions=40):
    """Messages per second from the first submission to an empty queue."""
    sink, sink_port = discarding_sink(folder)
    postfix = None
    try:
        postfix = Postfix(folder / "postfix", sink_port)
        smtp_source(postfix.port, 200, size, sessions)  # processes started, caches warm
        run.wait_until(lambda: not postfix.queued(), 60, "Postfix to warm up")
        start = time.monotonic()
        accept = smtp_source(postfix.port, messages, size, sessions)
        run.wait_until(lambda: not postfix.queued(), 300, "Postfix to deliver everything")
        return {"messages_per_second": messages / (time.monotonic() - start),
                "accepted_per_second": messages / accept}
    finally:
        if postfix:
            postfix.stop()
        sink.stop()


def kernel_ceiling(folder, messages, size, sessions=64):
    """A tight sender over kernel sockets straight into a discarding receiver."""
    sink, port = discarding_sink(folder)
    try:
        return {"messages_per_second": messages / smtp_source(port, messages, size, sessions)}
    finally:
        sink.stop()
