# SPDX-License-Identifier: BSD-3-Clause
"""AUTH at submission with Dovecot as the authentication server and Python's SMTP client."""

import base64
import json
import smtplib
import socket
import ssl

import peers
import penstock_run as run
import pytest

USERS = {"alice": "right", "carol": "a password that stands nowhere else", "bob@globex.test": "also right"}


@pytest.fixture
def dovecot(folder, closing):
    return closing(peers.Dovecot(folder / "dovecot", USERS))


@pytest.fixture
def world(build, folder, closing, dovecot):
    """world(egress, parameters): a sink and a gateway that takes mail of authenticated clients only."""

    def start(egress="", **settings):
        cert, key = peers.self_signed(folder, "gateway.example")
        memif = folder / "memif.sock"
        sink = closing(run.Sink(build, folder, memif, "--dump-dir", folder / "dump"))
        gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), egress=egress, settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", "mynetworks": "192.0.2.0/24", "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_path": dovecot.socket, "smtpd_tls_auth_only": "yes", "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": cert, "smtpd_tls_key_file": key, **settings}))
        return sink, gateway

    return start


def client(gateway, tls=True):
    c = smtplib.SMTP("127.0.0.1", gateway.port, timeout=20)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        c.starttls(context=context)
    # The gateway's first handshake with Dovecot may still be under way.
    run.wait_until(lambda: c.ehlo("client.example")[0] == 250 and (not tls or c.has_extn("auth")), 10, "AUTH on offer")
    return c


def log_in(gateway, mechanism="plain", user="alice", password="right"):
    c = client(gateway)
    c.user, c.password = user, password
    c.auth(mechanism.upper(), getattr(c, f"auth_{mechanism}"))
    return c


def send(c, fields="", recipient="r@example.test"):
    return c.sendmail("s@bulk.example", [recipient], f"{fields}Subject: x\r\n\r\nx\r\n")


def logs(gateway, text):
    run.wait_until(lambda: text in gateway.log.read_text(), 10, f"a line with {text}", gateway.alive)


def test_plain_and_login_over_tls_let_a_client_relay(world, folder):
    events = folder / "events.json"
    sink, gateway = world(smtpd_sasl_authenticated_header="yes", event_log_file=events)
    for mechanism in ("plain", "login"):
        with log_in(gateway, mechanism) as c:
            assert send(c) == {}
    run.wait_until(lambda: sink.status()["messages"] == 2, 20, "both messages", gateway.alive)
    for mail in (folder / "dump").glob("*.eml"):
        assert b"\r\n\t(Authenticated sender: alice)\r\n" in mail.read_bytes() and b" with ESMTPSA id " in mail.read_bytes()
    logs(gateway, "client=unknown[127.0.0.1], sasl_method=LOGIN, sasl_username=alice\n")
    logs(gateway, "starttls=1 auth=1 mail=1 rcpt=1 data=1 ")
    run.wait_until(lambda: events.exists() and events.read_text().count('"Reception"') == 2, 10, "the records")
    received = [e for e in map(json.loads, events.read_text().splitlines()) if e["type"] == "Reception"]
    assert {(e["sasl_username"], e["tenant"]) for e in received} == {("alice", "alice")}
    said = gateway.log.read_text() + events.read_text() + gateway.said()
    assert "cmlnaH" not in said and "AGFsaWNl" not in said  # the password and the response, in base64


def in_memory(pid, *needles):
    """Which of the needles stand in what the process can write to."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            bounds, rights = line.split()[:2]
            start, end = (int(x, 16) for x in bounds.split("-"))
            if not rights.startswith("rw") or end - start > 1 << 32:  # the shadow of ASan
                continue
            for at in range(start, end, 1 << 24):
                try:
                    mem.seek(at)
                    piece = mem.read(min((1 << 24) + 200, end - at))
                except OSError:  # pages that cannot be read
                    break
                found |= {n for n in needles if n in piece}
    return found


def test_what_a_client_said_in_auth_is_not_kept_in_memory(world, dovecot):
    _sink, gateway = world(smtpd_tls_auth_only="no")
    word = USERS["carol"].encode()
    response, second = base64.b64encode(b"\0carol\0" + word), base64.b64encode(word)
    sessions = [log_in(gateway, m, user="carol", password=word.decode()) for m in ("plain", "login")]
    plain = client(gateway, tls=False)
    plain.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.send(b"AUTH PLAIN " + response[:20])
    plain.send(response[20:] + b"\r\n")
    assert plain.getreply()[0] == 235
    known = str(dovecot.socket).encode()
    assert in_memory(gateway.process.pid, known, word, response, second, response[20:]) == {known}
    for c in (*sessions, plain):
        c.close()


def test_wrong_passwords_and_plaintext_get_nowhere(world):
    _sink, gateway = world()
    for mechanism in ("plain", "login"):
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            log_in(gateway, mechanism, password="wrong")
        assert refused.value.args == (535, b"5.7.8 Error: authentication failed: (reason unavailable)")
        logs(gateway, f"warning: unknown[127.0.0.1]: SASL {mechanism.upper()} authentication failed: "
             "(reason unavailable), sasl_username=alice\n")
    with client(gateway) as c:
        c.mail("s@bulk.example")
        assert c.rcpt("r@example.test") == (554, b"5.7.1 <r@example.test>: Relay access denied")
    with client(gateway, tls=False) as c:
        assert not c.has_extn("auth")
        assert c.docmd("AUTH", "PLAIN AGEAYg==") == (
            504, b"5.5.4 Encryption required for requested authentication mechanism")


def test_when_dovecot_stops_in_the_middle_clients_come_back_later(world, dovecot):
    sink, gateway = world()
    inside, middle = log_in(gateway), client(gateway)
    assert middle.docmd("AUTH", "LOGIN")[0] == 334
    dovecot.close()
    logs(gateway, f"warning: SASL: authentication server {dovecot.socket}: ")
    assert middle.docmd("YWxpY2U=")[0] == 454
    with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        log_in(gateway)  # it is still offered
    assert refused.value.smtp_code == 454
    assert send(inside) == {}  # who is in goes on
    dovecot.start()

    def works():
        try:
            log_in(gateway).close()
            return True
        except smtplib.SMTPAuthenticationError as fault:
            assert fault.smtp_code == 454
            return False

    run.wait_until(works, 10, "AUTH after Dovecot's return", gateway.alive)
    run.wait_until(lambda: sink.status()["messages"] == 1, 20, "the message", gateway.alive)


def test_the_user_is_of_the_tenant_that_the_map_says_and_cannot_leave_it(world):
    sink, gateway = world('tenant acme { message_rate = "1/h" }\n',
                          smtpd_sasl_tenant_maps="inline:{{alice = acme/news}, {@globex.test = globex}}")
    with log_in(gateway) as c:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            send(c, "X-Penstock-Tenant: globex\r\n")
        assert refused.value.args == (554, b"5.7.1 X-Penstock-Tenant: globex: not the tenant of this user")
        for _ in range(3):
            assert send(c) == {}
    with log_in(gateway, user="bob@globex.test", password="also right") as c:
        assert send(c) == {}
    # One of acme's in the hour, and globex's.
    run.wait_until(lambda: sink.status()["messages"] == 2, 20, "what the limits let through", gateway.alive)
    held = gateway.json("queue", "list", "--tenant", "acme")
    assert len(held) == 2 and gateway.queued() == 2 and gateway.json("queue", "list", "--tenant", "globex") == []
    assert gateway.json("queue", "list", "--campaign", "news") == held
    run.wait_until(lambda: "acme" in gateway.json("why", held[0]["queue_id"])["text"], 10, "the limit as the reason")
