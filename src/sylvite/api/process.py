"""The api as a process: an HTTP server in front of a bus."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket as sockets
import ssl
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import uvicorn
from starlette.types import ASGIApp

from sylvite.api.app import make_app
from sylvite.api.connections import HEAD_BYTES_MAX, HEAD_S, STALL_S, BoundedHeads, protocols_for
from sylvite.api.crowd import Crowd
from sylvite.api.salt.entries import SaltApi
from sylvite.api.service import serving
from sylvite.api.settings import read_settings
from sylvite.daemons.configuration import Configuration
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.opts import make_opts
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.daemons.precautions import check_file, secure_process
from sylvite.daemons.process import log_as, on_signals, run, say_ready
from sylvite.daemons.systemd import notify
from sylvite.errors import InvalidSetting
from sylvite.jobs.client_core import MasterPlace

MESSAGE_BYTES_MAX = 64 * 1024
"""Of a WebSocket, from its client."""
KEEP_ALIVE_S = 10
CONNECTIONS_MAX = 12_000
STOP_S = 5
GARBAGE_AFTER = 50_000
"""So many new objects until garbage is looked for: with Python's 700, each event to thousands of clients has that done dozens of times."""
PORT = 8000
LOOPBACK = ("127.0.0.1", "::1", "localhost")
logger = logging.getLogger("sylvite.api")


class Listening(NamedTuple):
    """Where, and with which certificate and key (PEM files).  Without them it is plain HTTP: on the loopback alone, unless `in_clear` says otherwise."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    in_clear: bool = False


def listening_of(rest: RestCherrypy, port: int) -> Listening:
    """Return what the master's file says."""
    if rest.disable_ssl:
        return Listening(rest.host, port, in_clear=True)
    certificate, key = (None if name is None else Path(name) for name in (rest.ssl_crt, rest.ssl_key))
    return Listening(rest.host, port, certificate, key)


def _is_no_refused_socket(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of each WebSocket that is answered with a refusal: strangers could fill the log with it."""
    return "without completing handshake" not in record.getMessage()


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[sockets.socket] | None = None) -> None:
        """As uvicorn's, with a deadline of handshakes: before TLS stands, a connection is not yet one of ours."""
        config, loop = self.config, asyncio.get_running_loop()
        make = partial(
            config.http_protocol_class, config=config, server_state=self.server_state, app_state=self.lifespan.state
        )
        deadline_s = None if config.ssl is None else HEAD_S
        self.servers = [
            await loop.create_server(
                make, sock=each, backlog=config.backlog, ssl=config.ssl, ssl_handshake_timeout=deadline_s
            )
            for each in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave signals to us."""
        yield


def main(
    configuration: Configuration[MasterOptions], bus: Path, listening: Listening | None, *, ready_fd: int | None = None
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.  `bus`: the socket of the one that is served.

    `listening`: None: as the master's file says.

    Raises:
        SylviteError: it could not start: no bus, no tokens, no port, no certificate.
    """
    secure_process()
    gc.set_threshold(GARBAGE_AFTER, 10, 10)
    log_as(configuration)
    # It tells of itself what we have said already.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_in_one_line)
    logging.getLogger("uvicorn.error").addFilter(_is_no_refused_socket)
    return run(_serve(configuration, bus, listening, ready_fd))


def _in_one_line(record: logging.LogRecord) -> bool:
    """Leave the traceback out where the mistake is a client's: uvicorn tells of a text that is no UTF-8 as of a bug."""
    if record.getMessage().startswith("Invalid UTF-8"):
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
    return True


async def _serve(
    configuration: Configuration[MasterOptions], bus: Path, listening: Listening | None, ready_fd: int | None
) -> int:
    stopping = asyncio.Event()
    on_signals(stopping.set, configuration.reload)
    settings = read_settings(configuration.options, make_opts(configuration.loaded))
    listening = listening or listening_of(settings.rest, settings.rest.port or PORT)
    tls = _tls(listening)
    place = msgspec.structs.replace(MasterPlace.of(configuration.options), socket=bus)
    async with serving(place, settings.rest) as service:
        salt = SaltApi(service, settings, place)
        service.hooks.follow(configuration)
        with _listen(listening) as listener:
            server = _Server(_config(make_app(service, salt), tls, service.crowd))
            running = asyncio.create_task(server.serve([listener]), name="api: server")
            scheme = "http" if tls is None else "https"
            port = listener.getsockname()[1]
            shown = f"[{listening.host}]" if ":" in listening.host else listening.host
            logger.info("the interface is at %s://%s:%d", scheme, shown, port)
            say_ready(ready_fd, str(port))
            waiting = asyncio.create_task(stopping.wait())
            await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            waiting.cancel()
            service.streams.end_all("the interface is stopping; go on with the last id")
            server.should_exit = True
            await running
        await salt.lows.close()
    return 0


def _config(app: ASGIApp, tls: ssl.SSLContext | None, crowd: Crowd) -> uvicorn.Config:
    http, socket = protocols_for(crowd)
    config = uvicorn.Config(
        BoundedHeads(app), log_config=None, http=http, access_log=False, server_header=False, lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=STOP_S, limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX, backlog=1024, proxy_headers=False, ws=socket, ws_ping_timeout=STALL_S, ws_max_size=MESSAGE_BYTES_MAX, ws_per_message_deflate=False,
    )  # fmt: skip
    config.load()
    config.ssl = tls
    return config


def _tls(listening: Listening) -> ssl.SSLContext | None:
    if listening.certificate is None or listening.key is None:
        if listening.certificate is not None or listening.key is not None:
            raise InvalidSetting("certificate", listening.certificate, "and its key belong together; give both or none")
        if listening.in_clear:
            logger.warning(
                "disable_ssl: passwords and tokens travel in the clear, unless something in front of this speaks TLS"
            )
        elif listening.host not in LOOPBACK:
            raise InvalidSetting(
                "listen", listening.host,
                "is not this machine alone, and tokens must not travel in the clear: give a certificate and a key, or listen on 127.0.0.1",
            )  # fmt: skip
        return None
    check_file(listening.key, "key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listening.certificate, listening.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting(
            "certificate", str(listening.certificate), f"cannot be used with that key: {error}"
        ) from error
    return context


def _listen(listening: Listening) -> sockets.socket:
    family = sockets.AF_INET6 if ":" in listening.host else sockets.AF_INET
    try:
        return sockets.create_server((listening.host, listening.port), family=family, backlog=1024)
    except OSError as error:
        where = f"{listening.host} port {listening.port}"
        raise InvalidSetting("listen", where, f"cannot be listened on: {os.strerror(error.errno or 0)}") from error
