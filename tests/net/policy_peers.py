# SPDX-License-Identifier: BSD-3-Clause
"""Peers of the TLS policy tests: signed DNS zones, SMTP hosts with TLS, HTTPS hosts.

Imported by the tests, and run as a program in a namespace: smtp, https, submit.
What is cryptographic here is Python's cryptography and OpenSSL, so none of it is
the code under test.
"""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import os
import pathlib
import signal
import smtplib
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import peers
import penstock_run as run

HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


# ---- certificates

class Authority:
    """A certification authority that makes certificates in files of a folder."""

    def __init__(self, folder, name="ca"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name, self.key = name, ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test authority {name}")])
        self.cert = self._build(subject, subject, self.key.public_key(), DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), True).sign(self.key, hashes.SHA256())
        self.file = self.folder / f"{name}.pem"
        self.file.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _build(subject, issuer, key, life):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
                .serial_number(x509.random_serial_number()).not_valid_before(min(now, now + life) - HOUR)
                .not_valid_after(now + life))

    def issue(self, name, names=None, life=DAY):
        """A certificate for the host names (default: its own); a negative life is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        san = x509.SubjectAlternativeName([x509.DNSName(n) for n in (names or [name])])
        cert = self._build(subject, self.cert.subject, key.public_key(), life).add_extension(san, False).sign(
            self.key, hashes.SHA256())
        return Certificate(self.folder / f"{name}-{cert.serial_number:x}.pem", cert, key, self.cert)


class Certificate:
    def __init__(self, path, cert, key, issuer):
        self.path, self.cert, self.issuer = path, cert, issuer
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                              serialization.NoEncryption())
            + cert.public_bytes(serialization.Encoding.PEM) + issuer.public_bytes(serialization.Encoding.PEM))

    def sha256(self):
        return hashlib.sha256(self.cert.public_bytes(serialization.Encoding.DER)).hexdigest()

    def tlsa(self, usage, selector, mtype):
        """The record's text. Usages 0 and 2 are about the issuer."""
        cert = self.issuer if usage in (0, 2) else self.cert
        data = (cert.public_bytes(serialization.Encoding.DER) if selector == 0 else
                cert.public_key().public_bytes(serialization.Encoding.DER,
                                               serialization.PublicFormat.SubjectPublicKeyInfo))
        digest = {0: lambda d: d, 1: lambda d: hashlib.sha256(d).digest(), 2: lambda d: hashlib.sha512(d).digest()}
        return f"{usage} {selector} {mtype} {digest[mtype](data).hex()}"


# ---- DNS

class SignedZone:
    """A zone signed with one key (algorithm 13), with an NSEC chain.

    `delegations` are names of children; a child with a DS among the records is
    secure. expired: the signatures ended three days ago, beyond any allowance for clocks. Records of `tampered` (owner,
    type) are changed behind their signatures by the caller's function.
    """

    def __init__(self, origin, records, delegations=(), expired=False):
        self.origin = dns.name.from_text(origin)
        self.text = (f"$ORIGIN {origin}.\n$TTL 60\n@ SOA ns.{origin}. hostmaster 1 3600 600 86400 60\n@ NS ns\n"
                     f"ns A 127.0.0.1\n{records}")
        self.delegations = [dns.name.from_text(d, self.origin) for d in delegations]
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(self.key.public_key(), dns.dnssec.ECDSAP256SHA256, flags=257)
        now = datetime.datetime.now(datetime.timezone.utc)
        self.start = now - 10 * DAY
        self.end = now - 3 * DAY if expired else now + 10 * DAY

    def ds(self):
        return f"DS {dns.dnssec.make_ds(self.origin, self.dnskey, 'SHA256')}"

    def anchor(self):
        return f"{self.origin} 60 IN DNSKEY {self.dnskey}\n"

    def signed(self, tamper=None):
        """The zone's text. `tamper(rrset text)` returns what takes its place, or None."""
        zone = dns.zone.from_text(self.text, self.origin, relativize=False, check_origin=False)
        zone.find_rdataset(self.origin, "DNSKEY", create=True).update_ttl(60)
        zone.find_rdataset(self.origin, "DNSKEY").add(self.dnskey)
        owners = sorted(n for n in zone.nodes if not self._below_a_cut(n))
        lines = []
        for n, owner in enumerate(owners):
            cut = owner in self.delegations
            node = zone.nodes[owner]
            types = {r.rdtype for r in node.rdatasets} | {dns.rdatatype.RRSIG, dns.rdatatype.NSEC}
            words = " ".join(dns.rdatatype.to_text(t) for t in sorted(types))
            nsec = dns.rdata.from_text("IN", "NSEC", f"{owners[(n + 1) % len(owners)]} {words}")
            for rdataset in [*node.rdatasets, dns.rdataset.from_rdata(60, nsec)]:
                rrset = dns.rrset.from_rdata_list(owner, rdataset.ttl, list(rdataset))
                text = rrset.to_text()
                lines.append((tamper(text) if tamper else None) or text)
                if not cut or rdataset.rdtype in (dns.rdatatype.DS, dns.rdatatype.NSEC):
                    sig = dns.dnssec.sign(rrset, self.key, self.origin, self.dnskey, inception=self.start,
                                          expiration=self.end)
                    lines.append(f"{owner} {rdataset.ttl} IN RRSIG {sig}")
        lines += [r.to_text(n) for n in zone.nodes if self._below_a_cut(n) for r in zone.nodes[n].rdatasets]
        return "\n".join(lines) + "\n"

    def _below_a_cut(self, name):
        return any(name != d and name.is_subdomain(d) for d in self.delegations)


def unsigned_zone(origin, records):
    return (f"$ORIGIN {origin}.\n$TTL 60\n@ SOA ns.{origin}. hostmaster 1 3600 600 86400 60\n@ NS ns\n"
            f"ns A 127.0.0.1\n{records}")


class Zones(peers.Knot):
    """Knot with any zones, which may be replaced while it runs. Serial numbers count for nothing here."""

    def __init__(self, ns, folder, zones, port=5353):
        self.probe = next(iter(zones))
        super().__init__(ns, folder, port, zones)
        self.stubs = ", ".join(f"{zone}=127.0.0.1@{port}" for zone in zones)

    def answers(self):
        done = subprocess.run(self.ns.command("kdig", "+short", "+time=1", "+retry=0", "-p", self.port, "@127.0.0.1",
                                              self.probe, "SOA"), capture_output=True, text=True)
        return "hostmaster" in done.stdout

    def replace(self, zone, text, check_name, check_type, check):
        """Serves the zone anew; waits until check(kdig's short answer) is true."""
        (self.folder / f"{zone}.zone").write_text(text)
        peers.run("knotc", "-s", self.folder / "knot.sock", "zone-reload", zone)
        peers.wait_until(lambda: check(self.ns.run("kdig", "+short", "-p", self.port, "@127.0.0.1", check_name,
                                                   check_type)), 10, f"the new zone {zone}")


# ---- the namespaces

class Net:
    """A gateway's namespace, a peers' namespace with as many addresses as one likes, and a veth between."""

    PEERS = ipaddress.ip_network("10.78.0.0/16")

    def __init__(self, build, folder, closing):
        tag = f"{os.getpid()}-{time.monotonic_ns() % 100000}"
        self.build, self.folder, self.closing = build, folder, closing
        self.mine = closing(peers.Namespace(f"pgw{tag}"))
        self.theirs = closing(peers.Namespace(f"pmx{tag}"))
        peers.Wire(self.mine, self.theirs, "10.77.0.1/24")
        self.theirs.run("ip", "route", "add", "local", self.PEERS, "dev", "lo")
        self.ca = Authority(folder / "certificates")
        self.hosts = {}

    def host(self, cert=None, **options):
        """Plans an SMTP host; returns its address. See smtp_session for the options."""
        address = str(self.PEERS[len(self.hosts) + 1])
        self.hosts[address] = {"cert": str(cert.path) if cert else None, **options}
        return address

    def start_hosts(self):
        self.smtp = self.closing(Smtp(self.theirs, self.folder / "smtp", self.hosts))
        return self.smtp

    def gateway(self, **settings):
        gw = self.closing(run.Gateway(self.build, self.folder / "gateway", "net_af_packet0,iface=bypass0",
                                      source="10.77.0.2", gateway="10.77.0.1", netns=self.mine.name,
                                      settings={"dns_resolv_conf": "", **settings}))
        return gw

    def submit(self, gateway, recipients, sender="sender@bulk.example", headers="", parameters=()):
        """One message for each recipient."""
        jobs = [{"sender": sender, "recipient": r, "parameters": list(parameters),
                 "text": f"From: <{sender}>\r\nTo: <{r}>\r\n{headers}Subject: policy\r\n\r\nhello\r\n"}
                for r in recipients]
        subprocess.run(self.mine.command("/usr/bin/python3", __file__, "submit", gateway.port),
                       input=json.dumps(jobs), text=True, check=True, timeout=60, env=environment())


def environment():
    here = pathlib.Path(__file__).resolve().parent
    return {**os.environ, "PYTHONPATH": f"{here}:{run.TOP / 'tools/lib'}"}


class Child:
    """This file as a program in a namespace; stopped by its pid."""

    def __init__(self, ns, folder, what, config):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "sessions"
        self.log.touch()
        (self.folder / "config.json").write_text(json.dumps(config))
        with open(self.folder / "err", "ab") as err:
            self.process = subprocess.Popen(ns.command("/usr/bin/python3", __file__, what, self.folder),
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=environment())
        ready = self.folder / "ready"
        peers.wait_until(lambda: ready.exists() or self.process.poll() is not None, 15, f"the {what} peer")
        if not ready.exists():
            raise RuntimeError((self.folder / "err").read_text())

    def sessions(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        (self.folder / "ready").unlink(missing_ok=True)


class Smtp(Child):
    def __init__(self, ns, folder, hosts):
        super().__init__(ns, folder, "smtp", hosts)

    def to(self, address):
        """What was recorded: each session when it begins and when it has ended, and each mail."""
        return [s for s in self.sessions() if s["to"] == address]

    def session_count(self, address):
        return len({s["id"] for s in self.to(address)})

    def mails(self, recipient):
        return [m for s in self.sessions() for m in s["mails"] if recipient in m["recipients"]]


class Https(Child):
    """An HTTPS host for policies and reports. `sites`: address -> certificate file."""

    def __init__(self, ns, folder, sites, seconds_slow=5):
        self.state = pathlib.Path(folder) / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        super().__init__(ns, folder, "https", {"sites": sites, "slow": seconds_slow})

    def serve(self, host, behaviour="ok", policy=""):
        """What GET of the host answers: ok, missing, redirect, garbage, slow."""
        path = self.state / f"{host}.json"
        aside = path.with_suffix(".new")
        aside.write_text(json.dumps({"behaviour": behaviour, "policy": policy}))
        aside.rename(path)

    def requests(self, host=None):
        return [s for s in self.sessions() if host in (None, s["host"])]


# ---- the mail log

def deliveries(gateway):
    """The mail log's results: recipient -> list of dicts, oldest first."""
    found = {}
    for line in gateway.log.read_text(errors="replace").splitlines():
        at = line.find(": to=<")
        if at < 0:
            continue
        head, _, text = line[at + 2:].partition(" (")
        fields = dict(f.partition("=")[::2] for f in head.split(", "))
        fields["text"], fields["line"] = text[:-1] if text.endswith(")") else text, line
        found.setdefault(fields["to"].strip("<>"), []).append(fields)
    return found


def wait_results(gateway, recipients, seconds=40, count=1):
    """The last result of each recipient, once each has `count`."""
    def missing():
        got = deliveries(gateway)
        return [r for r in recipients if len(got.get(r, ())) < count]

    try:
        peers.wait_until(lambda: not missing(), seconds, "results in the mail log")
    except TimeoutError as late:
        raise TimeoutError(f"{late}: none for {missing()}\n{gateway.log.read_text()[-2000:]}"
                           f"{gateway.said()[-2000:]}") from None
    got = deliveries(gateway)
    return {r: got[r][-1] for r in recipients}


# ---- the programs

class SmtpSession(socketserver.StreamRequestHandler):
    """One session. Options of a host: starttls "yes" (default), "no" (not offered), "refuse" (502),
    "busy" (454), "close" (accepted, then the connection ends); requiretls: announce it."""

    timeout = 30

    def handle(self):
        self.address = self.connection.getsockname()[0]
        self.options = self.server.hosts.get(self.address, {})
        self.record = {"id": self.server.number(), "to": self.address, "tls": None, "mails": []}
        self.server.write(self.record)
        try:
            self.say("220 peer.test ESMTP")
            while self.command():
                pass
        except (OSError, ValueError) as fault:
            self.record["fault"] = str(fault)
        self.server.write(self.record)

    def say(self, *lines):
        for n, line in enumerate(lines):
            code, rest = line[:3], line[4:]
            self.wfile.write(f"{code}{'-' if n + 1 < len(lines) else ' '}{rest}\r\n".encode())

    def command(self):
        line = self.rfile.readline(4096).decode("latin-1").rstrip("\r\n")
        verb = line.split(" ", 1)[0].upper()
        if not line or verb == "QUIT":
            if line:
                self.say("221 bye")
            return False
        if verb == "EHLO":
            self.greet()
        elif verb == "STARTTLS":
            return self.start_tls()
        elif verb == "MAIL":
            self.mail = {"mail": line, "recipients": [], "tls": self.record["tls"] is not None}
            self.say("250 2.1.0 ok")
        elif verb == "RCPT":
            self.mail["recipients"].append(line[line.index("<") + 1:line.index(">")])
            self.say("250 2.1.5 ok")
        elif verb == "DATA":
            self.take_data()
        else:
            self.say("250 2.0.0 ok")
        return True

    def greet(self):
        lines = ["250 peer.test", "250 8BITMIME", "250 ENHANCEDSTATUSCODES"]
        if self.record["tls"] is None and self.options.get("starttls", "yes") != "no" and self.options.get("cert"):
            lines.append("250 STARTTLS")
        if self.options.get("requiretls") and self.record["tls"] is not None:
            lines.append("250 REQUIRETLS")
        self.say(*lines)

    def start_tls(self):
        how = self.options.get("starttls", "yes")
        if how in ("refuse", "busy"):
            self.say("502 5.5.1 no TLS today" if how == "refuse" else "454 4.7.0 TLS not available")
            return True
        self.say("220 2.0.0 go ahead")
        self.wfile.flush()
        if how == "close":
            return False
        context, names = self.server.context(self.options["cert"])
        tls = context.wrap_socket(self.connection, server_side=True)
        self.record["tls"] = {"protocol": tls.version(), "cipher": tls.cipher()[0], "resumed": tls.session_reused,
                              "sni": names.pop(id(tls), None)}
        self.connection, self.request = tls, tls
        self.rfile, self.wfile = tls.makefile("rb"), tls.makefile("wb", 0)
        return True

    def take_data(self):
        self.say("354 go on")
        body = []
        while (line := self.rfile.readline(65536)) not in (b".\r\n", b""):
            body.append(line[1:] if line.startswith(b".") else line)
        self.mail["data"] = base64.b64encode(b"".join(body)).decode()
        self.record["mails"].append(self.mail)
        # Written at once: the gateway may keep the session for more mail.
        self.server.write({**self.record, "mails": [self.mail]})
        self.record["mails"] = []
        self.say("250 2.0.0 taken")


class ThreadedServer(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def prepare(self, folder):
        self.folder, self.lock, self.contexts = pathlib.Path(folder), threading.Lock(), {}
        self.count = 0

    def number(self):
        with self.lock:
            self.count += 1
            return self.count

    def write(self, record):
        with self.lock, open(self.folder / "sessions", "a") as out:
            out.write(json.dumps(record) + "\n")

    def context(self, path):
        """The context of a certificate file, one for all sessions so that they resume."""
        with self.lock:
            if path not in self.contexts:
                names = {}
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(path)
                context.sni_callback = lambda tls, name, _: names.__setitem__(id(tls), name)
                self.contexts[path] = context, names
            return self.contexts[path]


def smtp_main(folder):
    server = ThreadedServer(("0.0.0.0", 25), SmtpSession)
    server.prepare(folder)
    server.hosts = json.loads((server.folder / "config.json").read_text())
    return [server]


class HttpsRequest(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def state(self):
        try:
            return json.loads((self.server.folder / "state" / f"{self.headers['Host']}.json").read_text())
        except OSError:
            return {"behaviour": "missing", "policy": ""}

    def do_GET(self):
        self.server.write({"host": self.headers["Host"], "path": self.path, "method": "GET"})
        state = self.state()
        behaviour, body = state["behaviour"], state["policy"].encode()
        if behaviour == "slow":
            time.sleep(self.server.slow)
        if behaviour == "garbage":
            body = b"\xff\xfe<html>version STSv1\x00"
        self.send_response({"missing": 404, "redirect": 301}.get(behaviour, 200))
        if behaviour == "redirect":
            self.send_header("Location", f"https://{self.headers['Host']}/elsewhere/mta-sts.txt")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.write({"host": self.headers["Host"], "path": self.path, "method": "POST",
                           "type": self.headers["Content-Type"], "body": base64.b64encode(body).decode()})
        self.send_response(201 if self.state()["behaviour"] == "ok" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()


class TlsServer(ThreadedServer):
    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(20)
        context, _ = self.context(self.cert)
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, *_):
        pass  # clients that do not like the certificate


def https_main(folder):
    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    servers = []
    for address, cert in config["sites"].items():
        server = TlsServer((address, 443), HttpsRequest)
        server.prepare(folder)
        server.cert, server.slow = cert, config["slow"]
        servers.append(server)
    return servers


def submit_main(port):
    for job in json.load(sys.stdin):
        with smtplib.SMTP("127.0.0.1", int(port), timeout=30) as client:
            client.sendmail(job["sender"], [job["recipient"]], job["text"], mail_options=job["parameters"])


def main():
    what, arg = sys.argv[1:3]
    if what == "submit":
        submit_main(arg)
        return
    servers = (smtp_main if what == "smtp" else https_main)(arg)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    (pathlib.Path(arg) / "ready").touch()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
