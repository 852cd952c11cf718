# SPDX-License-Identifier: BSD-3-Clause
"""Peers of the TLS policy tests: signed DNS zones, SMTP hosts with TLS, HTTPS hosts.

The hosts themselves are policy_hosts.py, run in a namespace. What is cryptographic
here is Python's cryptography and OpenSSL, so none of it is the code under test.
"""

import datetime
import hashlib
import ipaddress
import json
import pathlib
import subprocess

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
import peers
import penstock_run as run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)
HOSTS = pathlib.Path(__file__).with_name("policy_hosts.py")


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
    secure. expired: the signatures ended three days ago, beyond any allowance for clocks.
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
    """Knot with any zones, which may be replaced while it runs."""

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
        self.build, self.folder, self.closing = build, folder, closing
        self.mine = closing(peers.Namespace("pgw"))
        self.theirs = closing(peers.Namespace("pmx"))
        peers.Wire(self.mine, self.theirs, "10.77.0.1/24")
        self.theirs.run("ip", "route", "add", "local", self.PEERS, "dev", "lo")
        self.ca = Authority(folder / "certificates")
        self.hosts = {}

    def host(self, cert=None, **options):
        """Plans an SMTP host; returns its address. See SmtpSession for the options."""
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
        subprocess.run(self.mine.command("/usr/bin/python3", HOSTS, "submit", gateway.port),
                       input=json.dumps(jobs), text=True, check=True, timeout=60)


class Child:
    """policy_hosts.py in a namespace; stopped by its pid."""

    def __init__(self, ns, folder, what, config):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "sessions"
        self.log.touch()
        (self.folder / "config.json").write_text(json.dumps(config))
        with open(self.folder / "err", "ab") as err:
            self.process = subprocess.Popen(ns.command("/usr/bin/python3", HOSTS, what, self.folder),
                                            stdin=subprocess.DEVNULL, stdout=err, stderr=err)
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
