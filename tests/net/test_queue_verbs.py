# SPDX-License-Identifier: BSD-3-Clause
"""Operators' hands on many messages: every order, every condition, dry runs, and what is refused."""

import json
import smtplib
import subprocess
import time

import penstock_run as run
import pytest

DONE, REFUSED, USAGE = 0, 1, 2


def send(gateway, sender, recipients, headers=(), size=0):
    text = "".join(f"{h}\r\n" for h in headers) + "Subject: x\r\n\r\n" + "x" * size + "\r\n"
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
        client.sendmail(sender, list(recipients), text)


@pytest.fixture
def full(folder, pair):
    """Five messages that nobody takes, of two tenants."""
    _sink, gateway = pair("-r", "RCPT:100", "-b", "450 4.2.1 come back later", minimal_backoff_time="300s",
                          event_log_file=folder / "events")
    send(gateway, "a@bulk.example", ["r0@one.test"], ["X-Penstock-Tenant: acme", "X-Penstock-Campaign: xmas"])
    send(gateway, "a@bulk.example", ["r1@one.test", "r1@two.test"], ["X-Penstock-Tenant: acme"])
    send(gateway, "b@bulk.example", ["r2@two.test"], ["X-Penstock-Tenant: other", "X-Penstock-Campaign: xmas"])
    send(gateway, "b@bulk.example", ["r3@two.test"], size=9000)
    send(gateway, "", ["r4@three.test"])
    run.wait_until(lambda: gateway.json("status")["queue"]["deferred"] == 5, 20, "five deferred messages", gateway.alive)
    return gateway


def count(gateway, *conditions):
    found = gateway.json("queue", "list", "--count", *conditions)[0]
    return found["messages"], found["recipients"]


def addresses(gateway, *conditions):
    return sorted(r["address"] for e in gateway.json("queue", "list", *conditions) for r in e["recipients"])


def test_conditions_choose_what_they_say(full):
    assert count(full) == (5, 6)
    assert count(full, "--domain", "one.test")[0] == 2
    assert count(full, "--domain", "TWO.test")[0] == 3
    assert count(full, "--recipient", "r3@two.test")[0] == 1
    assert count(full, "--sender", "b@bulk.example")[0] == 2
    assert count(full, "--sender", "<>")[0] == 1
    assert count(full, "--state", "deferred")[0] == 5
    assert count(full, "--state", "active,hold")[0] == 0
    assert count(full, "--older-than", "1h")[0] == 0
    assert count(full, "--in-doubt")[0] == 0
    assert count(full, "--sender", "b@bulk.example", "--domain", "two.test")[0] == 2
    assert count(full, "--sender", "a@bulk.example", "--domain", "three.test")[0] == 0
    assert addresses(full, "--domain", "three.test") == ["r4@three.test"]


def test_tenants_and_campaigns_come_from_headers(full):
    assert count(full, "--tenant", "acme")[0] == 2
    assert count(full, "--campaign", "xmas")[0] == 2
    assert count(full, "--tenant", "other", "--campaign", "xmas")[0] == 1
    by = {t["name"]: t["recipients"] for t in full.json("tenant", "list")["tenants"]}
    assert (by["acme"], by["other"], by[""]) == (3, 1, 2)
    by = {c["name"]: c["messages"] for c in full.json("campaign", "list", "--campaign", "xmas")["campaigns"]}
    assert by == {"acme/xmas": 1, "other/xmas": 1}


def test_a_site_is_a_condition(full):
    sites = full.json("site", "list")
    assert sites["total"] == 1
    name = sites["sites"][0]["site"]
    assert count(full, "--site", name)[0] == 5
    assert count(full, "--site", "mx.nowhere.example.")[0] == 0
    shown = full.json("site", "show", name)
    assert shown["site"] == name and shown["parts"][0]["deferred"] > 0
    missing = full.cli("site", "show", "nowhere.example", check=False)
    assert missing.returncode == REFUSED and "no such site" in missing.stderr


def test_list_has_limits_and_orders(full):
    assert len(full.json("queue", "list", "--limit", "2")) == 2
    (largest,) = full.json("queue", "list", "--sort", "largest", "--limit", "1")
    assert largest["recipients"][0]["address"] == "r3@two.test"
    oldest = [e["queue_id"] for e in full.json("queue", "list", "--sort", "oldest")]
    newest = [e["queue_id"] for e in full.json("queue", "list", "--sort", "newest")]
    assert len(oldest) == 5 and set(oldest) == set(newest)
    assert full.json("queue", "list", "--limit", "1")[0]["queue_id"] == oldest[0]
    text = full.cli("queue", "list", "--count").stdout
    assert text == "5 messages, 6 recipients\n"


@pytest.mark.parametrize("verb,extra", [
    ("hold", []), ("release", []), ("requeue", []), ("retry", []), ("delete", []), ("bounce", ["--reason", "x"]),
    ("expire", []), ("move", ["--pool", "default"])])
def test_an_order_without_a_choice_is_refused(build, folder, verb, extra):
    done = subprocess.run([build / "tools/penstock/penstock", "--socket", folder / "nobody", "queue", verb, *extra],
                          capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "--everything" in done.stderr and "--tenant" in done.stderr


@pytest.mark.parametrize("words,what", [
    (["queue", "bounce", "--everything"], "--reason"), (["queue", "move", "--everything"], "--pool"),
    (["queue", "delete", "--older-than", "soon"], "such as"), (["queue", "delete", "--colour", "red"], "unknown option"),
    (["queue", "delete", "--tenant"], "wants a value"), (["queue", "list", "--sort", "by-luck"], "oldest"),
    (["queue", "list", "--limit", "0"], "number"), (["queue", "delete", "ID", "--tenant", "a"], "either"),
    (["suspend", "tenant", "acme"], "--reason"), (["suspend", "moon", "acme", "--reason", "x"], "site, domain"),
    (["why"], "queue id"), (["queue", "hold", "--everything=yes"], "no value")])
def test_mistakes_say_what_is_accepted(build, folder, words, what):
    done = subprocess.run([build / "tools/penstock/penstock", "--socket", folder / "nobody", *words],
                          capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert what in done.stderr


def test_the_daemon_refuses_by_itself_what_the_command_would(full):
    import socket

    def ask(**request):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(full.socket))
            s.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(s.makefile().readline())

    answer = ask(verb="queue.apply", args={"action": "delete"})
    assert not answer["ok"] and "which messages?" in answer["error"]
    answer = ask(verb="queue.apply", args={"action": "delete", "selector": {}})
    assert not answer["ok"]
    answer = ask(verb="queue.apply", args={"action": "explode", "selector": {"everything": True}})
    assert not answer["ok"] and "give count, hold" in answer["error"]
    answer = ask(verb="queue.apply", args={"action": "delete", "selector": {"state": "asleep"}})
    assert not answer["ok"] and "state asleep" in answer["error"]
    assert full.queued() == 5


def test_a_dry_run_changes_nothing(full):
    for verb, extra in (("delete", []), ("bounce", ["--reason", "no more"]), ("hold", []), ("expire", [])):
        found = full.json("queue", verb, "--domain", "two.test", "--dry-run", *extra)
        assert (found["dry_run"], found["messages"]) == (True, 3)
        assert "would be" in full.cli("queue", verb, "--domain", "two.test", "--dry-run", *extra).stdout
    assert count(full, "--state", "deferred")[0] == 5


def test_hold_and_release(full):
    assert full.cli("queue", "hold", "--sender", "b@bulk.example").stdout == "2 messages put on hold\n"
    assert count(full, "--state", "hold")[0] == 2
    assert "2 messages are on hold" in full.cli("status").stdout
    held = full.json("queue", "list", "--state", "hold")
    assert full.json("queue", "release", held[0]["queue_id"]) == {"released": 1, "missing": []}
    assert full.json("queue", "release", "--everything")["released"] == 1
    assert count(full, "--state", "hold")[0] == 0


def test_retry_and_requeue_make_another_attempt(full):
    def attempts(*conditions):
        return sorted(r["attempts"] for e in full.json("queue", "list", *conditions) for r in e["recipients"])

    full.cli("queue", "retry", "--sender", "<>")
    run.wait_until(lambda: attempts("--sender", "<>") == [2], 20, "a second attempt", full.alive)
    assert attempts("--sender", "b@bulk.example") == [1, 1]
    full.cli("queue", "requeue", "--sender", "b@bulk.example")
    run.wait_until(lambda: attempts("--sender", "b@bulk.example") == [2, 2], 20, "attempts on a new route", full.alive)


def test_delete_by_domain_touches_only_its_recipients(full):
    assert full.json("queue", "delete", "--domain", "two.test")["recipients"] == 3
    run.wait_until(lambda: count(full) == (3, 3), 10, "the rest", full.alive)
    assert addresses(full) == ["r0@one.test", "r1@one.test", "r4@three.test"]
    assert full.json("queue", "delete", "--everything")["messages"] == 3
    full.wait_empty(10)
    totals = full.json("status")["totals"]
    assert (totals["deleted"], totals["bounced"]) == (6, 0)


def events(gateway, kind):
    path = gateway.base.parent / "events"
    return [r for r in map(json.loads, path.read_text().splitlines()) if r["type"] == kind]


def test_bounce_tells_the_senders_and_is_recorded(full):
    full.cli("queue", "bounce", "--domain", "one.test", "--reason", "the campaign was called off")
    run.wait_until(lambda: len(events(full, "AdminBounce") + events(full, "Bounce")) >= 2, 20, "records", full.alive)
    run.wait_until(lambda: count(full, "--sender", "<>")[0] == 3, 20, "two notifications in the queue", full.alive)
    assert full.json("status")["totals"]["bounced"] == 2
    assert addresses(full, "--domain", "one.test") == []
    run.wait_until(lambda: full.log.read_text().count("status=bounced (by operator)") == 2, 10, "the log", full.alive)
    (notice,) = full.json("queue", "list", "--sender", "<>", "--limit", "1")
    assert notice["queue_name"] in ("deferred", "active", "waiting")
    found = full.json("audit")
    assert (found["balanced"], found["totals"]["bounced"]) == (True, 2)


def test_expire_ends_as_time_would(full):
    full.cli("queue", "expire", "--sender", "b@bulk.example")
    run.wait_until(lambda: full.json("status")["totals"]["expired"] == 2, 20, "the end of two messages", full.alive)
    run.wait_until(lambda: len(events(full, "Expiration")) == 2, 20, "their records", full.alive)


def test_move_gives_another_route(full):
    assert full.cli("queue", "move", "--everything", "--route", "nonsense", check=False).returncode == REFUSED
    refused = full.cli("queue", "move", "--everything", "--pool", "nosuch", check=False)
    assert refused.returncode == REFUSED and "nosuch" in refused.stderr
    full.cli("queue", "move", "--sender", "b@bulk.example", "--route", "error:5.7.9 closed")
    time.sleep(0.1)
    moved = full.json("queue", "list", "--sender", "b@bulk.example")
    assert all(e.get("route") == "error:5.7.9 closed" for e in moved)


def test_mail_moves_only_to_a_pool_that_is_there(full):
    done = full.cli("queue", "move", "--everything", "--pool", "nosuch", check=False)
    assert done.returncode == REFUSED and "pool nosuch: egress.conf has no such pool" in done.stderr
    dry = full.cli("queue", "move", "--everything", "--pool", "nosuch", "--dry-run", check=False)
    assert dry.returncode == REFUSED
    assert full.json("queue", "move", "--everything", "--pool", "default")["messages"] == 5


def test_ids_come_from_standard_input(full):
    ids = [e["queue_id"] for e in full.json("queue", "list")]
    done = subprocess.run([full.build / "tools/penstock/penstock", "--socket", full.socket, "queue", "hold", "-"],
                          input=f"{ids[0]}!\n\n{ids[3]} trailing\nnonsense\n", capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (REFUSED, "2 messages put on hold\n")
    assert "nonsense: no such message" in done.stderr


def test_suspensions_are_listed_and_end(full):
    made = full.json("suspend", "tenant", "acme", "--for", "1h", "--reason", "complaints")
    assert (made["scope"], made["name"], made["by"]) == ("tenant", "acme", "operator")
    assert 3500 < made["until"] - time.time() < 3700
    full.json("suspend", "domain", "two.test", "--reason", "migration")
    listed = full.json("suspend", "list")["suspensions"]
    assert {(s["scope"], s["name"]) for s in listed} == {("tenant", "acme"), ("domain", "two.test")}
    assert "2 suspensions hold mail" in full.cli("status").stdout
    assert full.json("resume", "tenant", "acme")["resumed"] == 1
    again = full.cli("resume", "tenant", "acme", check=False)
    assert again.returncode == REFUSED and "is not suspended" in again.stderr
    assert full.json("resume", listed[1]["id"] if listed[1]["scope"] == "domain" else listed[0]["id"])["resumed"] == 1
    assert full.json("suspend", "list") == {"suspensions": []}
    refused = full.cli("suspend", "source", "s9", "--reason", "x", check=False)
    assert refused.returncode == REFUSED and "no such source" in refused.stderr


def test_sources_and_pools_are_listed(full):
    (source,) = full.json("source", "list")["sources"]
    assert (source["name"], source["address"]) == ("s0", "10.99.0.2")
    pools = {p["name"]: p for p in full.json("pool", "list")["pools"]}
    assert pools["default"]["messages"] == 5
    for verb in (["source", "list"], ["pool", "list"], ["tenant", "list"], ["site", "list"], ["suspend", "list"]):
        assert full.cli(*verb).stdout


def test_many_recipients_are_shown_whole(full):
    with smtplib.SMTP("127.0.0.1", full.port, timeout=30) as client:
        client.sendmail("many@bulk.example", [f"u{n}@many.test" for n in range(900)], "Subject: many\r\n\r\nx\r\n")
    (entry,) = full.json("queue", "list", "--sender", "many@bulk.example")
    assert len(entry["recipients"]) == 900
    assert len(full.json("queue", "show", entry["queue_id"])["recipients"]) == 900
