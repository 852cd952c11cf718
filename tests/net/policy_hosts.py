#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Programs of the TLS policy tests, each run in a namespace: smtp FOLDER, https FOLDER, submit PORT.

FOLDER has config.json; `ready` is made there once all sockets listen, and what
was seen is appended to `sessions`, a JSON object per line. Ends with SIGTERM.
"""

import base64
import http.server
import json
import pathlib
import signal
import smtplib
import socketserver
import ssl
import sys
import threading
import time


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
