# SPDX-License-Identifier: BSD-3-Clause
"""The other side of a port goes away and comes back while the gateway runs."""

import os
import signal
import time

import peers
import penstock_run as run

MESSAGES = 2000


def port_of(gateway):
    return gateway.json("status")["ports"][0]


def kill(process):
    process.process.send_signal(signal.SIGKILL)
    process.process.wait(10)


def start(build, folder, closing):
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s"}))
    return memif, sink, gateway


def submit(build, folder, closing, gateway, first, count):
    return closing(run.Source(build, folder, gateway.port, "-s", 8, "-m", count, "--first", first, "-l", 20000,
                              "-f", "s@bulk.example", "-t", "r@example.test"))


def test_a_memif_whose_server_is_killed_and_started_again_delivers_everything(build, folder, closing):
    memif, sink, gateway = start(build, folder, closing)
    assert port_of(gateway) == {"name": "p0", "link": "up", "changes": 0}
    source = submit(build, folder, closing, gateway, 1, MESSAGES)
    run.wait_until(lambda: gateway.json("status")["totals"]["delivered"] >= MESSAGES // 10, 30, "the first deliveries")
    kill(sink)
    run.wait_until(lambda: port_of(gateway)["link"] == "down", 5, "the link to be down")
    time.sleep(1.2)  # two or three attempts find nobody
    assert port_of(gateway) == {"name": "p0", "link": "down", "changes": 1}
    assert gateway.json("status")["totals"]["delivered"] < MESSAGES, "nothing was left to deliver"
    sink = closing(run.Sink(build, folder, memif))
    run.wait_until(lambda: port_of(gateway)["link"] == "up", 5, "the link to be up again", gateway.alive)
    assert source.result(60)["accepted"] == MESSAGES
    run.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 60, "an empty queue", gateway.alive)
    status = gateway.json("status")
    assert status["totals"]["delivered"] == MESSAGES
    assert status["totals"]["bounced"] == 0
    assert port_of(gateway) == {"name": "p0", "link": "up", "changes": 2}
    assert sink.status()["corrupted"] == 0
    log = gateway.log.read_text()
    assert "port p0: link is down" in log
    assert "port p0: link is up again" in log
    assert "name p0 link up changes 2" in " ".join(gateway.cli("status").stdout.split())


def test_many_restarts_leave_no_packet_buffer_and_no_file_behind(build, folder, closing):
    memif, sink, gateway = start(build, folder, closing)
    files = f"/proc/{gateway.process.pid}/fd"
    submit(build, folder, closing, gateway, 1, 50).result(30)
    run.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 30, "an empty queue", gateway.alive)
    before = len(os.listdir(files))
    rounds, count = 12, 200
    for n in range(rounds):
        source = submit(build, folder, closing, gateway, 100 + n * count, count)
        time.sleep(0.1)
        kill(sink)
        sink = closing(run.Sink(build, folder, memif))
        source.result(60)
        run.wait_until(lambda: port_of(gateway)["link"] == "up", 10, "the link to be up again", gateway.alive)
    run.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 60, "an empty queue", gateway.alive)
    assert gateway.json("status")["totals"]["delivered"] == 50 + rounds * count
    assert port_of(gateway)["changes"] == 2 * rounds
    time.sleep(3)  # submitting and delivering connections close
    assert len(os.listdir(files)) <= before + 4


def test_the_link_of_a_veth_is_reported(build, folder, closing):
    mine, theirs = closing(peers.Namespace("plg")), closing(peers.Namespace("plp"))
    peers.Wire(mine, theirs, "10.77.0.1/24")
    gateway = closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0", source="10.77.0.2",
                                  netns=mine.name, settings={"relayhost": "[10.77.0.1]:25"}))
    assert port_of(gateway) == {"name": "p0", "link": "up", "changes": 0}
    mine.run("ip", "link", "set", "bypass0", "down")
    run.wait_until(lambda: port_of(gateway)["link"] == "down", 5, "the link to be down", gateway.alive)
    mine.run("ip", "link", "set", "bypass0", "up")
    run.wait_until(lambda: port_of(gateway)["link"] == "up", 5, "the link to be up again", gateway.alive)
    assert port_of(gateway)["changes"] == 2
