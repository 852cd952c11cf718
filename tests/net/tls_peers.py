# SPDX-License-Identifier: BSD-3-Clause
"""SMTP servers with one behaviour each around STARTTLS, certificates for them, and a client.

As a module: `Authority`, `Servers`, `submit` and what reads the daemon's log. As
a program inside a namespace: `tls_peers.py serve FILE` runs the servers that a
JSON file describes, `tls_peers.py submit` sends the mails of its input and
`tls_peers.py keywords` tells what a server announces.

A server is a dict: `name`, `address`, and
  starttls    "yes"; "no" (not offered); a whole reply such as "454 4.7.0 later";
              "once" (works for the first connection that asks, then as "garbage");
              "garbage" (220, then no TLS); "close" (220, then the end);
              "close-after" (the end comes right after the handshake)
  cert, key   PEM files
  requiretls  "yes" (inside TLS), "plain" (outside only) or absent
  dsn         whether DSN is offered
"""

import email
import email.policy
import json
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import threading

import peers


class Authority:
    """A certification authority in a folder, made with the openssl command."""

    def __init__(self, folder, name="Penstock test authority"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        self.count = 0
        self._key(self.key)
        peers.run("openssl", "req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "30",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                  "-out", self.cert)

    @staticmethod
    def _key(path):
        peers.run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def issue(self, *names, dates=None):
        """A certificate for DNS names; dates: its first and last moment as YYYYMMDDHHMMSSZ."""
        self.count += 1
        base = self.folder / f"cert{self.count}"
        cert, key, request, conf = (base.with_suffix(s) for s in (".pem", ".key", ".csr", ".conf"))
        (self.folder / "index.txt").write_text("")
        san = ",".join(f"DNS:{n}" for n in names)
        conf.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={self.folder}/index.txt\nnew_certs_dir={self.folder}\n"
            "default_md=sha256\npolicy=p\nrand_serial=yes\nunique_subject=no\ndefault_days=30\nx509_extensions=x\n"
            f"[p]\ncommonName=supplied\n[x]\nbasicConstraints=CA:FALSE\nsubjectAltName={san}\n")
        self._key(key)
        peers.run("openssl", "req", "-new", "-key", key, "-subj", f"/CN={names[0]}", "-out", request)
        period = ["-startdate", dates[0], "-enddate", dates[1]] if dates else []
        peers.run("openssl", "ca", "-batch", "-config", conf, *period, "-notext", "-in", request, "-cert", self.cert,
                  "-keyfile", self.key, "-out", cert)
        return cert, key


def fingerprint(cert):
    """The SHA-256 digest of a certificate, as openssl prints it."""
    return peers.run("openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256").split("=")[1].strip()


class Servers:
    """All servers of a namespace in one process; what they got, as a list of dicts."""

    def __init__(self, ns, folder, servers, device, port=25):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True)
        self.records = folder / "records.jsonl"
        self.records.touch()
        config = folder / "servers.json"
        for s in servers:
            ns.run("ip", "addr", "replace", f"{s['address']}/24", "dev", device)
        config.write_text(json.dumps({"records": str(self.records), "port": port, "servers": [
            {k: str(v) if isinstance(v, pathlib.Path) else v for k, v in s.items()} for s in servers]}))
        with open(folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(ns.command(sys.executable, __file__, "serve", config),
                                            stdout=subprocess.PIPE, stderr=err)
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError((folder / "stderr").read_text())

    def got(self, server=None, event="mail"):
        """Events of a server: each has `server`, `event` ("starttls" or "mail") and `tls`; a mail also has
        `mail` and `rcpt` (the commands) and `content`."""
        lines = self.records.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [e for e in events if e["event"] == event and server in (None, e["server"])]

    def mail(self, subject, server=None, seconds=20):
        """The one mail with this subject, once it is there."""
        def found():
            return [m for m in self.got(server) if f"\r\nSubject: {subject}\r\n" in "\r\n" + m["content"]]
        peers.wait_until(found, seconds, f"mail with Subject: {subject}")
        (mail,) = found()
        return mail

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def submit(ns, port, mails, address="127.0.0.1"):
    """Submits mails from inside a namespace, each on a connection of its own; returns their outcomes.

    A mail is a dict: sender, recipients, content; optional: starttls, mail_options. An outcome is None for
    success, else the refusal [code, text]."""
    text = json.dumps({"address": address, "port": port, "mails": mails})
    done = subprocess.run(ns.command(sys.executable, __file__, "submit"), input=text, capture_output=True, text=True,
                          timeout=60)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def keywords(ns, port, starttls, address="127.0.0.1"):
    """What a submission server announces, in lower case."""
    job = json.dumps({"address": address, "port": port, "starttls": starttls})
    return json.loads(subprocess.run(ns.command(sys.executable, __file__, "keywords"), input=job, capture_output=True,
                                     text=True, timeout=60, check=True).stdout)


def parse(content):
    return email.message_from_string(content, policy=email.policy.default)


LINE = re.compile(r"(?P<id>\w+): to=<(?P<to>[^>]*)>, relay=(?P<relay>[^,]*)(?:, conn_use=(?P<conn_use>\d+))?, "
                  r"delay=(?P<delay>[^,]*), delays=(?P<delays>[^,]*)(?:, tls=(?P<tls>[^,]*))?, dsn=(?P<dsn>[^,]*), "
                  r"status=(?P<status>\w+) \((?P<text>.*)\)(?:, class=(?P<klass>[\w-]+))?$")


def deliveries(log):
    """The delivery lines of a mail log: recipient to the list of their fields; `line` is the whole line."""
    found = {}
    for line in log.read_text().splitlines():
        m = LINE.search(line)
        if m:
            found.setdefault(m["to"], []).append({**m.groupdict(), "line": line})
    return found


# ---- the program


class Recorder:
    def __init__(self, path):
        self.file, self.lock = open(path, "a"), threading.Lock()

    def __call__(self, **event):
        with self.lock:
            self.file.write(json.dumps(event) + "\n")
            self.file.flush()


class Talk:
    """One connection."""

    def __init__(self, server, sock, record):
        self.server, self.sock, self.record = server, sock, record
        self.buffer, self.tls = b"", None

    def line(self):
        while b"\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def say(self, *lines):
        self.sock.sendall("".join(line + "\r\n" for line in lines).encode())

    def ehlo(self):
        s = self.server
        words = [s["name"], "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if s.get("dsn"):
            words.append("DSN")
        if s["starttls"] != "no" and not self.tls:
            words.append("STARTTLS")
        if s.get("requiretls") == ("yes" if self.tls else "plain"):
            words.append("REQUIRETLS")
        self.say(*(f"250{' ' if n == len(words) - 1 else '-'}{w}" for n, w in enumerate(words)))

    def starttls(self):
        """Whether the session goes on."""
        how = self.server["starttls"]
        self.record(server=self.server["name"], event="starttls", tls=None)
        if how[0].isdigit():
            self.say(how)
            return True
        self.say("220 2.0.0 go ahead")
        if how == "once":
            with self.record.lock:
                how = "garbage" if self.server.get("asked") else "yes"
                self.server["asked"] = True
        if how == "garbage":
            self.sock.recv(65536)  # the ClientHello
            self.say("this is not TLS, whatever you may have thought")
        if how in ("garbage", "close"):
            return False
        self.buffer = b""
        self.sock = self.server["context"].wrap_socket(self.sock, server_side=True)
        self.tls = self.sock.version()
        return how != "close-after"

    def content(self):
        lines = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        return "".join(line.decode("utf-8", "replace") + "\r\n" for line in lines)

    def run(self):
        mail, rcpt, on = "", [], True
        self.say(f"220 {self.server['name']} ESMTP")
        while on:
            line = self.line().decode("utf-8", "replace")
            verb = line.split(":")[0].split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                self.ehlo()
            elif verb == "STARTTLS" and not self.tls and self.server["starttls"] != "no":
                on = self.starttls()
            elif verb == "MAIL":
                mail, rcpt = line, []
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                rcpt.append(line)
                self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go on")
                content = self.content()
                self.record(server=self.server["name"], event="mail", tls=self.tls, mail=mail, rcpt=rcpt,
                            content=content)
                self.say("250 2.0.0 taken")
            elif verb in ("RSET", "NOOP"):
                self.say("250 2.0.0 ok")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                on = False
            else:
                self.say("502 5.5.1 what?")


def talk(server, sock, record):
    sock.settimeout(60)
    t = Talk(server, sock, record)
    try:
        t.run()
    except (EOFError, OSError):  # the client has left, or does not like the certificate
        pass
    finally:
        t.sock.close()


def accept(server, listener, record):
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=talk, args=(server, sock, record), daemon=True).start()


def serve(path):
    config = json.loads(pathlib.Path(path).read_text())
    record = Recorder(config["records"])
    for server in config["servers"]:
        if "cert" in server:
            server["context"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server["context"].load_cert_chain(server["cert"], server["key"])
        listener = socket.create_server((server["address"], config["port"]), backlog=64)
        threading.Thread(target=accept, args=(server, listener, record), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def send_one(address, port, mail):
    with smtplib.SMTP(address, port, timeout=20) as client:
        if mail.get("starttls"):
            client.starttls()
        client.ehlo_or_helo_if_needed()
        try:
            client.sendmail(mail["sender"], mail["recipients"], mail["content"].encode(),
                            mail_options=mail.get("mail_options", ()))
        except smtplib.SMTPResponseException as refused:
            return [refused.smtp_code, refused.smtp_error.decode()]
    return None


def submit_main():
    job = json.load(sys.stdin)
    print(json.dumps([send_one(job["address"], job["port"], mail) for mail in job["mails"]]))


def keywords_main():
    job = json.load(sys.stdin)
    with smtplib.SMTP(job["address"], job["port"], timeout=20) as client:
        if job["starttls"]:
            client.starttls()
        client.ehlo()
        print(json.dumps(list(client.esmtp_features)))


if __name__ == "__main__":
    {"serve": serve, "submit": submit_main, "keywords": keywords_main}[sys.argv[1]](*sys.argv[2:])
