# SPDX-License-Identifier: BSD-3-Clause
"""Sends mail through Penstock on this machine and says what came of it."""

import argparse
import json
import pathlib
import shutil
import sys
import time

import penstock_run as run


def arguments():
    p = argparse.ArgumentParser(prog="tools/quickstart", description=__doc__, epilog=(
        "The set-up (packages, wolfSSL, build, hugepages) is done once. Then penstock-source submits over SMTP, "
        "penstockd stores each message durably and delivers it over DPDK (memif) and its own TCP, and penstock-sink "
        "receives, checks and counts."))
    p.add_argument("--messages", type=int, default=10000, help="how many to send (default 10000)")
    p.add_argument("--size", type=int, default=4096, help="bytes of each (default 4096)")
    p.add_argument("--sessions", type=int, default=16, help="submitting connections (default 16)")
    p.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    p.add_argument("--keep", action="store_true", help="keep the folder with configuration, spool and logs")
    p.add_argument("--build", default="build", help=argparse.SUPPRESS)
    args = p.parse_args()
    if not 1 <= args.messages <= 10_000_000:
        p.error(f"--messages {args.messages}: give 1 to 10000000")
    return args


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def progress(sink, source, gateway, args):
    """Waits until everything arrived or nothing moves any more."""
    last, moved = -1, time.monotonic()
    while True:
        status = sink.status()
        done = status["unique"]
        if done != last:
            last, moved = done, time.monotonic()
        if sys.stderr.isatty():
            say(f"\rquickstart: {done} of {args.messages} messages delivered ", end="")
        if done >= args.messages:
            break
        for p in (sink, gateway):
            if not p.alive():
                raise run.Failed(f"{p.name} ended early:\n{p.said()[-2000:]}")
        if time.monotonic() - moved > 30:
            raise run.Failed(f"nothing was delivered for 30 s ({done} of {args.messages})\n{gateway.said()[-1000:]}")
        time.sleep(0.05)
    if sys.stderr.isatty():
        say("")
    source.result(60)
    return time.monotonic()


def measure(args, folder):
    build = pathlib.Path(args.build).resolve()
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif)
    gateway = source = None
    try:
        gateway = run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", "maximal_queue_lifetime": "1h"})
        say(f"quickstart: sending {args.messages} messages of {args.size} bytes")
        start = time.monotonic()
        source = run.Source(build, folder, gateway.port, "-d", "-s", args.sessions, "-m", args.messages, "-l", args.size,
                            "-f", "sender@bulk.example", "-t", "reader@example.test")
        seconds = progress(sink, source, gateway, args) - start
        accepted = source.result()
        gateway.stop()
        final = sink.status()
    finally:
        for p in (source, gateway, sink):
            if p is not None:
                p.stop()
    delivered = final["unique"]
    return {
        "accepted": accepted["accepted"], "delivered": delivered, "lost": accepted["accepted"] - delivered,
        "duplicated": final["duplicates"], "corrupted": final["corrupted"],
        "messages_per_second": round(delivered / seconds, 1),
        "megabytes_per_second": round(final["bytes"] / seconds / 1e6, 2),
        "p50_ms": accepted["latency_us"]["p50"] / 1000, "p99_ms": accepted["latency_us"]["p99"] / 1000,
    }


def main():
    args = arguments()
    folder = run.work_dir("penstock-quickstart-")
    try:
        result = measure(args, folder)
    except run.Failed as failure:
        say(f"quickstart: {failure}\nquickstart: the logs are in {folder}")
        return 1
    ok = (result["delivered"] == result["accepted"] == args.messages
          and not result["lost"] and not result["duplicated"] and not result["corrupted"])
    if not args.keep:
        shutil.rmtree(folder)
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{result['delivered']} of {result['accepted']} messages went from SMTP submission through the durable "
              f"queue over DPDK into the receiver.\n"
              f"  {result['messages_per_second']:.0f} messages/s, {result['megabytes_per_second']:.1f} MB/s; accepted "
              f"(durable) in {result['p50_ms']} ms (median), {result['p99_ms']} ms (99%)\n"
              f"  lost {result['lost']}, duplicated {result['duplicated']}, corrupted {result['corrupted']}\n"
              "Try next: tools/quickstart --messages 100000, benchmarks/run (beside Postfix), and README.md for a "
              "configuration of your own.")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
