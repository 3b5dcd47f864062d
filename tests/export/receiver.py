"""Receivers of webhooks for tests: real servers that answer as they are told, and remember what came."""

from __future__ import annotations

import json
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from sylvite.auth.webhooks import Checking, Delivery, Secret, check
from tests.daemons.nodes import WITHIN_S


class Got(NamedTuple):
    headers: Mapping[str, str]
    body: bytes
    at_s: float

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_with(self, secret: Secret) -> bool:
        return bool(check("standard", Delivery(self.headers, self.body), Checking([secret]), time.time()).key)


class Reply(NamedTuple):
    status: int = 204
    headers: Mapping[str, str] = {}
    after: threading.Event | None = None
    """It answers once this is set."""


Answering = Callable[[Got], Reply]


class Receiver:
    """A context manager.  `answer` may be replaced while it runs."""

    def __init__(
        self, answer: Answering = lambda _: Reply(), tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self._host = host
        self.answer: Answering = answer
        self.got: list[Got] = []
        self.new: queue.Queue[Got] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Got({name.lower(): value for name, value in self.headers.items()}, body, time.monotonic())
                receiver.got.append(got)
                receiver.new.put(got)
                reply = receiver.answer(got)
                if reply.after is not None:
                    reply.after.wait(WITHIN_S)
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    pass  # The sender did not wait for it.

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/hook?a=1"

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self) -> Got:
        return self.new.get(timeout=WITHIN_S)

    def events(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many; return them as they came."""
        return [self.next().event for _ in range(count)]
