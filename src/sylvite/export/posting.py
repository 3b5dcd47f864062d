"""One request: a body is posted to a URL, by an address that was looked at, and the status of the answer is read.

Redirects are not followed, the body of the answer is not read, and all of it has one deadline: a receiver that is slow costs
its own webhook that time, and nobody else anything.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sylvite.errors import InvalidSetting
from sylvite.export.address import Address, Network, Target, is_allowed
from sylvite.export.judging import ASKED_S_MAX, Outcome

LINE_BYTES_MAX = 8 * 1024
LINES_MAX = 100
ADDRESSES_MAX = 4
"""Of one name, that are tried one after the other."""
LOOKING_UP_MAX = 64
_status = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |\r?\n)")
_looking_up = ThreadPoolExecutor(LOOKING_UP_MAX, thread_name_prefix="look up a name")
"""Of its own: names that nobody answers for would fill the loop's."""

LookUp = Callable[[str, int], Awaitable[Sequence[Address]]]


async def look_up(host: str, port: int) -> list[Address]:
    """Return the addresses of a name.  Raises OSError: it has none."""

    def ask() -> list[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(address[0]).partition("%")[0]) for *_, address in found]

    return await asyncio.get_running_loop().run_in_executor(_looking_up, ask)


class Poster:
    """Posts to one URL.  It keeps nothing open in between."""

    def __init__(
        self,
        target: Target,
        networks: Sequence[Network],
        timeout_s: float,
        ca_file: str | None = None,
        look_up: LookUp = look_up,
    ) -> None:
        """Raises InvalidSetting: `ca_file` holds no certificates."""
        self._target, self._networks, self._timeout_s, self._look_up = target, networks, timeout_s, look_up
        self._tls = _tls(ca_file) if target.is_tls else None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Post a body; what comes of it is never raised."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(body, headers)
        except UnicodeError:
            return Outcome(None, "its name cannot be looked up")
        except TimeoutError:
            return Outcome(None, f"no answer within {self._timeout_s:g} s")
        except ssl.SSLCertVerificationError as error:
            return Outcome(None, f"its certificate is not believed: {error.verify_message}")
        except ssl.SSLError as error:
            return Outcome(None, f"TLS fails: {error.reason or error}")
        except OSError as error:
            return Outcome(None, f"it cannot be reached: {error.strerror or error}")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return Outcome(None, "what answers does not speak HTTP")

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Outcome:
        target = self._target
        found = await self._look_up(target.host, target.port)
        allowed = [address for address in dict.fromkeys(found) if is_allowed(address, self._networks)]
        if not allowed:
            shown = ", ".join(map(str, found[:ADDRESSES_MAX]))
            return Outcome(None, f"{target.host} leads to {shown}, which is not allowed; allow_networks says what is")
        reader, writer = await self._connect(allowed[:ADDRESSES_MAX])
        try:
            writer.write(_request(target, body, headers))
            await writer.drain()
            return await _answer(reader)
        finally:
            # Whatever it still says is not wanted.
            writer.transport.abort()

    async def _connect(self, addresses: Sequence[Address]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError: the last one's, where none can be reached."""
        target, last = self._target, OSError("no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    str(address), target.port, limit=LINE_BYTES_MAX, ssl=self._tls,
                    server_hostname=target.host if self._tls is not None else None,
                )  # fmt: skip
            except ssl.SSLError:
                raise
            except OSError as error:
                last = error
        raise last


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting("ca_file", ca_file, f"holds no certificates that can be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _request(target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = [f"POST {target.path} HTTP/1.1", f"host: {target.shown_host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


async def _answer(reader: asyncio.StreamReader) -> Outcome:
    """Raises ValueError, IncompleteReadError: what comes is no HTTP."""
    for _ in range(LINES_MAX):
        found = _status.match(await _line(reader))
        if found is None:
            raise ValueError("no status")
        status, headers = int(found[1]), await _headers(reader)
        if status < 200:
            continue  # It goes on: the answer is still to come.
        return Outcome(status, f"it answers {status}", _asked_s(headers.get("retry-after", "")))
    raise ValueError("no end of answers that are none")


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(LINES_MAX):
        line = (await _line(reader)).strip()
        if not line:
            return headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    raise ValueError("too many headers")


async def _line(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\n")


def _asked_s(text: str) -> float:
    """Return the pause that an answer asks for: seconds, or a date."""
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), ASKED_S_MAX)
    try:
        until = parsedate_to_datetime(text)
        return min(max(0.0, (until - datetime.now(UTC)).total_seconds()), ASKED_S_MAX)
    except (ValueError, TypeError):
        return 0.0
