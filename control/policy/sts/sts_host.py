#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An MTA-STS policy host for tests: sts_host.py DIR

Makes authorities and certificates in DIR (ca.pem is what to trust), listens on
127.0.0.1 and prints the port. https://mta-sts.D/.well-known/mta-sts.txt is the
file DIR/D.txt, but for the names below, which misbehave. Each request is a line
in DIR/log. Ends with its standard input.
"""

import http.server
import pathlib
import ssl
import subprocess
import sys
import threading
import time
import warnings

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: *.example\r\nmax_age: 604800\r\n"

CA_CONF = """[ca]
default_ca = d
[d]
dir = .
database = ./index
new_certs_dir = .
serial = ./serial
default_md = sha256
policy = p
unique_subject = no
copy_extensions = copy
[p]
commonName = supplied
"""


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)


def authority(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "30",
            "-addext", "keyUsage=critical,keyCertSign")


def certificate(directory, name, cn, san, ca="ca", dates=()):
    """Makes NAME.crt and NAME.key and returns a server context with them."""
    extra = ["-addext", f"subjectAltName={san}"] if san else []
    openssl(directory, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={cn}", *extra)
    dates = dates or ("-days", "30")
    openssl(directory, "ca", "-config", "ca.conf", "-batch", "-notext", "-keyfile", f"{ca}.key", "-cert",
            f"{ca}.pem", "-in", f"{name}.csr", "-out", f"{name}.crt", *dates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    return context


def contexts(directory):
    """Contexts by policy domain; "" is for all others."""
    (directory / "ca.conf").write_text(CA_CONF)
    (directory / "index").write_text("")
    (directory / "serial").write_text("01\n")
    authority(directory, "ca")
    authority(directory, "stranger")
    past = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    good = [line for line in pathlib.Path(directory, "domains").read_text().split() if line]
    found = {
        "": certificate(directory, "good", "policy host", ",".join(f"DNS:mta-sts.{d}" for d in good)),
        "expired.example": certificate(directory, "expired", "x", "DNS:mta-sts.expired.example", dates=past),
        "wrong.example": certificate(directory, "wrong", "x", "DNS:mta-sts.another.example,DNS:wrong.example"),
        "untrusted.example": certificate(directory, "untrusted", "x", "DNS:mta-sts.untrusted.example",
                                         ca="stranger"),
        "cn.example": certificate(directory, "cn", "mta-sts.cn.example", None),
        "ip.example": certificate(directory, "ip", "mta-sts.ip.example", "IP:127.0.0.1"),
        "wild.example": certificate(directory, "wild", "x", "DNS:*.wild.example"),
        "deep.example": certificate(directory, "deep", "x", "DNS:*.example"),
        "old.example": certificate(directory, "old", "x", "DNS:mta-sts.old.example"),
    }
    old = found["old.example"]
    old.set_ciphers("ALL:@SECLEVEL=0")
    warnings.simplefilter("ignore", DeprecationWarning)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    return found


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = None

    def log_message(self, *args):
        pass

    def head(self, status, kind="text/plain", length=None, **more):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, body, status=200, kind="text/plain; charset=utf-8", **more):
        self.head(status, kind, len(body), **more)
        self.wfile.write(body)

    def drip(self):
        self.head(200)
        while True:
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.02)

    def flood(self, length):
        self.head(200, length=length)
        for _ in range(160):
            self.wfile.write(b"mx: a.example\n" * 4681)

    def header_flood(self):
        self.send_response(200)
        for number in range(5000):
            self.send_header(f"X-{number}", "y" * 1000)
        self.end_headers()

    def do_GET(self):
        domain = self.headers.get("Host", "").split(":")[0].removeprefix("mta-sts.")
        with open(self.directory / "log", "a", encoding="ascii") as log:
            log.write(domain + "\n")
        if self.path != "/.well-known/mta-sts.txt":
            self.answer(b"", 400)
        elif domain == "redirect.example":
            self.answer(POLICY, 302, Location=f"https://mta-sts.ok.example:{self.server.server_port}{self.path}")
        elif domain == "html.example":
            self.answer(POLICY, kind="text/html")
        elif domain == "typeless.example":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(POLICY) + POLICY)
        elif domain == "error.example":
            self.answer(POLICY, 503)
        elif domain == "big.example":
            self.flood(None)
        elif domain == "declared.example":
            self.flood(10_485_440)
        elif domain == "headers.example":
            self.header_flood()
        elif domain == "short.example":
            self.head(200, length=len(POLICY) + 1)
            self.wfile.write(POLICY)
            self.close_connection = True
        elif domain == "slow.example":
            self.drip()
        elif domain == "silent.example":
            time.sleep(600)
        else:
            self.file(domain)

    def file(self, domain):
        path = self.directory / f"{domain}.txt"
        if path.exists():
            self.answer(path.read_bytes())
        else:
            self.answer(b"not here", 404)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's thread.
        with self.context.wrap_socket(request, server_side=True) as tls:
            super().finish_request(tls, client_address)

    def handle_error(self, request, client_address):
        pass  # clients hang up on most of what is served here


def main():
    directory = pathlib.Path(sys.argv[1])
    found = contexts(directory)

    def choose(connection, name, _):
        connection.context = found.get((name or "").removeprefix("mta-sts."), found[""])

    # Old enough for all; the context that is chosen may be stricter.
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.load_cert_chain(directory / "good.crt", directory / "good.key")
    front.sni_callback = choose
    Handler.directory = directory
    server = Server(front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()


main()
