# SPDX-License-Identifier: BSD-3-Clause
"""Submission with STARTTLS, and what clients may ask for inside and outside of TLS."""

import smtplib
import ssl

import peers
import penstock_run as run
import pytest


@pytest.fixture
def certificate(folder):
    return peers.self_signed(folder, "gateway.example")


@pytest.fixture
def world(folder, pair, certificate):
    """world(level, parameters) starts a sink and a gateway that offers or demands TLS."""

    def start(level="may", **settings):
        cert, key = certificate
        sink, gateway = pair("--dump-dir", folder / "dump", smtpd_tls_security_level=level, smtpd_tls_cert_file=cert,
                             smtpd_tls_key_file=key, smtpd_tls_loglevel=1, **settings)
        return sink, gateway, folder / "dump"

    return start


def client(gateway, tls=True):
    c = smtplib.SMTP("127.0.0.1", gateway.port, timeout=20)
    c.ehlo("client.example")
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        c.starttls(context=context)
        c.ehlo("client.example")
    return c


def content(sink, dump, n=1):
    run.wait_until(lambda: sink.status()["messages"] == n, 20, f"{n} messages")
    return sorted(dump.glob("*.eml"))[-1].read_bytes()


def test_mail_comes_in_over_tls_and_its_trace_says_so(world):
    sink, gateway, dump = world()
    with client(gateway) as c:
        assert not c.has_extn("starttls")
        c.sendmail("s@bulk.example", ["r@example.test"], "Subject: hello\r\n\r\nx\r\n")
    mail = content(sink, dump)
    assert b"Received: from client.example (unknown [127.0.0.1])\r\n\t(using TLSv1.3 with cipher TLS_" in mail
    assert b" with ESMTPS id " in mail
    log = gateway.log.read_text
    run.wait_until(lambda: "disconnect from" in log(), 10, "the end of the session in the mail log", gateway.alive)
    assert "Anonymous TLS connection established from unknown[127.0.0.1]: TLSv1.3 with cipher TLS_" in log()
    assert "disconnect from unknown[127.0.0.1] ehlo=2 starttls=1 mail=1 rcpt=1 data=1" in log()


def test_requiretls_is_listed_and_taken_inside_tls_only(world):
    _sink, gateway, _dump = world()
    with client(gateway, tls=False) as c:
        assert c.has_extn("starttls") and c.has_extn("dsn") and not c.has_extn("requiretls")
        assert c.mail("s@bulk.example", ["REQUIRETLS"]) == (555, b"5.5.4 Unsupported option: REQUIRETLS")
    with client(gateway) as c:
        assert c.has_extn("requiretls")
        assert c.mail("s@bulk.example", ["REQUIRETLS=yes"])[0] == 555
        assert c.mail("s@bulk.example", ["requiretls"])[0] == 250
        assert c.rcpt("r@example.test")[0] == 250
        assert c.data("Subject: x\r\n\r\nx\r\n")[0] == 250

def test_requiretls_can_be_switched_off(world):
    _sink, gateway, _dump = world(requiretls_enable="no")
    with client(gateway) as c:
        assert not c.has_extn("requiretls")
        assert c.mail("s@bulk.example", ["REQUIRETLS"])[0] == 555


def test_notification_requests_are_taken_and_bad_ones_refused(world):
    sink, gateway, _dump = world()
    with client(gateway, tls=False) as c:
        assert c.mail("s@bulk.example", ["RET=HDRS", "ENVID=QQ+2B1"])[0] == 250
        assert c.rcpt("r@example.test", ["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;r+2Bx@example.test"])[0] == 250
        assert c.rcpt("r@example.test", ["NOTIFY=NEVER,DELAY"]) == (
            501, b"5.5.4 Error: Bad NOTIFY parameter syntax")
        assert c.rcpt("r@example.test", ["ORCPT=r@example.test"]) == (
            501, b"5.5.4 Error: Bad ORCPT parameter syntax")
        assert c.data("Subject: x\r\n\r\nx\r\n")[0] == 250
        assert c.mail("s@bulk.example", ["ENVID=a+0D"]) == (501, b"5.5.4 Bad ENVID parameter syntax")
        assert c.mail("s@bulk.example", ["RET=ALL"]) == (501, b"5.5.4 Bad RET parameter syntax")
    # The sink offers no DSN, so the sender hears of the relaying from us.
    run.wait_until(lambda: sink.status()["messages"] == 2, 20, "the message and its notification", gateway.alive)


def test_where_tls_is_demanded_plaintext_mail_is_refused(world):
    sink, gateway, dump = world("encrypt")
    with client(gateway, tls=False) as c:
        assert c.noop()[0] == 250
        assert c.mail("s@bulk.example") == (530, b"5.7.0 Must issue a STARTTLS command first")
    with client(gateway) as c:
        c.sendmail("s@bulk.example", ["r@example.test"], "Subject: hello\r\n\r\nx\r\n")
    content(sink, dump)


def test_commands_sent_in_plaintext_behind_starttls_are_dropped(world):
    _sink, gateway, _dump = world()
    with client(gateway, tls=False) as c:
        c.send("STARTTLS\r\nMAIL FROM:<evil@example.test>\r\n")
        assert c.getreply()[0] == 220
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        c.sock = context.wrap_socket(c.sock)
        c.file = None
        assert c.docmd("RCPT", "TO:<r@example.test>") == (503, b"5.5.1 Error: need MAIL command")


def test_a_client_that_speaks_no_tls_is_logged_and_left(world):
    _sink, gateway, _dump = world()
    with client(gateway, tls=False) as c:
        assert c.docmd("STARTTLS")[0] == 220
        c.sock.sendall(b"EHLO client.example\r\n")
        while c.sock.recv(100):
            pass
    run.wait_until(lambda: "SSL_accept error from unknown[127.0.0.1]: " in gateway.log.read_text(), 10,
                   "the failure in the mail log", gateway.alive)
    with client(gateway) as c:
        assert c.noop()[0] == 250


def test_the_header_carries_requiretls_and_tls_required_is_warned_about(world, submit):
    sink, gateway, dump = world(smtp_requiretls_policy="opportunistic")
    submit(gateway, "Subject: x\r\nTLS-Required: perhaps\r\n\r\nx\r\n")
    content(sink, dump)
    run.wait_until(lambda: "warning: ignoring header TLS-Required: perhaps" in gateway.log.read_text(), 10,
                   "the warning in the mail log", gateway.alive)
    with client(gateway) as c:
        c.sendmail("s@bulk.example", ["r@example.test"], "Subject: y\r\n\r\nx\r\n", mail_options=["REQUIRETLS"])
    assert b"\r\nRequire-TLS-ESMTP: yes\r\n" in content(sink, dump, 2)
