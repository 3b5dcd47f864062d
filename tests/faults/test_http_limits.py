"""E-10: requests that are too long, too many, too deep, or that two programs would read differently."""

from __future__ import annotations

import gzip
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.api.nodes import EVERYTHING, Api
from tests.daemons.nodes import WITHIN_S
from tests.faults import proc
from tests.faults.report import control, report
from tests.faults.test_http_access import serving

GROWTH_MIB = 32.0
HOST = b"Host: bus.example\r\n"
SECRET = b"GET /v1/smuggled HTTP/1.1\r\nHost: bus.example\r\n\r\n"
"""What stands in the body of another one, and must not be read as a request."""
REFUSED = (400,)


class Case(NamedTuple):
    """`statuses`: one of which is the answer, and the only one."""

    name: str
    raw: bytes
    statuses: tuple[int, ...]


def get(path: bytes = b"/healthz", head: bytes = HOST, version: bytes = b"1.1") -> bytes:
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + head + b"\r\n"


class Corpus:
    """The cases; `token` lets one publish."""

    def __init__(self, token: str, rng: random.Random) -> None:
        self._head = HOST + f"Authorization: Bearer {token}\r\n".encode()
        self._rng = rng

    def post(self, body: bytes, *fields: bytes, length: int | None = None, head: bytes | None = None) -> bytes:
        said = b"Content-Length: %d" % (len(body) if length is None else length)
        lines = b"".join(field + b"\r\n" for field in (fields or (said,)))
        return b"POST /v1/events HTTP/1.1\r\n" + (self._head if head is None else head) + lines + b"\r\n" + body

    def all(self) -> Iterator[Case]:
        yield from self.heads()
        yield from self.lengths()
        yield from self.codings()
        yield from self.bodies()
        yield from self.garbled()

    def heads(self) -> Iterator[Case]:
        for size in (17_000, 100_000, 1_000_000):
            yield Case(f"a line of {size}", get(b"/" + b"a" * size), (400, 414, 431))
            yield Case(f"a field of {size}", get(head=HOST + b"X: " + b"a" * size + b"\r\n"), (400, 431))
        for count in (65, 1000, 20_000):
            fields = b"".join(b"X%d: a\r\n" % number for number in range(count))
            yield Case(f"{count} fields", get(head=HOST + fields), (400, 431))
        yield Case("64 fields", get(head=HOST + b"".join(b"X%d: a\r\n" % number for number in range(63))), (200,))
        for name, head in (
            ("no Host", b""), ("two Hosts", HOST + HOST), ("two other Hosts", HOST + b"Host: evil.example\r\n"),
            ("a blank before the colon", b"Host : x\r\n"), ("a folded field", HOST + b"X: a\r\n b\r\n"),
            ("a zero byte", HOST + b"X: a\0b\r\n"), ("a bare CR", HOST + b"X: a\rb: c\r\n"), ("no colon", HOST + b"X\r\n"),
            ("an empty name", HOST + b": a\r\n"), ("a blank first", b" " + HOST),
        ):  # fmt: skip
            yield Case(name, get(head=head), REFUSED)
        yield Case("bare LF", b"GET /healthz HTTP/1.1\nHost: x\n\n", REFUSED)
        yield Case("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED)
        yield Case("HTTP/3.7", get(version=b"3.7"), (400, 505))
        yield Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), REFUSED)
        yield Case("no such method", b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (400, 405, 501))

    def lengths(self) -> Iterator[Case]:
        for name, field in (
            ("two lengths", b"Content-Length: 5\r\nContent-Length: 6"), ("a list of lengths", b"Content-Length: 5, 6"),
            ("a length below nothing", b"Content-Length: -5"), ("a plus", b"Content-Length: +5"), ("no number", b"Content-Length: five"),
            ("hexadecimal", b"Content-Length: 0x5"), ("too many digits", b"Content-Length: " + b"9" * 40),
            ("a length and a coding", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
            ("a coding and a length", b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ):  # fmt: skip
            yield Case(name, self.post(b"0\r\n\r\n" + SECRET, field), (400, 413))
        yield Case("too long, as it says", self.post(b"", length=10**15), (413,))

    def codings(self) -> Iterator[Case]:
        for coding in (
            b"xchunked",
            b"chunked, identity",
            b"chunked, chunked",
            b"gzip",
            b" chunked x",
            b"\x0bchunked",
            b"chun ked",
        ):
            yield Case(
                f"coding {coding!r}", self.post(b"0\r\n\r\n" + SECRET, b"Transfer-Encoding: " + coding), (400, 501)
            )
        head = self._head + b"Transfer-Encoding: chunked\r\n"
        old = b"POST /v1/events HTTP/1.0\r\n" + head + b"\r\n0\r\n\r\n" + SECRET
        yield Case("a coding in HTTP/1.0", old, REFUSED)
        for name, body in (
            ("no size", b"\r\nhello\r\n0\r\n\r\n"), ("a bad size", b"zz\r\nhello\r\n0\r\n\r\n"), ("a size below nothing", b"-5\r\nhello\r\n0\r\n\r\n"),
            ("0x", b"0x5\r\nhello\r\n0\r\n\r\n"), ("too many digits", b"f" * 40 + b"\r\n"), ("more than its size", b"2\r\nhello\r\n0\r\n\r\n"),
            ("bare LF", b"5\nhello\n0\n\n"), ("trailers", b"0\r\n" + b"X: aaaaaaaa\r\n" * 5000 + b"\r\n"),
            ("an extension", b"5;" + b"x" * 50_000 + b"\r\nhello\r\n0\r\n\r\n"),
        ):  # fmt: skip
            yield Case(f"chunks: {name}", self.post(body, b"Transfer-Encoding: chunked"), (400, 413, 431))
        many = b"".join(b"1\r\na\r\n" for _ in range(20_000)) + b"0\r\n\r\n"
        yield Case("many chunks", self.post(many, b"Transfer-Encoding: chunked"), REFUSED)
        endless = b"".join(b"10000\r\n" + b"a" * 65536 + b"\r\n" for _ in range(40))
        yield Case("chunks without an end", self.post(endless, b"Transfer-Encoding: chunked"), (413,))

    def bodies(self) -> Iterator[Case]:
        for number in range(8):
            # The connection is ended while the first one is being answered.
            garbage = bytes(range(30 * number, 30 + 30 * number))
            yield Case(f"garbage behind a request, {number}", get() + garbage, (200, 400))
            yield Case(f"garbage behind a body, {number}", self.post(b'{"tag": "a"}') + garbage, (201, 400))
        lines = b"".join(b'{"tag": "a", "data": {"x": "%s"}}\n' % (b"y" * 1000) for _ in range(9000))
        length = b"Content-Length: %d" % len(lines)
        yield Case("too many lines", self.post(lines, length, b"Content-Type: application/x-ndjson"), (413,))
        yield Case("2 MiB", self.post(b'{"tag": "a", "data": {"x": "' + b"y" * 2**21 + b'"}}'), (413,))
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            deep = b'{"tag": "a", "data": {"x": ' + opening * 50_000 + b"1" + closing * 50_000 + b"}}"
            yield Case(f"deep {opening!r}", self.post(deep), REFUSED)
        packed = gzip.compress(b'{"tag": "a", "data": {"x": "' + bytes(2**20) + b'"}}')
        for coding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip"):
            fields = (b"Content-Encoding: " + coding, b"Content-Length: %d" % len(packed))
            yield Case(f"packed with {coding!r}", self.post(packed, *fields), (415,))
        for body in (
            b'{"tag": "a", "data": {"x": 1e999999}}',
            b'{"tag": "a", "data": {"x": ' + b"9" * 5000 + b"}}",
            b'{"tag": "\xff"}',
            b"\xef\xbb\xbf{}",
        ):
            yield Case(f"JSON {body[:40]!r}", self.post(body), REFUSED)

    def garbled(self) -> Iterator[Case]:
        """Right requests with a byte that is another one: whatever the answer is, the interface goes on."""
        whole = self.post(b'{"tag": "a"}')
        end = whole.index(b"\r\n\r\n")
        for _ in range(60):
            place = self._rng.randrange(end)
            raw = whole[:place] + bytes([self._rng.randrange(256)]) + whole[place + 1 :]
            yield Case(f"byte {place} is {raw[place]}", raw, ())


def ask(port: int, raw: bytes) -> bytes:
    """Say it, and return all that comes until the other side has no more to say."""
    found: list[bytes] = []
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                found.append(piece)
        except TimeoutError:
            raise
        except OSError:
            pass  # It has refused before all of it was said.
    return b"".join(found)


def statuses_in(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def _limits(folder: Path, seed: int, *, only: str = "", without: str | None = None) -> None:
    counters: dict[str, float] = dict.fromkeys(("wrong_status", "smuggled", "not_answered", "down"), 0)
    wrong: list[str] = []
    with serving(folder, without) as api:
        corpus = Corpus(api.token(*EVERYTHING), random.Random(seed))
        cases = [case for case in corpus.all() if only in case.name]
        memory = proc.memory_bytes(api.pid)
        for case in cases:
            answer = ask(api.port, case.raw)
            found = statuses_in(answer)
            counters["smuggled"] += b"smuggled" in answer and bool(case.statuses)
            # Of a connection that is ended while we still speak, the system may throw the answer away.
            is_right = not found or found[0] in case.statuses or not case.statuses
            if not is_right or 500 in found:
                wrong.append(f"{case.name}: {found}, not {case.statuses}")
            counters["not_answered"] += not found and len(case.raw) < 10_000 and bool(case.statuses)
            counters["down"] += not _is_up(api)
        growth = (proc.memory_bytes(api.pid, "VmHWM") - memory) / 2**20
        log = api.log.read_text()
    counters["wrong_status"] = len(wrong)
    counters["tracebacks"] = log.count("Traceback")
    found_mib = {"growth_mib": round(growth, 1)}
    target = dict.fromkeys(counters, 0.0) | {"growth_mib": GROWTH_MIB}
    assert not wrong or without, wrong
    report("E-10", seed=seed, runs=len(cases), counters=counters | found_mib, target=target, without=without)


def _is_up(api: Api) -> bool:
    return api.ask("GET", "/healthz").status == 200


def test_requests_that_cannot_be_are_refused_and_cost_nothing(tmp_path: Path) -> None:
    _limits(tmp_path, random.randrange(2**32))


@pytest.mark.parametrize(
    ("without", "only"), [("limits of bodies", "too many lines"), ("the look at heads", "Hosts")]
)  # fmt: skip
def test_an_interface_without_limits_is_found_out(tmp_path: Path, without: str, only: str) -> None:
    """Negative controls."""
    with control("E-10", without=without, match='"wrong_status": [1-9]'):
        _limits(tmp_path, 0, only=only, without=without)


def test_a_second_request_in_the_body_of_another_would_be_seen() -> None:
    answer = b'HTTP/1.1 200 OK\r\n\r\nok\nHTTP/1.1 404 Not Found\r\n\r\n{"detail":"there is nothing at /v1/smuggled"}'
    assert statuses_in(answer) == [200, 404]
    assert b"smuggled" in answer
    assert json.loads(answer.rpartition(b"\r\n")[2])["detail"]
