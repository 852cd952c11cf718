# SPDX-License-Identifier: BSD-3-Clause
"""An SMTP client that sends exactly the bytes it is told to."""

import socket


class Session:
    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.input = self.socket.makefile("rb")
        self.greeting = self.reply()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """One reply as text, its lines joined with newlines; "" when the server has closed."""
        lines = []
        while True:
            line = self.input.readline()
            if not line:
                return "\n".join(lines)
            assert line.endswith(b"\r\n"), line
            lines.append(line[:-2].decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def ask(self, line):
        self.send(line + ("\r\n" if isinstance(line, str) else b"\r\n"))
        return self.reply()

    def begin(self, sender="s@bulk.example", recipients=("r@example.test",)):
        """Up to the point where content is wanted."""
        assert self.ask("EHLO client.example").startswith("250")
        assert self.ask(f"MAIL FROM:<{sender}>").startswith("250")
        for r in recipients:
            assert self.ask(f"RCPT TO:<{r}>").startswith("250")
        assert self.ask("DATA").startswith("354")

    def works(self):
        """Whether a whole message still goes through."""
        self.ask("RSET")
        self.begin()
        return self.ask("Subject: still here\r\n\r\nx\r\n.").startswith("250 2.0.0 Ok: queued as ")

    def at_end(self):
        """Whether the server has closed and nothing is left to read."""
        return self.input.read(1) == b""

    def close(self):
        self.input.close()
        self.socket.close()
