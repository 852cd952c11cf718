# SPDX-License-Identifier: BSD-3-Clause
"""Measures Penstock beside its peers, all in one run on one machine.

dataplane   one worker to penstock-sink over memif, the queue in memory
tls         the same over TLS 1.3, AES-128-GCM
idle        memory of 10,000 open connections, plain and with TLS
accept      durable accept by SMTP beside Postfix and receivers that discard; penstock-source to each
spool       the spool alone beside a plain writer of the same batches; amplification; recovery
sched       the scheduler's decisions on one core, with limits and tenants; memory per message
shape       the cost of asking the limits
whole path  SMTP submission, commit before the 250, delivery, final record
postfix     the same work for Postfix, tuned for bulk, on loopback
policy      TLS policy decisions on one core, with warm tables
engine      TLS in memory beside bare wolfSSL on the same core; resumption
dns         cached next hops while uncached ones resolve
ceiling     a tight sender over kernel sockets into a receiver that discards

Absolute figures drift with the machine; the ratios of one run are what counts.
"""

import argparse
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tools/lib"))

import accept  # noqa: E402
import penstock_run as run  # noqa: E402
import peer_postfix  # noqa: E402
import queue_parts  # noqa: E402

PARTS = ["dataplane", "tls", "idle", "accept", "spool", "sched", "shape", "whole", "postfix", "ceiling", "policy", "engine",
         "rules", "dns"]


def arguments():
    p = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", choices=PARTS, action="append", help="only this part (may be repeated)")
    p.add_argument("--messages", type=int, default=40000, help="messages of the whole path (default 40000)")
    p.add_argument("--accept", type=int, default=60000, metavar="N", help="messages of each row of accept (default 60000)")
    p.add_argument("--rounds", type=int, default=3, help="repeat each part, keep the median (default 3)")
    p.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    p.add_argument("--save", metavar="FILE", help="also write the JSON object to FILE")
    p.add_argument("--build", default="build", help=argparse.SUPPRESS)
    return p.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def median(results, key):
    """The result whose `key` is the median one."""
    return sorted(results, key=lambda r: r[key])[len(results) // 2]


def dataplane(build, *options):
    done = subprocess.run([build / "benchmarks/bench_dataplane", "--sink", build / "tools/sink/penstock-sink", "--json",
                           *options], capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise run.Failed(f"bench_dataplane {' '.join(options)}: exit {done.returncode}\n{done.stderr[-1000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if "cpu_seconds" in result:
        result["messages_per_cpu_second"] = round(result["delivered"] / result["cpu_seconds"])
    return result


def program(build, name, *options):
    """A benchmark of one part; the last line that is a JSON object, or its text."""
    done = subprocess.run([build / "benchmarks" / name, *options], capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise run.Failed(f"{name} {' '.join(options)}: exit {done.returncode}\n{done.stderr[-1000:]}")
    lines = done.stdout.strip().splitlines()
    return {"lines": [json.loads(line) if line.startswith("{") else line for line in lines]}


def policy_decisions(build):
    text = program(build, "bench_policy")["lines"][-1]
    return {"decisions_per_second": int(text.split()[0]), "text": text}


def certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=sink.example"],
                   check=True, capture_output=True)
    return ["--tls", "--cert", str(cert), "--key", str(key)]


def whole_path(build, folder, messages):
    """The daemon between penstock-source and penstock-sink; the spool is synced before each 250."""
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif)
    gateway = source = None
    try:
        gateway = run.Gateway(build, folder / "gateway", run.memif_device(memif),
                              settings={"relayhost": f"[{run.Sink.ADDRESS}]:25"})
        start = time.monotonic()
        cpu = gateway.cpu_seconds()
        source = run.Source(build, folder, gateway.port, "-d", "-s", 40, "-m", messages, "-l", 4096)
        run.wait_until(lambda: sink.status()["unique"] >= messages, 120, "the sink to have everything", sink.alive)
        run.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 30, "the final records")
        seconds = time.monotonic() - start
        cpu = gateway.cpu_seconds() - cpu
        spool = gateway.json("status")["spool"]
        accepted = source.result()
        return {"messages_per_second": messages / seconds, "accepted_per_second": accepted["messages_per_second"],
                "cpu_seconds_per_1000": 1000 * cpu / messages, "syncs_per_message": spool["syncs"] / messages,
                "p50_ms": accepted["latency_us"]["p50"] / 1000, "p99_ms": accepted["latency_us"]["p99"] / 1000,
                "corrupted": sink.status()["corrupted"], "duplicates": sink.status()["duplicates"]}
    finally:
        for p in (source, gateway, sink):
            if p:
                p.stop()


class Report:
    def __init__(self, args):
        self.args, self.out = args, {}

    def measure(self, part, name, key, call):
        if self.args.only and part not in self.args.only:
            return None
        say(f"benchmarks: {name}")
        results = []
        for n in range(self.args.rounds):
            folder = run.work_dir("penstock-bench-")
            try:
                results.append(call(folder))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        self.out[name] = median(results, key)
        return self.out[name]

    def measure_together(self, key, calls):
        """Each round runs all of them, so that what is compared met the same machine."""
        results = {name: [] for name in calls}
        for n in range(self.args.rounds):
            for name, call in calls.items():
                say(f"benchmarks: {name} ({n + 1} of {self.args.rounds})")
                folder = run.work_dir("penstock-bench-")
                try:
                    results[name].append(call(folder))
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
        self.out.update({name: median(found, key) for name, found in results.items()})

    def line(self, name, text):
        if name in self.out:
            print(text(self.out[name]))

    def print(self):
        rate = "messages_per_second"
        for name in ("dataplane 4 KiB", "dataplane 20 KiB", "dataplane 20 KiB TLS 1.3"):
            self.line(name, lambda r, n=name: f"{n + ':':<28}{r[rate]:>10,.0f} messages/s {r['megabytes_per_second']:>8,.0f} "
                      f"MB/s, worker CPU for {r['messages_per_cpu_second']:,} messages/s")
        for name in ("idle plain", "idle TLS"):
            self.line(name, lambda r, n=name: f"{n + ':':<28}{r['bytes_per_connection']:>10,} bytes per connection "
                      f"({r['ready']:,} open)")
        self.line("whole path", lambda r: f"{'whole path 4 KiB:':<28}{r[rate]:>10,.0f} messages/s, "
                  f"{r['cpu_seconds_per_1000']:.3f} CPU s per 1,000, {r['syncs_per_message']:.3f} syncs per message, "
                  f"accepted in {r['p50_ms']:.2f} ms (median)")
        accept.print_rows(self.out)
        queue_parts.print_rows(self.out)
        self.line("policy decisions", lambda r: f"{'TLS policy:':<28}{r['text']}")
        for line in self.out.get("TLS engine", {}).get("lines", []):
            if line["case"] == "resumption":
                print(f"{'TLS resumed:':<28}{line['ours']:>10,} {line['unit']}, {line['hit_rate']:.1%} of connections")
            elif "wolfssl" in line:
                print(f"{'TLS ' + line['case'] + ':':<40} {line['ours']:,} {line['unit']}, bare wolfSSL "
                      f"{line['wolfssl']:,} ({line['ratio']:.1%})")
        for line in self.out.get("reply rules", {}).get("lines", []):
            print(f"{'reply rules:':<28}{line}")
        for line in self.out.get("dns", {}).get("lines", []):
            print(f"{'DNS:':<28}{line['cached_per_s']:>10,} cached next hops/s ({line['cached_ms_p99']:.2f} ms, 99%), "
                  f"{line['uncached_per_s']:,} uncached/s beside them, another thread late by "
                  f"{line['stall_ms_p99']:.2f} ms (99%)")
        self.line("postfix", lambda r: f"{'Postfix 4 KiB:':<28}{r[rate]:>10,.0f} messages/s end to end")
        self.line("ceiling", lambda r: f"{'kernel sockets, no MTA:':<28}{r[rate]:>10,.0f} messages/s")
        ratios = {}
        for above, below in (("whole path", "postfix"), ("dataplane 4 KiB", "ceiling"), ("whole path", "ceiling")):
            if above in self.out and below in self.out:
                ratio = self.out[above][rate] / self.out[below][rate]
                ratios[f"{above} / {below}"] = round(ratio, 2)
                print(f"{above} / {below}: {ratio:.1f} times")
        return ratios


def main():
    args = arguments()
    build = pathlib.Path(args.build).resolve()
    r = Report(args)
    rate = "messages_per_second"
    r.measure("dataplane", "dataplane 4 KiB", rate, lambda f: dataplane(build))
    r.measure("dataplane", "dataplane 20 KiB", rate,
              lambda f: dataplane(build, "--size", "20480", "--messages", "100000"))
    r.measure("tls", "dataplane 20 KiB TLS 1.3", rate,
              lambda f: dataplane(build, "--size", "20480", "--messages", "100000", *certificate(f)))
    size = "bytes_per_connection"
    r.measure("idle", "idle plain", size, lambda f: dataplane(build, "--idle", "10000"))
    r.measure("idle", "idle TLS", size, lambda f: dataplane(build, "--idle", "10000", *certificate(f)))
    r.measure("whole", "whole path", rate, lambda f: whole_path(build, f, args.messages))
    r.measure("postfix", "postfix", rate, lambda f: peer_postfix.end_to_end(f, 4000, 4096))
    r.measure("ceiling", "ceiling", rate, lambda f: peer_postfix.kernel_ceiling(f, 60000, 4096))
    if not args.only or "accept" in args.only:
        accept.measure(r, build)
    queue_parts.measure(r, build)
    r.measure("policy", "policy decisions", "decisions_per_second", lambda f: policy_decisions(build))
    args.rounds = 1  # these take the median themselves, or run for a time
    r.measure("engine", "TLS engine", "lines", lambda f: program(build, "bench_tls_engine"))
    r.measure("rules", "reply rules", "lines", lambda f: program(build, "bench_reply_rules"))
    r.measure("dns", "dns", "lines", lambda f: program(build, "bench_dns", "--rate", "20000", "--json"))
    r.out["ratios"] = r.print()
    r.out["machine"] = {"cpu": next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                                     if line.startswith("model name")), "unknown"),
                        "kernel": platform.release(), "date": time.strftime("%Y-%m-%d")}
    if args.save:
        pathlib.Path(args.save).write_text(json.dumps(r.out, indent=1) + "\n")
    if args.json:
        print(json.dumps(r.out))


if __name__ == "__main__":
    try:
        main()
    except run.Failed as failure:
        say(f"benchmarks: {failure}")
        sys.exit(1)
