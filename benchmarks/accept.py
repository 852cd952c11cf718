# SPDX-License-Identifier: BSD-3-Clause
"""How fast mail is accepted durably by SMTP, with as little else going on as can be had.

The same penstock-source, 64 sessions that stay open, 4 KiB, to Penstock, to Postfix and to receivers that only discard.
Delivery is kept out of the way: Penstock's only source address is suspended, so that each message is stored, routed and
queued and then waits; Postfix has `defer_transports = smtp`, or holds the mail, and the faster of the two counts.
A second row of each delivers while it accepts. A lone message is timed from its content's last byte to the 250, beside
what the same disk takes for a write and flush of its size.
"""

import penstock_run as run
import peer_postfix
import queue_parts

SESSIONS, BYTES, LONE = 64, 4096, 500
TARGETS = {"messages_per_second": 10000, "postfix": 12, "discard": 0.6, "flushes_per_message": 0.05, "lone": 2}


def source(build, folder, port, messages, sessions=SESSIONS):
    load = run.Source(build, folder, port, "-d", "-s", sessions, "-m", messages, "-l", BYTES, "-t", "reader@example.test")
    try:
        return load.result()
    finally:
        load.stop()


def figures(result, **more):
    return {"messages_per_second": result["messages_per_second"], "p50_ms": result["latency_us"]["p50"] / 1000,
            "p99_ms": result["latency_us"]["p99"] / 1000, **more}


def penstock(build, folder, messages, deliver=False, settings=None, sessions=SESSIONS):
    memif = folder / "memif.sock"
    sink = run.Sink(build, folder, memif)  # the port wants a peer; without mail it sleeps
    gateway = None
    try:
        gateway = run.Gateway(build, folder / "gateway", run.memif_device(memif),
                              settings={"relayhost": f"[{run.Sink.ADDRESS}]:25", **(settings or {})})
        if not deliver:
            gateway.cli("suspend", "source", "s0", "--reason", "only accepting is measured")
        source(build, folder, gateway.port, 1000)  # processes awake, memory touched
        was, cpu = gateway.json("status")["spool"], gateway.cpu_seconds()
        result = source(build, folder, gateway.port, messages, sessions)
        status, cpu = gateway.json("status"), gateway.cpu_seconds() - cpu
        if not deliver:  # all of it has to be there, and to wait
            run.wait_until(lambda: gateway.queued() == messages + 1000, 10, "every message in the queue", gateway.alive)
        return figures(result, flushes_per_message=(status["spool"]["syncs"] - was["syncs"]) / messages,
                       cpu_us_per_message=1e6 * cpu / messages)
    finally:
        for p in (gateway, sink):
            if p:
                p.stop()


def lone(build, folder):
    """One session, one message after the other; the disk is measured right before and after."""
    def flush_us(name):
        return queue_parts.lone(build, folder / name)["write_and_flush_us"]

    before = flush_us("before")
    p50 = penstock(build, folder, LONE, sessions=1)["p50_ms"] * 1000
    plain = (before + flush_us("after")) / 2
    return {"accepted_us": p50, "write_and_flush_us": plain, "flushes": p50 / plain}


def postfix(build, folder, messages, *settings):
    sink, sink_port = peer_postfix.discarding_sink(folder)
    peer = None
    try:
        peer = peer_postfix.Postfix(folder / "postfix", sink_port, settings)
        source(build, folder, peer.port, 500)
        return figures(source(build, folder, peer.port, messages))
    finally:
        if peer:
            peer.stop()
        sink.stop()


def discard(build, folder, messages):
    """smtp-sink, and Penstock's own submission loop before a queue that forgets: the faster is the yardstick."""
    sink, port = peer_postfix.discarding_sink(folder)
    try:
        theirs = figures(source(build, folder, port, messages), receiver="smtp-sink")
    finally:
        sink.stop()
    port = run.free_port()
    own = run.Process("bench_submission", [build / "control/submission/bench_submission", port, messages], folder)
    try:
        run.wait_until(lambda: peer_postfix.listening(port), 10, "bench_submission to listen", own.alive)
        ours = figures(source(build, folder, port, messages), receiver="bench_submission")
    finally:
        own.stop()
    return {**max(theirs, ours, key=lambda r: r["messages_per_second"]),
            "rates": {r["receiver"]: r["messages_per_second"] for r in (theirs, ours)}}


def measure(report, build):
    """In turns, so that each round's ratios are of one machine."""
    rate, n = "messages_per_second", report.args.accept
    report.measure("accept", "accept, a lone message", "flushes", lambda f: lone(build, f))
    report.measure_together(rate, {
        "accept": lambda f: penstock(build, f, n),
        "accept, delivering": lambda f: penstock(build, f, n, deliver=True),
        "accept, Postfix deferring": lambda f: postfix(build, f, n // 10, "defer_transports = smtp"),
        "accept, Postfix holding": lambda f: postfix(
            build, f, n // 10, "smtpd_client_restrictions = check_client_access static:HOLD"),
        "accept, Postfix delivering": lambda f: postfix(build, f, n // 10),
        "accept, discarding": lambda f: discard(build, f, n),
    })


def print_rows(out):
    rate = "messages_per_second"
    if "accept" not in out:
        return
    row = out["accept"]
    peer = max(out["accept, Postfix deferring"][rate], out["accept, Postfix holding"][rate])
    print(f"{'accept 4 KiB, 64 sessions:':<28}{row[rate]:>10,.0f} messages/s (target {TARGETS[rate]:,}), "
          f"{row['flushes_per_message']:.3f} flushes per message (below {TARGETS['flushes_per_message']}), "
          f"{row['cpu_us_per_message']:.0f} us CPU each, {row['p50_ms']:.2f} ms (median)")
    for name in ("accept, delivering", "accept, Postfix deferring", "accept, Postfix holding", "accept, Postfix delivering"):
        print(f"{'  ' + name.removeprefix('accept, ') + ':':<28}{out[name][rate]:>10,.0f} messages/s")
    alone = out["accept, a lone message"]
    print(f"{'  a lone message:':<28}{alone['accepted_us']:>10,.0f} us from the end of its content to the 250, a write and flush "
          f"{alone['write_and_flush_us']:,.0f} us: {alone['flushes']:.2f} flush times (target {TARGETS['lone']})")
    rates = out["accept, discarding"]["rates"]
    shares = ", ".join(f"{row[rate] / v:.0%} of {k}" for k, v in rates.items())
    kinds = ", ".join(f"{k} {v:,.0f}" for k, v in rates.items())
    print(f"{'  discarding:':<28}{out['accept, discarding'][rate]:>10,.0f} messages/s ({kinds})")
    print(f"accept / Postfix: {row[rate] / peer:.1f} times (target {TARGETS['postfix']}); of what a receiver gets that discards: "
          f"{shares} (target {TARGETS['discard']:.0%})")
