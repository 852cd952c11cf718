# SPDX-License-Identifier: BSD-3-Clause
"""A start that cannot succeed ends with one sentence that says where and what to do."""

import json
import socket
import subprocess

import penstock_run as run
import pytest


class Site:
    """A configuration folder and the programs run on it."""

    def __init__(self, build, folder):
        self.build, self.folder = build, folder
        self.conf = folder / "conf"
        self.conf.mkdir()
        self.main, self.egress = self.conf / "main.cf", self.conf / "egress.conf"
        self.params = {
            "myhostname": "gateway.example", "smtpd_listen": f"127.0.0.1:{run.free_port()}",
            "queue_directory": folder / "spool", "maillog_file": folder / "maillog",
            "control_socket": folder / "control.sock", "mail_owner": ""}
        # The server's end of a memif comes up without anybody at the other.
        self.device = run.MEMIF.format(role="server", socket=folder / "own.sock", mac="02:00:00:00:00:03")

    def write(self, **params):
        """Writes both files; returns the lines of main.cf that the parameters stand in."""
        self.params.update(params)
        self.main.write_text("".join(f"{k} = {v}\n" for k, v in self.params.items()))
        self.egress.write_text(
            "workers = 1;\ncores = [0];\n"
            f'port p0 {{\n\tdevice = "{self.device}";\n\tprefix = 24;\n}}\n'
            'source s0 {\n\tport = p0;\n\taddress = "10.99.0.2";\n}\n')
        return {k: n for n, k in enumerate(self.params, 1)}

    def daemon(self, *args):
        return subprocess.run([self.build / "control/penstockd", "-c", self.conf, *args], capture_output=True,
                              text=True, timeout=30)

    def cli(self, *args):
        return subprocess.run([self.build / "tools/penstock/penstock", "-c", self.conf, *args], capture_output=True,
                              text=True, timeout=30)

    def refuses(self, *parts, lines=1):
        """The daemon ends with 1 and one line of its own that has all the parts."""
        done = self.daemon()
        assert done.returncode == 1, done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("penstockd: ")]
        faults = [line for line in said if all(p in line for p in parts)]
        assert faults, done.stderr
        # DPDK's own lines may stand beside ours; ours are few.
        assert len(said) <= lines, done.stderr
        return faults[0]


@pytest.fixture
def site(build, folder):
    return Site(build, folder)


def test_a_value_out_of_range_is_named_with_file_line_and_range(site):
    at = site.write(smtpd_hard_error_limit=0)
    site.refuses(f"{site.main}:{at['smtpd_hard_error_limit']}: ", "smtpd_hard_error_limit = 0", "1 to 10000")


def test_a_value_of_the_wrong_kind_is_named_with_what_is_accepted(site):
    at = site.write(minimal_backoff_time="soon")
    site.refuses(f"{site.main}:{at['minimal_backoff_time']}: ", "minimal_backoff_time = soon", "accepted is")


def test_an_unknown_word_is_answered_with_the_known_ones(site):
    at = site.write(smtp_tls_security_level="danish")
    site.refuses(f"{site.main}:{at['smtp_tls_security_level']}: ", "smtp_tls_security_level = danish", "none", "may",
                 "encrypt")


def test_every_fault_is_reported_not_only_the_first(site):
    at = site.write(smtpd_hard_error_limit=0, soft_bounce="perhaps")
    for name in ("smtpd_hard_error_limit", "soft_bounce"):
        site.refuses(f"{site.main}:{at[name]}: ", lines=2)


def test_a_missing_egress_conf_is_named(site):
    site.write()
    site.egress.unlink()
    site.refuses(f"{site.egress}: error: is missing", "port p0 {", "source s0 {")


def test_a_missing_main_cf_is_named(site):
    site.refuses(str(site.main), "No such file")


def test_an_unknown_key_in_egress_conf_is_answered_with_the_likely_one(site):
    site.write()
    site.egress.write_text(site.egress.read_text().replace("workers", "worker"))
    site.refuses(f"{site.egress}:1: ", '"worker"', 'did you mean "workers"')


def test_a_bad_address_in_egress_conf_is_named_with_its_line(site):
    site.write()
    site.egress.write_text(site.egress.read_text().replace("10.99.0.2", "10.99.0"))
    site.refuses(f"{site.egress}:9: ", "10.99.0")


def test_a_device_that_dpdk_does_not_know_is_named(site):
    site.device = "net_bogus0"
    site.write()
    site.refuses("net_bogus0")


def test_an_interface_that_does_not_exist_is_named(site):
    site.device = "net_af_packet0,iface=nosuch77"
    site.write()
    site.refuses("nosuch77")


def test_an_unknown_mail_owner_is_answered_with_the_command_that_makes_it(site):
    site.write(mail_owner="nosuchuser77")
    site.refuses("mail_owner = nosuchuser77", "useradd")


def test_a_listening_port_that_is_taken_is_named(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.write(smtpd_listen=f"127.0.0.1:{port}")
        site.refuses(f"smtpd_listen: cannot listen on 127.0.0.1 port {port}: Address already in use")


def test_a_submission_certificate_that_is_missing_is_named(site):
    site.write(smtpd_tls_security_level="may")
    site.refuses("smtpd_tls_cert_file = : STARTTLS needs it", "smtpd_tls_security_level = none")


def test_a_submission_certificate_that_cannot_be_read_is_named(site):
    site.write(smtpd_tls_security_level="may", smtpd_tls_cert_file="/nowhere/cert.pem")
    site.refuses("smtpd_tls_cert_file = /nowhere/cert.pem: No such file or directory")


def test_a_second_daemon_on_the_same_spool_is_refused(site, pair, submit):
    _sink, gateway = pair()
    site.write(queue_directory=gateway.spool)
    site.refuses(str(gateway.spool), "queue_directory")
    submit(gateway)
    gateway.wait_empty()


def test_a_second_daemon_on_the_same_control_socket_is_refused(site, pair):
    _sink, gateway = pair()
    site.write(control_socket=gateway.socket)
    site.refuses(f"control_socket = {gateway.socket}", "another penstockd is running")
    assert gateway.listening()


def test_a_bad_line_in_a_transport_map_is_named_with_its_line(site):
    table = site.conf / "transport"
    table.write_text("# routes\nexample.test smtp:[192.0.2.1]:25\nbroken.example\n")
    site.write(transport_maps=f"texthash:{table}")
    site.refuses(f"{table}:3: ")


def test_a_transport_map_that_is_missing_is_named(site):
    at = site.write(transport_maps=f"texthash:{site.conf}/nosuch")
    fault = site.refuses(f"{site.conf}/nosuch", "No such file")
    assert f"{site.main}:{at['transport_maps']}: " in fault or f"{site.conf}/nosuch: " in fault


def test_a_bad_pattern_in_header_checks_is_named_with_its_line(site):
    table = site.conf / "header_checks"
    table.write_text("/^Subject: good/ WARN\n/^X-Bad: (unclosed/ REJECT\n")
    site.write(header_checks=f"pcre:{table}")
    site.refuses(f"{table}:2: ", "paren")
    assert site.daemon("--check").returncode == 1


def test_an_unknown_parameter_only_warns_with_file_and_line(site, closing):
    at = site.write(smtpd_hard_eror_limit=3)
    process = closing(run.Process("penstockd", [site.build / "control/penstockd", "-c", site.conf], site.folder))
    run.wait_until(lambda: site.cli("status").returncode == 0, 40, "penstockd to answer", process.alive)
    warning = f"{site.main}:{at['smtpd_hard_eror_limit']}: warning: unused parameter: smtpd_hard_eror_limit=3"
    assert f"penstockd: {warning} (did you mean smtpd_hard_error_limit?)" in process.said()


def test_config_check_reports_what_the_daemon_reports(site):
    at = site.write(smtpd_hard_error_limit=0, nosuch="x")
    done = site.cli("config", "check")
    assert done.returncode == 1
    assert f"{site.main}:{at['smtpd_hard_error_limit']}: error: smtpd_hard_error_limit = 0" in done.stderr
    assert "1 errors, 1 warnings" in done.stdout
    done = site.cli("config", "check", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["ok"], found["errors"], found["warnings"]) == (False, 1, 1)
    problem = next(p for p in found["problems"] if p["level"] == "error")
    assert (problem["file"], problem["line"]) == (str(site.main), at["smtpd_hard_error_limit"])
    site.params.pop("nosuch")
    site.write(smtpd_hard_error_limit=50)
    assert site.cli("config", "check").returncode == 0
    assert json.loads(site.cli("config", "check", "--json").stdout) == {
        "ok": True, "errors": 0, "warnings": 0, "problems": []}


def test_config_show_gives_names_and_values(site):
    site.write(smtpd_hard_error_limit=5, smtp_helo_name="$myhostname")
    done = site.cli("config", "show", "smtpd_hard_error_limit", "soft_bounce")
    assert done.stdout == "smtpd_hard_error_limit = 5\nsoft_bounce = no\n"
    everything = json.loads(site.cli("config", "show", "--json").stdout)
    assert everything["smtpd_hard_error_limit"] == "5" and everything["soft_bounce"] == "no"
    changed = json.loads(site.cli("config", "show", "-n", "--json").stdout)
    assert set(changed) == set(site.params)
    assert changed["smtp_helo_name"] == "$myhostname"
    assert json.loads(site.cli("config", "show", "-x", "--json", "smtp_helo_name").stdout) == {
        "smtp_helo_name": "gateway.example"}
    assert site.cli("config", "show", "nosuch").returncode == 1
    assert site.cli("config", "show", "--nosuch").returncode == 2
