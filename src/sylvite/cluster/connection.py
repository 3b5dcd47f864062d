"""The connection to the servers of NATS: the one place that knows how they are reached, and what their errors mean."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import APIError, ServiceUnavailableError

from sylvite.cluster import clock
from sylvite.cluster.credentials import Credentials, read_credentials
from sylvite.cluster.settings import ClusterSettings, join_servers
from sylvite.errors import ClusterError, ClusterRefused, ClusterUnfit, ClusterUnreachable, InvalidSetting

CONNECT_S = 10.0
REQUEST_S = 5.0
ASK_S = (*([1.0] * 8), REQUEST_S)
"""For how long each of several times; the last one has the patience that busy servers need."""
CLOSE_S = 2.0
PING_S, PINGS_MISSED_MAX = 2, 2
"""A server that does not answer (it is paused, say) is given up after that, and another one is asked."""
RECONNECT_S = 0.25
USER_INFO = "$SYS.REQ.USER.INFO"
"""Asks a server what it thinks of us; its answer bears its time."""
CLOCK_ANSWER_S = 1.0
RESETS = 4
"""How often it is tried where a server closes the connection before its reason has come."""
FLOORS = ((2, 12, 7), (2, 14, 0))
"""The oldest version of each line that has the fixes of July 2026 (CVE-2026-58253, CVE-2026-58251); all newer lines have them."""
_WRONG_SETTINGS = {10052: "subjects", 10058: "name", 10065: "subjects", 10074: "replicas", 10005: "replicas"}
_SECRET_REFUSED = ("authorization violation", "authentication", "user authentication")
_digits = re.compile(r"\d+").findall

Answer = TypeVar("Answer")
logger = logging.getLogger("sylvite.cluster")


class _Server(msgspec.Struct, frozen=True):
    time: str = ""


class _Told(msgspec.Struct, frozen=True):
    server: _Server = _Server()


class _Client(Client):
    """nats-py's, with credentials of ours: its own way to nkeys needs one package more.  And it speaks TLS if the server
    asks for it, so that whoever sits in between could do without: where we want TLS, nothing is said to such a server."""

    wants_tls = False

    async def _connect_to_server(self, s: Any) -> None:
        self.abort()  # What is left of a server that took the connection and then said nothing: it would stay open.
        await super()._connect_to_server(s)

    async def _attempt_reconnect(self) -> None:
        # nats-py waits until a connection is closed, which it is not before all has left: never, where nobody reads.
        self.abort()
        await super()._attempt_reconnect()

    def abort(self) -> None:
        """Close the socket, whatever it still holds."""
        transport: Any = self._transport
        writer = getattr(transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    def _connect_command(self) -> bytes:
        if self.wants_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()

    def use(self, credentials: Credentials) -> dict[str, Any]:
        """Return what to connect with."""
        if credentials.key is None:
            return {"user": credentials.user, "password": credentials.password}
        self._auth_configured = True
        options: dict[str, Any] = {"signature_cb": credentials.key.sign}
        if credentials.jwt is None:
            self._public_nkey = credentials.key.public
        else:
            jwt = credentials.jwt.encode()
            options["user_jwt_cb"] = lambda: jwt
        return options


class Connection:
    """Connected, or looking for a server that is, until it is closed.  Made by `open`.

    `nats`, `jetstream`: nats-py's; `asking` turns their errors into ours.  `closed`: set once it will not come back, as when
    the servers take our credentials no longer: then open another one.  `lost`: set once it was
    lost for the first time, though it may be back.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self.servers = join_servers(settings.servers)
        self.closed = asyncio.Event()
        self.lost = asyncio.Event()
        self._client = _Client()
        self._client.wants_tls = settings.wants_tls
        self._jetstream: JetStreamContext | None = None
        self._takers: list[Callable[[bool], None]] = []
        self._failures: list[Exception] = []
        self._all_failed = asyncio.Event()
        self._refused = ""

    @classmethod
    async def open(
        cls, settings: ClusterSettings, *, name: str = "sylvite", timeout_s: float = CONNECT_S, unfit_too: bool = False
    ) -> Self:
        """Try each server once, and return with the first that takes us.

        `unfit_too`: also if it is too old, say: for who wants to find out.

        Raises:
            InvalidSetting: credentials or certificates cannot be used.
            ClusterUnreachable, ClusterRefused, ClusterUnfit: what is wrong with the servers.
        """
        credentials, tls = read_credentials(settings.credentials), _tls_of(settings)
        for left in reversed(range(RESETS)):
            made = cls(settings)
            try:
                await made._connect(credentials, tls, name, timeout_s)
                if not unfit_too:
                    made._check_server()
                    await made._check_clock()
            except ClusterUnreachable:
                await made.close()
                if not (left and made._was_reset()):
                    raise
            except BaseException:
                await made.close()
                raise
            else:
                return made
        raise AssertionError("the last time it is raised")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def nats(self) -> Client:
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """Each request of it has REQUEST_S."""
        if self._jetstream is None:
            self._jetstream = JetStreamContext(self._client, timeout=REQUEST_S)
        return self._jetstream

    async def ask(self, question: Callable[[JetStreamContext], Awaitable[Answer]]) -> Answer:
        """Ask JetStream, and again while there is no answer: a question that comes while nobody leads is not answered later.

        Raises:
            nats.errors.Error: also that it was asked for long enough; for `asking` to translate.
        """
        for timeout_s in ASK_S[:-1]:
            began_s = time.monotonic()
            try:
                return await question(JetStreamContext(self._client, timeout=timeout_s))
            except (nats.errors.TimeoutError, ServiceUnavailableError):
                await asyncio.sleep(max(0.0, began_s + timeout_s - time.monotonic()))
        return await question(JetStreamContext(self._client, timeout=ASK_S[-1]))

    @property
    def is_connected(self) -> bool:
        return self._client.is_connected

    @property
    def server(self) -> str:
        """The name of the server that we are connected to."""
        return str(self._info().get("server_name", ""))

    @property
    def version(self) -> str:
        return str(self._info().get("version", ""))

    @property
    def info(self) -> dict[str, Any]:
        """What the server has told of itself."""
        return dict(self._info())

    @property
    def payload_bytes_max(self) -> int:
        """What one message may hold, headers included."""
        return self._client.max_payload

    def on_change(self, take: Callable[[bool], None]) -> None:
        """Have `take` called when the connection is there again (True), or is lost (False)."""
        self._takers.append(take)

    @contextmanager
    def asking(self, what: str) -> Generator[None]:
        """Turn what nats-py raises into errors of ours.  `what`: is done; it stands in the message.

        Raises:
            ClusterUnreachable: there is no answer; whether it was done is unknown.
            ClusterRefused: we may not do that.
            ClusterUnfit: the servers cannot do it as their settings are.
        """
        try:
            yield
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise self.translate(error, what) from error

    def translate(self, error: Exception, what: str) -> ClusterError:
        """Return the error of ours that one of nats-py means."""
        if isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError):
            said = error.description or str(error)
            if "offline" in said:
                return ClusterUnreachable(self.servers, f"{what}: {said}")  # A server is on its way back, say.
            if error.err_code in _WRONG_SETTINGS:
                return ClusterUnfit(
                    what, said, f"look at its {_WRONG_SETTINGS[error.err_code]}: `sylvite cluster check`"
                )
            return ClusterError(f"{what}: the servers say {said!r} ({error.err_code})")
        if self._refused and isinstance(error, TimeoutError):
            refused, self._refused = self._refused, ""
            return ClusterRefused(self.servers, f"{what}: {refused}")
        if isinstance(error, APIError):
            reason = error.description or "nobody is in charge of it at the moment"
        else:
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error).removeprefix("nats: ")
        return ClusterUnreachable(self.servers, f"{what}: {reason or type(error).__name__}")

    async def close(self) -> None:
        """Say what is still to be said, where it is taken within CLOSE_S."""
        client = self._client
        if client.is_connected or client.is_connecting or client.is_reconnecting:
            aborting = asyncio.get_running_loop().call_later(CLOSE_S, client.abort)
            try:
                await client.close()
            except OSError as error:
                logger.debug("cluster: closing: %r", error)
            finally:
                aborting.cancel()
        self.closed.set()

    async def _connect(self, credentials: Credentials, tls: ssl.SSLContext | None, name: str, timeout_s: float) -> None:
        connecting = asyncio.ensure_future(
            self._client.connect(
                list(self.settings.servers),
                name=name,
                tls=tls,
                error_cb=self._on_error,
                disconnected_cb=self._on_lost,
                reconnected_cb=self._on_back,
                closed_cb=self._on_closed,
                connect_timeout=max(1, round(timeout_s / 2)),
                reconnect_time_wait=RECONNECT_S,  # type: ignore[reportArgumentType] - a number of seconds, whatever its type
                max_reconnect_attempts=-1,
                ping_interval=PING_S,
                max_outstanding_pings=PINGS_MISSED_MAX,
                # Nothing waits in memory for a server: what has to get there, lies in a log.
                pending_size=-1,
                **self._client.use(credentials),
            )
        )
        failing = asyncio.ensure_future(self._all_failed.wait())
        try:
            await asyncio.wait((connecting, failing), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise self._why_not()
            try:
                connecting.result()
            except (nats.errors.Error, OSError, ValueError, TypeError, AttributeError) as error:
                # The latter: what listens there has greeted us with something that nats-py does not check.
                self._failures.append(error)
                raise self._why_not() from error
        finally:
            for task in (connecting, failing):
                task.cancel()
            await asyncio.gather(connecting, failing, return_exceptions=True)

    def _why_not(self) -> ClusterError:
        """Return the most telling of what the servers said."""
        for error in self._failures:
            if any(word in str(error).lower() for word in _SECRET_REFUSED):
                return ClusterRefused(self.servers, str(error).removeprefix("nats: ").strip("'"))
            if isinstance(
                error, ssl.SSLError | nats.errors.SecureConnRequiredError | nats.errors.SecureConnWantedError
            ):
                return ClusterRefused(self.servers, f"TLS: {str(error).removeprefix('nats: ')}")
        reasons = dict.fromkeys(str(error) or type(error).__name__ for error in self._failures)
        return ClusterUnreachable(self.servers, "; ".join(reasons) or "no answer in time")

    def _was_reset(self) -> bool:
        """Say whether a server has closed the connection while we spoke: what it had to say is lost, and it says it again."""
        return any(isinstance(error, ConnectionResetError | BrokenPipeError) for error in self._failures)

    def _check_server(self) -> None:
        """Raises ClusterUnfit: the server is too old, or has no JetStream."""
        if reason := what_is_wrong_with_version(self.version):
            raise ClusterUnfit(f"NATS server {self.server} {self.version}", reason, "update it")
        if not self._info().get("jetstream"):
            raise ClusterUnfit(
                f"NATS server {self.server}", "has no JetStream", "add `jetstream { store_dir: ... }` to its settings"
            )

    async def _check_clock(self) -> None:
        """Raises ClusterUnfit: the server's clock is another one.  Where it may not be asked, nobody knows."""
        before_s = clock.now_s()
        try:
            answer = await self._client.request(USER_INFO, b"", timeout=CLOCK_ANSWER_S)
            told = msgspec.json.decode(answer.data, type=_Told).server.time
        except (nats.errors.Error, msgspec.DecodeError):
            self._refused = ""
            return
        apart_s = clock.apart_s(told, before_s, clock.now_s())
        if apart_s is not None and abs(apart_s) > clock.MAX_S:
            raise ClusterUnfit(
                f"NATS server {self.server}",
                f"its clock and ours are {abs(apart_s):.0f} s apart",
                "run chrony or another NTP client on both machines",
            )

    def _info(self) -> dict[str, Any]:
        # nats-py has each of these only in part as a property.
        return self._client._server_info  # type: ignore[reportPrivateUsage] # noqa: SLF001

    async def _on_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self._refused = str(error).removeprefix("nats: ")
            if USER_INFO.lower() in self._refused.lower():
                return  # We can do without.
            logger.error("the servers of the cluster do not let us do something: %s", self._refused)
            return
        self._failures.append(error)
        del self._failures[: -len(self.settings.servers)]
        if len(self._failures) >= len(self.settings.servers):
            self._all_failed.set()
        logger.debug("cluster: %r", error)

    async def _on_lost(self) -> None:
        self._tell(is_connected=False)

    async def _on_back(self) -> None:
        self._failures.clear()
        try:
            self._check_server()
        except ClusterUnfit as error:
            logger.error("%s", error)  # It took us over from another one; `open` would not have taken it.
        self._tell(is_connected=True)

    async def _on_closed(self) -> None:
        self.closed.set()
        self._tell(is_connected=False)

    def _tell(self, *, is_connected: bool) -> None:
        if not is_connected:
            self.lost.set()
        for take in self._takers:
            take(is_connected)


def what_is_wrong_with_version(version: str) -> str | None:
    """Return why a version of nats-server is not taken; None where it is."""
    found = tuple(int(part) for part in _digits(version)[:3])
    for floor in FLOORS:
        if found[:2] == floor[:2]:
            return None if found >= floor else f"is too old: of its line {_dotted(floor)} is the oldest that is taken"
    if found < FLOORS[-1]:
        return f"is too old: at least {' or '.join(_dotted(floor) for floor in FLOORS)}"
    return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _tls_of(settings: ClusterSettings) -> ssl.SSLContext | None:
    if not settings.wants_tls:
        return None
    tls = settings.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca if tls else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if tls is not None and tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting("cluster.tls", str(tls), f"cannot be used: {error}") from error
    return context
