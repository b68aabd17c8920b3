"""A mail server and a web server on this machine, which keep what they are sent."""

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

USER, PASSWORD = "shop", "open-sesame-4711"
# How a password may be written: as it is, and as HTTP and SMTP send it.
SECRETS = [PASSWORD, *(base64.b64encode(text.encode()).decode().rstrip("=")
                       for text in (PASSWORD, f"{USER}:{PASSWORD}", f"\0{USER}\0{PASSWORD}"))]


@dataclass
class Inbox:
    """The address of a server, and what it was sent: title and text of each message."""

    address: str
    received: list[tuple[str, str]] = field(default_factory=list)

    def take(self) -> list[tuple[str, str]]:
        """Return what has arrived since the last call."""
        arrived, self.received[:] = list(self.received), []
        return arrived


@contextmanager
def mail_server() -> Iterator[Inbox]:
    """A mail server that takes mail only from a sender who knows the password."""
    port = free_port()
    inbox = Inbox(f"mailto://{USER}:{PASSWORD}@127.0.0.1:{port}?from=shop@example.org&to=owner@example.org")

    class Handler:
        async def handle_DATA(self, server, session, envelope) -> str:
            mail = message_from_bytes(envelope.content, policy=policy.default)
            text = mail.get_body(("plain", "html")).get_content()
            inbox.received.append((str(mail["Subject"]), text))
            return "250 OK"

    def knows_password(server, session, envelope, mechanism, data) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login, data.password)
        return AuthResult(success=given == (USER.encode(), PASSWORD.encode()))

    server = Controller(Handler(), "127.0.0.1", port, authenticator=knows_password, auth_required=True,
                        auth_require_tls=False)
    server.start()
    try:
        yield inbox
    finally:
        server.stop()


@contextmanager
def web_server() -> Iterator[Inbox]:
    """A web server that takes JSON only from a sender who knows the password."""
    expected = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            is_welcome = self.headers["Authorization"] == expected
            if is_welcome:
                inbox.received.append((sent["title"], sent["message"]))
            self.send_response(200 if is_welcome else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inbox = Inbox(f"json://{USER}:{PASSWORD}@127.0.0.1:{server.server_port}/alerts")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def dead_address() -> str:
    return f"json://{USER}:{PASSWORD}@127.0.0.1:{free_port()}/alerts"
