# SPDX-License-Identifier: BSD-3-Clause
"""A reload takes effect as a whole, or not at all, and says what is wrong or has to wait for a restart."""

import signal
import smtplib

import penstock_run as run
import pytest


@pytest.fixture
def gateway(pair):
    _, gateway = pair(minimal_backoff_time="300s")
    return gateway


def set_main(gateway, **params):
    """Sets parameters in main.cf; returns the lines they stand in."""
    path = gateway.conf / "main.cf"
    lines = [line for line in path.read_text().splitlines() if line.split(" = ")[0] not in params]
    lines += [f"{k} = {v}" for k, v in params.items()]
    path.write_text("\n".join(lines) + "\n")
    return {line.split(" = ")[0]: n for n, line in enumerate(lines, 1)}


def add_egress(gateway, text):
    """Appends to egress.conf; returns the line that the text begins in."""
    path = gateway.conf / "egress.conf"
    before = path.read_text()
    path.write_text(before + text)
    return before.count("\n") + 1


def explained_limit(gateway):
    return gateway.json("explain", "r@example.test")["limits"]["recipients_per_delivery"]


def test_a_bad_file_changes_nothing_and_names_line_and_value(gateway):
    at = set_main(gateway, default_destination_recipient_limit=7, minimal_backoff_time="soon")
    line = add_egress(gateway, 'site a { mx = ["*.example"]; message_rate = "100/x" }\nrule { reply = "/(/"; action = suspend }\n')
    done = gateway.cli("reload", check=False)
    assert done.returncode == 1
    assert f"{gateway.conf}/main.cf:{at['minimal_backoff_time']}: error: minimal_backoff_time = soon" in done.stderr
    assert f"{gateway.conf}/egress.conf:{line}: error: message_rate = 100/x: at position 5" in done.stderr
    assert f"{gateway.conf}/egress.conf:{line + 1}: error: reply = /(/: missing closing parenthesis" in done.stderr
    assert "nothing was changed" in done.stderr
    assert explained_limit(gateway) == 50


def test_a_good_file_takes_effect_on_a_running_daemon(pair, submit):
    sink, gateway = pair()
    set_main(gateway, default_destination_recipient_limit=2, queue_minfree="1k")
    add_egress(gateway, 'site a { mx = ["*"]; connections = 5 }\n')
    result = gateway.json("reload")
    assert result["reloaded"]
    assert set(result["changed"]) >= {"default_destination_recipient_limit", "queue_minfree", "egress.conf"}
    assert result["restart"] == []
    assert explained_limit(gateway) == 2
    submit(gateway, recipients=[f"r{i}@example.test" for i in range(5)])
    gateway.wait_empty()
    status = sink.status(fresh=True)
    assert (status["recipients"], status["messages"]) == (5, 3)  # two in a transaction
    assert gateway.json("reload")["changed"] == []
    gateway.stop()  # before its receiver


def test_a_route_is_another_one_after_a_reload(gateway, submit):
    set_main(gateway, transport_maps="inline:{{ gone.test = error:5.1.2 no more }}")
    gateway.cli("reload")
    submit(gateway, recipients=["r@gone.test"])
    run.wait_until(lambda: "no more" in gateway.log.read_text(), 20, "a bounce", gateway.alive)


def test_header_checks_are_other_ones_after_a_reload(gateway, submit):
    checks = gateway.base / "checks"
    checks.write_text("/^Subject: never/ REJECT no\n")
    set_main(gateway, header_checks=f"pcre:{checks}")
    assert "header_checks" in gateway.json("reload")["changed"]
    with pytest.raises(smtplib.SMTPDataError):
        submit(gateway, text="Subject: never\r\n\r\nx\r\n")
    # The same file with other rules: the tables are read too.
    checks.write_text("/^Subject: (always/ REJECT no\n")
    done = gateway.cli("reload", check=False)
    assert done.returncode == 1 and str(checks) in done.stderr
    checks.write_text("/^Subject: always/ REJECT no\n")
    gateway.cli("reload")
    submit(gateway, text="Subject: never\r\n\r\nx\r\n")


def test_what_needs_a_restart_is_named_and_the_rest_takes_effect(gateway):
    add_egress(gateway, "memory_mb = 300\n")
    set_main(gateway, smtpd_recipient_limit=77, default_destination_recipient_limit=9)
    done = gateway.cli("reload")
    assert "changed, but needs a restart: smtpd_recipient_limit = 77 (in effect: 1000)" in done.stdout
    assert "changed, but needs a restart: memory_mb = 300 (in effect: 256)" in done.stdout
    assert explained_limit(gateway) == 9
    # It is named as long as it is so.
    assert "smtpd_recipient_limit = 77" in gateway.cli("reload").stdout
    gateway.stop()
    gateway.start()
    assert gateway.json("reload")["restart"] == []


def test_other_sources_or_pools_change_nothing(gateway):
    set_main(gateway, default_destination_recipient_limit=9)
    good = (gateway.conf / "egress.conf").read_text()
    line = add_egress(gateway, 'pool bulk { sources = [s0] }\n')
    done = gateway.cli("reload", check=False)
    assert done.returncode == 1
    assert f"egress.conf:{line}: error: pool bulk is new: a change of pools needs a restart" in done.stderr
    (gateway.conf / "egress.conf").write_text(good.replace("10.99.0.2", "10.99.0.7"))
    done = gateway.cli("reload", check=False)
    assert "source s0 (10.99.0.7) stands where source s0 (10.99.0.2) is in use" in done.stderr
    assert explained_limit(gateway) == 50


def test_a_check_only_says_what_would_happen(gateway):
    set_main(gateway, default_destination_recipient_limit=9)
    result = gateway.json("reload", "--check")
    assert (result["ok"], result["reloaded"]) == (True, False)
    # What is made of it by default changes too.
    assert result["changed"] == [f"{t}_destination_recipient_limit" for t in ("default", "lmtp", "smtp")]
    assert explained_limit(gateway) == 50


def test_sighup_reloads_and_reports_to_the_log(gateway):
    set_main(gateway, default_destination_recipient_limit=9)
    gateway.process.send_signal(signal.SIGHUP)
    run.wait_until(lambda: explained_limit(gateway) == 9, 20, "the new limit", gateway.alive)
    at = set_main(gateway, soft_bounce="perhaps")
    gateway.process.send_signal(signal.SIGHUP)
    run.wait_until(lambda: "the configuration was not changed" in gateway.log.read_text(), 20, "a refusal", gateway.alive)
    assert f"main.cf:{at['soft_bounce']}: error: soft_bounce = perhaps" in gateway.log.read_text()


def test_reloads_under_load_lose_nothing(pair, build, folder, closing):
    sink, gateway = pair()
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", 3000, "-l", 2000,
                                "-f", "s@bulk.example", "-t", "r@example.test"))
    for n in range(10):
        set_main(gateway, default_destination_recipient_limit=n + 1, default_destination_concurrency_limit=n + 1)
        add_egress(gateway, f'site s{n} {{ mx = ["*.s{n}.example"]; connections = {n + 1} }}\n')
        assert gateway.json("reload")["reloaded"]
    assert source.result(120)["accepted"] == 3000
    gateway.wait_empty()
    assert sink.status(fresh=True)["unique"] == 3000
    gateway.stop()  # before its receiver


def test_a_damaged_state_of_shaping_is_set_aside(gateway):
    state = gateway.spool / "shape-state"
    run.wait_until(state.exists, 10, "the state's file", gateway.alive)
    gateway.stop()
    state.write_bytes(state.read_bytes()[:-5] + b"xxxx\n")
    gateway.start()
    assert "shape-state: is damaged and was moved to corrupt/shape-state.1" in gateway.said() + gateway.log.read_text()
    assert (gateway.spool / "corrupt" / "shape-state.1").exists()
    assert state.exists()
