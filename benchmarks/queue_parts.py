# SPDX-License-Identifier: BSD-3-Clause
"""The benchmarks of queue/spool, queue/sched and queue/shape as rows of benchmarks/run, with what they are to reach."""

import re
import subprocess

import penstock_run as run

SCHED = {"plain": (0, 0), "limits": (0, 1), "1,000 tenants": (1000, 0), "both": (1000, 1)}
TARGETS = {"share": 0.8, "at once": 1.3, "deferred": 2.2, "recovery": 15, "decisions": 1000000, "bytes": 400, "lone": 2}


def output(program, *options):
    done = subprocess.run([program, *map(str, options)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise run.Failed(f"{program.name}: exit {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


def numbers(pattern, text):
    """The last match's groups; a benchmark that says something else is an error."""
    found = re.findall(pattern, text)
    if not found:
        raise run.Failed(f"no {pattern!r} in:\n{text}")
    return [float(n) for n in (found[-1] if isinstance(found[-1], tuple) else (found[-1],))]


def spool(build, folder, *options):
    text = output(build / "queue/spool/bench_spool", *options, folder)
    rate, plain, share, least, most = numbers(
        r"spool (\d+) MB/s, plain writer of the same batches (\d+) MB/s; the spool reaches (\d+)% \((\d+) to (\d+)%\)", text)
    (flushes,) = numbers(r"([\d.]+) flushes/message", text)
    amplified = r"write amplification ([\d.]+) \(([\d.]+) without"
    _, written = numbers(amplified, text)
    zeros, _ = numbers(amplified, text[:text.index("round 1:")])  # the segments were made in round 0
    (messages,) = numbers(r"(\d+) messages/s", text)
    return {"share": share / 100, "share_least": least / 100, "share_most": most / 100, "flushes_per_message": flushes,
            "spool_mb_s": rate, "plain_mb_s": plain, "messages_per_second": messages, "amplification": written, "amplification_with_zeros": zeros}


def lone(build, folder):
    took, plain, flushes = numbers(r"durable in (\d+) us \(median\), a write and flush takes (\d+) us: ([\d.]+)",
                                   output(build / "queue/spool/bench_spool", "--lone", folder))
    return {"durable_us": took, "write_and_flush_us": plain, "flushes": flushes}


def recovery(build, folder):
    text = output(build / "queue/spool/bench_spool", "--recover", 1000000, folder)
    (crash,) = numbers(r"after a crash: ([\d.]+) s", text)
    (clean,) = numbers(r"after a clean stop: ([\d.]+) s", text)
    return {"crash_seconds": crash, "clean_seconds": clean}


def sched(build, tenants, limits):
    text = output(build / "queue/sched/pen_sched_bench", 2000000, 1000000, 100000, tenants, limits)
    (going,) = numbers(r"\ngoing: .* (\d+) decisions/s", text)
    (both,) = numbers(r"coming and going: .* (\d+) decisions/s", text)
    (beyond,) = numbers(r"(\d+) bytes per waiting message", text)
    (message,) = numbers(r", message (\d+),", text)
    return {"decisions_per_second": going, "with_arrivals_per_second": both, "scheduler_bytes": beyond,
            "message_bytes": message}


def shape(build):
    return {"lines": output(build / "queue/shape/bench_shape").strip().splitlines()}


def measure(report, build):
    report.measure("spool", "spool", "share", lambda f: spool(build, f))
    report.measure("spool", "spool, deferred", "amplification", lambda f: spool(build, f, "-n", 400000, "--rounds", "1", "--deferred"))
    report.measure("spool", "spool, lone message", "flushes", lambda f: lone(build, f))
    report.measure("spool", "spool, recovery", "crash_seconds", lambda f: recovery(build, f))
    for name, (tenants, limits) in SCHED.items():
        report.measure("sched", f"sched {name}", "decisions_per_second", lambda _, t=tenants, n=limits: sched(build, t, n))
    report.measure("shape", "shape", "lines", lambda _: shape(build))


def print_rows(out):
    if r := out.get("spool"):
        print(f"{'spool 4 KiB:':<28}{r['messages_per_second']:>10,.0f} messages/s, {r['spool_mb_s']:,.0f} MB/s, a plain writer "
              f"of the same batches {r['plain_mb_s']:,.0f} MB/s: {r['share']:.0%} (target {TARGETS['share']:.0%}), "
              f"{r['flushes_per_message']:.4f} flushes per message")
        amplification("written per payload:", r, TARGETS["at once"])
    if r := out.get("spool, deferred"):
        amplification("  deferred twice:", r, TARGETS["deferred"])
    if r := out.get("spool, lone message"):
        print(f"{'a lone message:':<28}{r['durable_us']:>10,.0f} us, {r['flushes']:.2f} flush times (target {TARGETS['lone']})")
    if r := out.get("spool, recovery"):
        print(f"{'recovery of 1,000,000:':<28}{r['crash_seconds']:>10.2f} s after a crash, {r['clean_seconds']:.2f} s after a "
              f"clean stop (target {TARGETS['recovery']})")
    for name in SCHED:
        if r := out.get(f"sched {name}"):
            held = r["scheduler_bytes"] + r["message_bytes"]
            print(f"{f'sched {name}:':<28}{r['decisions_per_second']:>10,.0f} decisions/s (target {TARGETS['decisions']:,}), "
                  f"{r['with_arrivals_per_second']:,.0f} with arrivals, {held:.0f} bytes per recipient (target {TARGETS['bytes']})")
    for line in out.get("shape", {}).get("lines", []):
        print(f"{'shape:':<28}{line}")


def amplification(name, r, target):
    print(f"{name:<28}{r['amplification']:>10.2f} times (target {target}); {r['amplification_with_zeros']:.2f} with the zeros of a "
          f"new spool's segments")
