# SPDX-License-Identifier: BSD-3-Clause
"""The same daemon over every kind of virtual device, against Linux TCP."""

import peers
import penstock_run as run
import pytest

MESSAGES = 200


def receiver(ns, folder, closing, address):
    """Postfix's smtp-sink: accepts and discards."""
    options = ["-6"] if address.startswith("[") else []
    closing(run.Process("smtp-sink", ["smtp-sink", *options, "-u", "nobody", f"{address}:25", "100"], folder,
                        netns=ns.name))
    peers.wait_until(lambda: f"{address}:25 " in ns.run("ss", "-Hltn"), 10, "smtp-sink to listen")


def deliver(build, folder, gateway, ns):
    source = run.Source(build, folder, gateway.port, "-d", "-s", 4, "-m", MESSAGES, "-l", 20000, "-f", "s@bulk.example",
                        "-t", "r@example.test", netns=ns.name)
    assert source.result(60)["accepted"] == MESSAGES
    peers.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 60, "an empty queue")
    totals = gateway.json("status")["totals"]
    assert totals["delivered"] == MESSAGES
    assert totals["bounced"] == 0


@pytest.fixture
def wired(folder, closing):
    mine, theirs = closing(peers.Namespace("pdg")), closing(peers.Namespace("pdp"))
    peers.Wire(mine, theirs, "10.77.0.1/24")
    receiver(theirs, folder, closing, "10.77.0.1")
    return mine, theirs


@pytest.mark.parametrize("device", ["net_af_packet0,iface=bypass0", "net_af_xdp0,iface=bypass0"])
def test_mail_flows_over_a_veth_and_the_gateway_answers_ping(build, folder, closing, wired, device):
    mine, theirs = wired
    gateway = closing(run.Gateway(build, folder / "gateway", device, source="10.77.0.2", netns=mine.name,
                                  settings={"relayhost": "[10.77.0.1]:25"}))
    deliver(build, folder, gateway, mine)
    assert " 0% packet loss" in theirs.run("ping", "-c", "3", "-i", "0.2", "-W", "20", "10.77.0.2")


def test_mail_flows_over_a_tap(build, folder, closing):
    mine = closing(peers.Namespace("pdt"))
    gateway = closing(run.Gateway(build, folder / "gateway", "net_tap0,iface=tap77", source="10.77.0.2",
                                  netns=mine.name, settings={"relayhost": "[10.77.0.1]:25"}))
    mine.run("ip", "addr", "add", "10.77.0.1/24", "dev", "tap77")
    mine.run("ip", "link", "set", "tap77", "up")
    receiver(mine, folder, closing, "10.77.0.1")
    deliver(build, folder, gateway, mine)


def test_a_host_beyond_the_prefix_is_reached_through_the_gateway(build, folder, closing, wired):
    mine, theirs = wired
    theirs.run("ip", "addr", "add", "198.51.100.25/32", "dev", "lo")
    receiver(theirs, folder, closing, "198.51.100.25")
    gateway = closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0", source="10.77.0.2",
                                  gateway="10.77.0.1", netns=mine.name,
                                  settings={"relayhost": "[198.51.100.25]:25"}))
    deliver(build, folder, gateway, mine)


def test_two_workers_and_four_sources_share_one_port(build, folder, closing, wired):
    mine, _theirs = wired
    extra = "".join(f'source s{n} {{ port = p0; address = "10.77.0.{n}"; }}\n' for n in (3, 4, 5))
    gateway = closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0,qpairs=2", source="10.77.0.2",
                                  netns=mine.name, workers=2, egress=extra,
                                  settings={"relayhost": "[10.77.0.1]:25",
                                            "smtp_connection_reuse_count_limit": "5"}))
    deliver(build, folder, gateway, mine)
    workers = gateway.json("status")["workers"]
    assert len(workers) == 2
    assert all(w["busy_loops"] > 0 for w in workers)


@pytest.fixture
def wired6(folder, closing):
    mine, theirs = closing(peers.Namespace("pdg")), closing(peers.Namespace("pdp"))
    peers.Wire(mine, theirs, "fd00:77::1/64")
    receiver(theirs, folder, closing, "[fd00:77::1]")
    return mine, theirs


def ping6(ns, address):
    return ns.run("ping", "-6", "-c", "3", "-i", "0.2", "-W", "20", address)


@pytest.mark.parametrize("device", ["net_af_packet0,iface=bypass0", "net_af_xdp0,iface=bypass0"])
def test_mail_flows_over_ipv6_and_the_gateway_answers_ping(build, folder, closing, wired6, device):
    mine, theirs = wired6
    gateway = closing(run.Gateway(build, folder / "gateway", device, source="fd00:77::2", netns=mine.name,
                                  settings={"relayhost": "[ipv6:fd00:77::1]:25"}))
    # The kernel asks first, by multicast: nothing was sent yet.
    assert " 0% packet loss" in ping6(theirs, "fd00:77::2")
    deliver(build, folder, gateway, mine)
    assert "lladdr" in theirs.run("ip", "-6", "neigh", "show", "fd00:77::2")
    # Packets that are as long as the link takes.
    assert " 0% packet loss" in theirs.run("ping", "-6", "-c", "2", "-i", "0.2", "-W", "20", "-s", "1452", "fd00:77::2")


def test_an_ipv6_host_beyond_the_prefix_is_reached_through_a_link_local_gateway(build, folder, closing, wired6):
    mine, theirs = wired6
    theirs.run("ip", "addr", "add", "2001:db8::25/128", "dev", "lo", "nodad")
    receiver(theirs, folder, closing, "[2001:db8::25]")
    theirs.run("ip", "addr", "add", "fe80::77/64", "dev", "kernel0", "nodad")
    theirs.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    gateway = closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0", source="fd00:77::2",
                                  gateway="fe80::77", netns=mine.name,
                                  settings={"relayhost": "[ipv6:2001:db8::25]:25"}))
    deliver(build, folder, gateway, mine)


def test_two_workers_and_sources_of_both_families_share_one_port(build, folder, closing):
    mine, theirs = closing(peers.Namespace("pdg")), closing(peers.Namespace("pdp"))
    peers.Wire(mine, theirs, "10.77.0.1/24", "fd00:77::1/64")
    receiver(theirs, folder, closing, "[fd00:77::1]")
    extra = 'source s1 { port = p0; address = "10.77.0.2"; }\n' + "".join(
        f'source s{n} {{ port = p0; address = "fd00:77::{n}"; }}\n' for n in (3, 4, 5))
    gateway = closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0,qpairs=2",
                                  source="fd00:77::2", netns=mine.name, workers=2, egress=extra,
                                  settings={"relayhost": "[ipv6:fd00:77::1]:25",
                                            "smtp_connection_reuse_count_limit": "5"}))
    deliver(build, folder, gateway, mine)
    assert all(w["busy_loops"] > 0 for w in gateway.json("status")["workers"])
    for n in (2, 3, 4, 5):
        assert " 0% packet loss" in ping6(theirs, f"fd00:77::{n}")
    assert " 0% packet loss" in theirs.run("ping", "-c", "3", "-i", "0.2", "-W", "20", "10.77.0.2")
