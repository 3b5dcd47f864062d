"""E-04: clients of streams that do not keep to WebSocket or to server-sent events: what breaks is their connection alone."""

from __future__ import annotations

import base64
import json
import random
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.api.nodes import EVERYTHING, Api
from tests.daemons.nodes import WITHIN_S
from tests.faults import proc
from tests.faults.report import control, report
from tests.faults.test_http_access import serving

HELD_MIB = 2.0
"""Of one client."""
DEAF_S = 0.5
"""So long may nothing be taken of one that does not read."""
TEXT, BINARY, CLOSE, PING, PONG, GO_ON = 1, 2, 8, 9, 10, 0
PROTOCOL, INVALID, TOO_BIG = 1002, 1007, 1009
MASK = b"\x11\x22\x33\x44"
NATIVE, SALT = "/v1/events/ws?tag=sock/*", "/ws"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    masked: bool = True,
    reserved: int = 0,
    length: int | None = None,
) -> bytes:
    """Return a frame as a client sends it; `length`: what it says of itself."""
    said = len(payload) if length is None else length
    first = (0x80 if final else 0) | reserved << 4 | opcode
    mask = 0x80 if masked else 0
    if said < 126:
        head = struct.pack(">BB", first, mask | said)
    elif said < 65536:
        head = struct.pack(">BBH", first, mask | 126, said)
    else:
        head = struct.pack(">BBQ", first, mask | 127, said)
    if not masked:
        return head + payload
    whole = payload + bytes(-len(payload) % 4)
    key = int.from_bytes(MASK * (len(whole) // 4), "big")
    return head + MASK + (int.from_bytes(whole, "big") ^ key).to_bytes(len(whole), "big")[: len(payload)]


GOODBYE = frame(CLOSE, struct.pack(">H", 1000))
"""Whoever has seen nothing wrong answers it."""


class Case(NamedTuple):
    """`codes`: with one of which the connection is closed; empty: it need not be.  `is_deaf`: who says it does not read."""

    name: str
    raw: bytes
    codes: Sequence[int] = ()
    path: str = NATIVE
    is_deaf: bool = False


def cases(rng: random.Random, garbage: int) -> Iterator[Case]:
    for size in (2**63, 2**64 - 1, 2**40, 2**31, 70_000):
        yield Case(f"a length of {size}", frame(TEXT, length=size), (PROTOCOL, TOO_BIG))
    yield Case("a text of 70,000", frame(TEXT, b"x" * 70_000) + GOODBYE, (TOO_BIG,))
    part = frame(GO_ON, b"y" * 4096, final=False)
    yield Case("fragments without an end", frame(TEXT, b"x", final=False) + part * 40, (TOO_BIG,))
    yield Case("tiny fragments", frame(TEXT, b"x", final=False) + frame(GO_ON, b"y", final=False) * 70_000, (TOO_BIG,))
    yield Case("empty fragments", frame(TEXT, b"x", final=False) + frame(GO_ON, b"", final=False) * 50_000, (TOO_BIG,))
    yield Case("no mask", frame(TEXT, b"hello", masked=False), (PROTOCOL,))
    for text in (b"\xff", b"a\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"):
        yield Case(f"text {text!r}", frame(TEXT, text), (INVALID,))
        yield Case(f"text {text!r} in parts", frame(TEXT, text[:1], final=False) + frame(GO_ON, text[1:]), (INVALID,))
    for opcode in (3, 4, 7, 11, 15):
        yield Case(f"opcode {opcode}", frame(opcode, b"x"), (PROTOCOL,))
    for reserved in (1, 2, 4, 7):
        yield Case(f"reserved bits {reserved}", frame(TEXT, b"x", reserved=reserved), (PROTOCOL,))
    for opcode in (CLOSE, PING, PONG):
        yield Case(f"control {opcode} in parts", frame(opcode, b"", final=False), (PROTOCOL,))
        yield Case(f"control {opcode} of 126", frame(opcode, b"x" * 126), (PROTOCOL,))
    yield Case("no beginning", frame(GO_ON, b"x"), (PROTOCOL,))
    yield Case("two beginnings", frame(TEXT, b"x", final=False) + frame(TEXT, b"y"), (PROTOCOL,))
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 65535):
        yield Case(f"close with {code}", frame(CLOSE, struct.pack(">H", code)), (PROTOCOL,))
    yield Case("close with half a code", frame(CLOSE, b"\x03"), (PROTOCOL,))
    yield Case("close with what is no text", frame(CLOSE, b"\x03\xe8\xff"), (PROTOCOL, INVALID))
    for path in (NATIVE, SALT):
        yield Case(f"pings at {path}", frame(PING, b"p" * 125) * 40_000, path=path, is_deaf=True)
        yield Case(f"pongs at {path}", frame(PONG, b"p" * 125) * 40_000, path=path, is_deaf=True)
        words = frame(TEXT, b"websocket client ready") + frame(TEXT, b"w" * 100) * 60_000
        yield Case(f"words at {path}", words, path=path, is_deaf=True)
    for _ in range(garbage):
        size = rng.choice((1, 2, 3, 5, 14, 100, 2000))
        yield Case("garbage", rng.randbytes(size))


class Found(NamedTuple):
    upgraded: bool
    compressed: bool
    code: int | None


def meet(port: int, token: str, case: Case) -> Found:
    """Open a WebSocket with compression offered, say it, and return with which code it was closed."""
    key = base64.b64encode(bytes(16)).decode()
    head = (
        f"GET {case.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Auth-Token: {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (piece := connection.recv(4096)):
            answer += piece
        said, _, heard = answer.partition(b"\r\n\r\n")
        found = Found(said.startswith(b"HTTP/1.1 101"), b"deflate" in said, None)
        if case.is_deaf:
            connection.settimeout(DEAF_S)
            with suppress(OSError):
                connection.sendall(case.raw)
            return found
        with suppress(OSError):
            connection.sendall(case.raw)
            if not case.codes:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError, BrokenPipeError):
            while piece := connection.recv(65536):
                heard += piece
    return found._replace(code=_code_in(heard))


def _code_in(heard: bytes) -> int | None:
    """Return the code of the close among frames that a server has sent."""
    while len(heard) >= 2:
        length, place = heard[1] & 0x7F, 2
        if length == 126:
            length, place = struct.unpack(">H", heard[2:4])[0], 4
        if heard[0] & 0x0F == CLOSE and length >= 2:
            code: int = struct.unpack(">H", heard[place : place + 2])[0]
            return code
        heard = heard[place + length :]
    return None


def _abuse(folder: Path, seed: int, garbage: int, *, only: str = "", without: str | None = None) -> None:
    counters: dict[str, float] = dict.fromkeys(("wrong_code", "not_opened", "compressed", "down"), 0)
    wrong: list[str] = []
    with serving(folder, without) as api:
        token = api.token(*EVERYTHING)
        chosen = [case for case in cases(random.Random(seed), garbage) if only in case.name]
        # What it takes to open one at all is not what a bad one costs.
        meet(api.port, token, Case("first", frame(CLOSE)))
        held: dict[str, float] = {}
        for case in chosen:
            proc.reset_peak(api.pid)
            before = proc.memory_bytes(api.pid)
            found = meet(api.port, token, case)
            grown = (proc.memory_bytes(api.pid, "VmHWM") - before) / 2**20
            held[case.name] = max(held.get(case.name, 0.0), round(grown, 2))
            counters["not_opened"] += not found.upgraded
            counters["compressed"] += found.compressed
            if case.codes and found.code not in case.codes:
                wrong.append(f"{case.name}: {found.code}, not {case.codes}")
            counters["down"] += api.ask("GET", "/healthz").status != 200
        log = api.log.read_text()
    counters |= {"wrong_code": len(wrong), "tracebacks": log.count("Traceback"), "held_mib": max(held.values())}
    assert not wrong or without, wrong
    target = dict.fromkeys(counters, 0.0) | {"held_mib": HELD_MIB}
    report("E-04", seed=seed, runs=len(chosen), counters=counters, target=target, without=without)


def test_bad_clients_of_sockets_lose_their_connection_and_nothing_else(tmp_path: Path) -> None:
    _abuse(tmp_path, random.randrange(2**32), 140)


@pytest.mark.parametrize(("without", "only"), [("the limit of messages", "a text of 70,000")])
def test_a_socket_without_limits_is_found_out(tmp_path: Path, without: str, only: str) -> None:
    """Negative control."""
    with control("E-04", without=without, match='"wrong_code": [1-9]'):
        _abuse(tmp_path, 0, 0, only=only, without=without)


# -- Server-sent events ----------------------------------------------------------------------------------------------

LINES = "x\n\nevent: bye\ndata: {}\n\nid: 1\r\rdata: forged\u2028\u2029\x85\0"
IDS = (
    "x" * 10_000, "0123456789abcdef.-1", "0123456789abcdef." + "9" * 30, "0123456789abcdef", ".", "0123456789ABCDEF.\t1", "g" * 16 + ".1",
    "0123456789abcdef.1.2", "0x12345678abcdef.1", "0123456789abcdef.\xb9",
)  # fmt: skip


def _forge(api: Api, token: str) -> dict[str, float]:
    """Publish what would be events of its own on a stream, if it were written as it is."""
    wrong = 0
    for tag in ("a\nid: 7", "a\rdata: x", "a\0", "a\u2028", "\n"):
        answer = api.ask("POST", "/v1/events", token, json.dumps({"tag": tag}))
        wrong += answer.status not in ((400,) if "\n" in tag or "\r" in tag or "\0" in tag else (201, 400))
    data = {LINES: LINES, "deep": [LINES]}
    for path, accept in (("/v1/events/stream?tag=forge/*", "text/event-stream"), ("/events", "text/event-stream")):
        with api.stream(path, token, Accept=accept, X_Auth_Token=token) as stream:
            api.ask("POST", "/v1/events", token, json.dumps({"tag": "forge/a", "data": data}))
            api.ask("POST", "/v1/events", token, json.dumps({"tag": "forge/end"}))
            seen: list[str] = []
            while not seen or "forge/end" not in seen[-1]:
                line = stream.answer.readline().decode().rstrip("\n")
                seen.append(line)
        fields = {line.partition(":")[0] for line in seen if line}
        wrong += not fields <= {"retry", "id", "event", "data", "tag"}
        wrong += sum(line.startswith("data: ") and not line.startswith("data: {") for line in seen)
        wrong += sum(line == "event: bye" for line in seen)
    accepted = sum(api.ask("HEAD", "/v1/events/stream", token, Last_Event_ID=text).status == 200 for text in IDS)
    return {"forged": wrong, "ids_accepted": accepted}


def test_no_event_is_made_of_what_stands_in_another(tmp_path: Path) -> None:
    with serving(tmp_path, None) as api:
        counters = _forge(api, api.token(*EVERYTHING))
        counters["tracebacks"] = api.log.read_text().count("Traceback")
    report("E-04 forged", seed=0, runs=5 + 2 + len(IDS), counters=counters)
