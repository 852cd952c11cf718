# SPDX-License-Identifier: BSD-3-Clause
"""Real peers in network namespaces: Postfix's smtpd, Knot DNS, veth pairs.

Everything runs in namespaces and folders that the test made, and is stopped by
pid, so nothing of the machine's own mail or DNS set-up is touched.
"""

import hashlib
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time


serial = itertools.count()


def run(*args, **kwargs):
    """Runs a command; on failure the error holds what it printed."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition, seconds, what):
    """Polls until condition() is true. Fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class Namespace:
    """`kind` is for whoever reads a list of them; the name is no other run's, and no other worker's of this one."""

    def __init__(self, kind):
        self.name = f"{kind}-{os.getpid()}-{next(serial)}"
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *args):
        return run("ip", "netns", "exec", self.name, *args)

    def command(self, *args):
        return ["ip", "netns", "exec", self.name, *[str(a) for a in args]]

    def close(self):
        run("ip", "netns", "del", self.name)


class Wire:
    """A veth pair: `bypass` stays without addresses (DPDK owns it), `kernel` gets them, of either family."""

    def __init__(self, bypass_ns, kernel_ns, *addresses, names=("bypass0", "kernel0")):
        self.bypass, self.kernel = names
        bypass_ns.run("ip", "link", "add", self.bypass, "type", "veth", "peer", "name", self.kernel,
                      "netns", kernel_ns.name)
        bypass_ns.run("sysctl", "-qw", f"net.ipv6.conf.{self.bypass}.disable_ipv6=1")
        bypass_ns.run("ip", "link", "set", self.bypass, "up")
        for address in addresses:
            # Without the check for duplicates an IPv6 address is there at once.
            kernel_ns.run("ip", "addr", "add", address, "dev", self.kernel, *(["nodad"] if ":" in address else []))
        kernel_ns.run("ip", "link", "set", self.kernel, "up")
        # A veth hands over unfinished checksums and super-frames otherwise.
        for ns, dev in ((bypass_ns, self.bypass), (kernel_ns, self.kernel)):
            ns.run("ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")


def self_signed(folder, name):
    cert, key = folder / "cert.pem", folder / "key.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", key, "-out", cert, "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    return cert, key


class Postfix:
    """Postfix in a namespace: accepts mail for example.test into one Maildir,
    refuses nobody@example.test, and keeps a log file."""

    def __init__(self, ns, folder, address, tls=False, extra=()):
        self.ns, self.folder = ns, pathlib.Path(folder)
        self.conf = self.folder / "conf"
        self.maildir = self.folder / "mail" / "all"
        self.log = self.folder / "log" / "maillog"
        queue, data = self.folder / "queue", self.folder / "data"
        for d in (self.conf, queue, data, self.maildir, self.log.parent):
            d.mkdir(parents=True)
        self.folder.chmod(0o755)
        shutil.chown(data, "postfix", "postfix")
        shutil.chown(self.log.parent, "postfix", "postfix")
        for d in (self.folder / "mail", self.maildir):
            os.chown(d, 65534, 65534)
        settings = [
            "compatibility_level = 3.6", f"queue_directory = {queue}", f"data_directory = {data}",
            "myhostname = mx1.example.test", "mydestination =", f"inet_interfaces = {address}",
            "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8", "alias_maps =", "alias_database =",
            f"maillog_file = {self.log}", f"maillog_file_prefixes = {self.folder}",
            "virtual_mailbox_domains = example.test", f"virtual_mailbox_base = {self.folder}/mail",
            "virtual_mailbox_maps = static:all/", "notify_classes =",
            "virtual_uid_maps = static:65534", "virtual_gid_maps = static:65534", "virtual_minimum_uid = 1000",
            "virtual_mailbox_limit = 0", "message_size_limit = 20000000",
            f"smtpd_recipient_restrictions = check_recipient_access texthash:{self.conf}/access,"
            " reject_unauth_destination",
            "smtpd_client_connection_rate_limit = 0", "smtpd_client_connection_count_limit = 0",
            "smtpd_peername_lookup = no", "local_header_rewrite_clients =", "smtpd_error_sleep_time = 0",
            "in_flow_delay = 0", "line_length_limit = 4096", "header_size_limit = 1024000",
        ]
        if tls:
            cert, key = self_signed(self.folder, "mx1.example.test")
            settings += ["smtpd_tls_security_level = may", f"smtpd_tls_cert_file = {cert}",
                         f"smtpd_tls_key_file = {key}", "smtpd_tls_received_header = yes", "smtpd_tls_loglevel = 1"]
        (self.conf / "access").write_text("nobody@example.test 550 5.1.1 no such user here\n"
                                          "later@example.test 450 4.2.1 mailbox busy\n")
        (self.conf / "main.cf").write_text("\n".join([*settings, *extra]) + "\n")
        (self.conf / "master.cf").write_text(MASTER_CF)
        self.ns.run("postfix", "-c", self.conf, "start")
        wait_until(self.listening, 20, "Postfix to listen")

    def listening(self):
        return ":25 " in self.ns.run("ss", "-Hltn") + " "

    def delivered(self):
        new = self.maildir / "new"
        return sorted(new.iterdir()) if new.is_dir() else []

    def close(self):
        pid = int((self.folder / "queue/pid/master.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 10, "Postfix to stop")


MASTER_CF = """\
smtp      inet  n  -  n  -     100  smtpd
pickup    unix  n  -  n  60    1    pickup
cleanup   unix  n  -  n  -     0    cleanup
qmgr      unix  n  -  n  300   1    qmgr
tlsmgr    unix  -  -  n  1000? 1    tlsmgr
rewrite   unix  -  -  n  -     -    trivial-rewrite
bounce    unix  -  -  n  -     0    bounce
defer     unix  -  -  n  -     0    bounce
trace     unix  -  -  n  -     0    bounce
verify    unix  -  -  n  -     1    verify
flush     unix  n  -  n  1000? 0    flush
proxymap  unix  -  -  n  -     -    proxymap
showq     unix  n  -  n  -     -    showq
error     unix  -  -  n  -     -    error
retry     unix  -  -  n  -     -    error
discard   unix  -  -  n  -     -    discard
virtual   unix  -  n  n  -     -    virtual
anvil     unix  -  -  n  -     1    anvil
scache    unix  -  -  n  -     1    scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Knot:
    """Knot DNS on a loopback port of a namespace, with zones given as text.

    `extra` goes into the configuration before the zones, `each` into every zone,
    `env` into the environment.
    """

    def __init__(self, ns, folder, port, zones, extra=(), each=(), env=None):
        self.folder, self.ns, self.port = pathlib.Path(folder), ns, port
        (self.folder / "db").mkdir(parents=True)  # keys
        self.probe = next(iter(zones))
        self.conf = self.folder / "knot.conf"
        conf = ["server:", f"    listen: 127.0.0.1@{port}", f"    rundir: {self.folder}", "    user: root:root",
                "database:", f"    storage: {self.folder}/db", "log:", f"  - target: {self.folder}/log",
                "    any: info", *extra, "zone:"]
        for zone, text in zones.items():
            path = self.folder / f"{zone}.zone"
            path.write_text(text)
            conf += [f"  - domain: {zone}", f"    file: {path}", *each]
        self.conf.write_text("\n".join(conf) + "\n")
        self.process = subprocess.Popen(ns.command("knotd", "-c", self.conf), env={**os.environ, **(env or {})},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(self.answers, 15, "Knot to answer")
        except TimeoutError:
            self.close()
            raise

    def dig(self, *question):
        done = subprocess.run(self.ns.command("kdig", "+time=1", "+retry=0", "-p", self.port, "@127.0.0.1",
                                              *question), capture_output=True, text=True)
        return done.stdout

    def answers(self):
        return "hostmaster" in self.dig("+short", self.probe, "SOA")

    def close(self):
        self.process.terminate()
        self.process.wait(10)


class Dovecot:
    """Dovecot's authentication server on a socket in `folder`, with users and passwords of its own."""

    def __init__(self, folder, users):
        self.folder = pathlib.Path(folder)
        (self.folder / "run").mkdir(parents=True)
        self.socket, self.conf = self.folder / "auth.sock", self.folder / "dovecot.conf"
        (self.folder / "users").write_text("".join(f"{name}:{{PLAIN}}{word}\n" for name, word in users.items()))
        self.conf.write_text(f"""
base_dir = {self.folder}/run
state_dir = {self.folder}/run
log_path = {self.folder}/log
default_internal_user = root
default_login_user = nobody
protocols =
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {self.folder}/users
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {self.socket} {{
    mode = 0666
  }}
}}
""")
        self.start()

    def start(self):
        self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.conf)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until(self.listening, 15, "Dovecot to listen")
        except TimeoutError:
            self.close()
            raise

    def listening(self):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def close(self):
        """All of it: told by its master alone, the authentication server would go on for clients that it has."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)


# Takes a process back in time: nothing else makes signatures that are really too
# old. A validator allows for clocks that are up to a day wrong.
PAST = """\
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *t)
{
	int err = (int)syscall(SYS_clock_gettime, id, t);
	if (id == CLOCK_REALTIME)
		t->tv_sec -= DAYS * 86400;
	return err;
}

time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (out != 0)
		*out = t.tv_sec;
	return t.tv_sec;
}
"""


def days_ago(folder, days):
    """The environment of a process that lives some days ago."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "past.c").write_text(PAST)
    run("cc", f"-DDAYS={days}", "-shared", "-fPIC", "-o", folder / "past.so", folder / "past.c")
    return {"LD_PRELOAD": str(folder / "past.so")}


def sign(ns, folder, port, zones, env=None):
    """Signs zones with new keys; returns {zone: (signed text, DS records)}.

    Knot signs and hands the result over by transfer, so that what is served later
    never changes. Signatures live for 14 days.
    """
    policy = ["policy:", "  - id: sign", "    algorithm: ecdsap256sha256", "    single-type-signing: on",
              "    ksk-lifetime: 0", "    cds-cdnskey-publish: none", "    nsec3: off", "    rrsig-lifetime: 14d"]
    acl = ["acl:", "  - id: local", "    address: 127.0.0.1", "    action: transfer"]
    each = ["    dnssec-signing: on", "    dnssec-policy: sign", "    acl: local", "    zonefile-sync: -1",
            "    journal-content: none"]
    knot = Knot(ns, folder, port, zones, policy + acl, each, env)
    try:
        for zone in zones:
            wait_until(lambda z=zone: "RRSIG" in knot.dig(z, "AXFR"), 15, f"{zone} to be signed")
        done = {}
        for zone in zones:
            lines = [line for line in knot.dig(zone, "AXFR").splitlines() if line and line[0] != ";"]
            # A transfer ends with the SOA that it began with.
            done[zone] = "\n".join(dict.fromkeys(lines)) + "\n", run("keymgr", "-c", knot.conf, zone, "ds")
        return done
    finally:
        knot.close()


def tampered(text):
    """A signed zone whose data were changed afterwards: addresses and MX preferences."""
    lines = []
    for line in text.splitlines():
        word = line.split()
        if len(word) > 4 and word[3] == "A":
            word[4] = word[4].rsplit(".", 1)[0] + "." + str(int(word[4].rsplit(".", 1)[1]) ^ 1)
        elif len(word) > 4 and word[3] == "MX":
            word[4] = str(int(word[4]) + 1)
        lines.append(" ".join(word))
    return "\n".join(lines) + "\n"


def tlsa(cert, usage, selector, mtype):
    """TLSA data for a certificate file: "3 1 1 ab12..."."""
    if selector == 0:
        der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "DER"], capture_output=True, check=True)
    else:
        key = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"], capture_output=True, check=True)
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key.stdout,
                             capture_output=True, check=True)
    data = {0: der.stdout, 1: hashlib.sha256(der.stdout).digest(), 2: hashlib.sha512(der.stdout).digest()}[mtype]
    return f"{usage} {selector} {mtype} {data.hex()}"


class SignedZones:
    """A signed parent zone and zones below it, each in its own state.

    `zones` is {"name.<parent>": text} or {"name.<parent>": (text, state)}; a state is
      secure    signed, with DS records in the parent (what it is without a word)
      expired   as secure, but its signatures are too old
      bogus     as secure, but the data were changed after signing (`tampered`)
      insecure  not signed, and the parent proves that it need not be
    `anchor_file` holds the DS records of the parent: the only trust anchor. A
    resolver reaches all of it with the stub zone `stub`. A second set of records
    for rollovers is only a second line in a text.
    """

    def __init__(self, ns, folder, port, zones, parent="test"):
        folder = pathlib.Path(folder)
        zones = {name: text if isinstance(text, tuple) else (text, "secure") for name, text in zones.items()}
        unknown = {state for _, state in zones.values()} - {"secure", "expired", "bogus", "insecure"}
        assert not unknown, unknown
        served = {name: text for name, (text, state) in zones.items() if state == "insecure"}
        ds = {}
        for old in (False, True):
            some = {name: text for name, (text, state) in zones.items()
                    if state != "insecure" and (state == "expired") == old}
            if some:
                signed = sign(ns, folder / f"sign-{'old' if old else 'new'}", port, some,
                              days_ago(folder, 20) if old else None)
                served.update({name: text for name, (text, _) in signed.items()})
                ds.update({name: records for name, (_, records) in signed.items()})
        served.update({name: tampered(served[name]) for name, (_, state) in zones.items() if state == "bogus"})
        top = PARENT.format(parent=parent) + "".join(f"{name}. NS ns.{parent}.\n{ds.get(name, '')}" for name in zones)
        served[parent], anchor = sign(ns, folder / "sign-parent", port, {parent: top})[parent]
        self.anchor_file = folder / "anchor.ds"
        self.anchor_file.write_text(anchor)
        self.stub = f"{parent}=127.0.0.1@{port}"
        self.knot = Knot(ns, folder / "serve", port, served)

    def close(self):
        self.knot.close()


PARENT = """\
$ORIGIN {parent}.
$TTL 300
@    SOA ns hostmaster 1 3600 600 86400 300
@    NS  ns
ns   A   127.0.0.1
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


ZONE = """\
$ORIGIN example.test.
$TTL 300
@    SOA ns hostmaster 1 3600 600 86400 300
@    NS  ns
@    MX  10 mx1
ns   A   127.0.0.1
mx1  A   {mx1}
nullmx MX 0 .
"""
