"""E-06: tokens come to their end while streams are open with them, on which much comes, or nothing."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sylvite.client.sync_client import Client
from tests.api.nodes import EVERYTHING, Api
from tests.daemons.nodes import WITHIN_S, until
from tests.faults.report import control, report
from tests.faults.test_http_access import serving

WAYS = ("SSE", "lines", "WebSocket", "Salt's", "Salt's WebSocket")
ENDS = ("its time is over", "revoked over HTTP", "revoked by a command", "logged out")
LIFE_S = 4.0
LATE_S, LATE_S_BUSY = 1.0, 3.0
"""It is looked every 0.5 s, and at once where a token is revoked over HTTP; the second is for a machine that may be busy."""
POLICY = 1008
AT = re.compile(r'"at_s": ?([0-9.]+)')
HEADERS = {"lines": {"Accept": "application/x-ndjson"}}
PATHS = {
    "SSE": "/v1/events/stream", "lines": "/v1/events/stream", "WebSocket": "/v1/events/ws", "Salt's": "/events", "Salt's WebSocket": "/ws",
}  # fmt: skip


class Stream(msgspec.Struct):
    """One that is open until its token ends.  `ended_s`: when it did; `told`: with a reason.  Times are of the wall clock."""

    way: str
    end: str
    busy: bool
    id: str
    token: str
    ticket: str
    over_s: float = 0.0
    ended_s: float | None = None
    told: bool = False
    stamps_s: list[float] = []

    def read(self, port: int, opened: threading.Barrier) -> None:
        reading = self._read_socket if "WebSocket" in self.way else self._read_answer
        reading(port, opened)
        self.ended_s = time.time()

    def _read_answer(self, port: int, opened: threading.Barrier) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2 * WITHIN_S)
        try:
            connection.request(
                "GET", PATHS[self.way], headers={"X-Auth-Token": self.token, **HEADERS.get(self.way, {})}
            )
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            opened.wait(WITHIN_S)
            while line := answer.readline():
                self._hear(line.decode())
        finally:
            connection.close()

    def _read_socket(self, port: int, opened: threading.Barrier) -> None:
        with connect(
            f"ws://127.0.0.1:{port}{PATHS[self.way]}",
            additional_headers={"X-Auth-Token": self.token},
            open_timeout=WITHIN_S,
        ) as socket:
            if self.way != "WebSocket":
                socket.send("websocket client ready")
            opened.wait(WITHIN_S)
            try:
                while True:
                    self._hear(str(socket.recv(2 * WITHIN_S)))
            except ConnectionClosed as closed:
                self.told = closed.rcvd is not None and closed.rcvd.code == POLICY

    def _hear(self, text: str) -> None:
        if said := AT.search(text):
            self.stamps_s.append(float(said[1]))
        elif "does not count" in text:
            self.told = True


class Scene:
    def __init__(self, api: Api, ends: Sequence[str]) -> None:
        self.api, self.chief = api, api.token(*EVERYTHING)
        self.streams = [self._stream(*each) for each in product(WAYS, ends, (True, False))]

    def _stream(self, way: str, end: str, busy: bool) -> Stream:
        wanted = {"scopes": [f"events:read:{'busy' if busy else 'quiet'}/**"], "expires_s": 600.0}
        made: Any = self.api.ask("POST", "/v1/tokens", self.chief, json.dumps(wanted)).json
        ticket: str = self.api.ask("POST", "/v1/tickets", made["token"]).json["ticket"]
        return Stream(way, end, busy, made["id"], made["token"], ticket)

    def renew_short(self) -> None:
        """Give those whose time is to be over a token that lives as long as it takes to open all streams, and a little."""
        for stream in self.of("its time is over"):
            wanted = {"scopes": [f"events:read:{'busy' if stream.busy else 'quiet'}/**"], "expires_s": LIFE_S}
            made: Any = self.api.ask("POST", "/v1/tokens", self.chief, json.dumps(wanted)).json
            stream.id, stream.token, stream.over_s = made["id"], made["token"], made["until_ns"] / 1e9
            stream.ticket = self.api.ask("POST", "/v1/tickets", stream.token).json["ticket"]

    def of(self, end: str) -> list[Stream]:
        return [stream for stream in self.streams if stream.end == end]

    def open_all(self) -> list[threading.Thread]:
        opened = threading.Barrier(len(self.streams) + 1)
        self.renew_short()
        threads = [
            threading.Thread(target=each.read, args=(self.api.port, opened), daemon=True) for each in self.streams
        ]
        for thread in threads:
            thread.start()
        opened.wait(WITHIN_S)
        return threads

    def end_all(self) -> None:
        for stream in self.of("revoked over HTTP"):
            assert self.api.ask("DELETE", f"/v1/tokens/{stream.id}", self.chief).status == 204
            stream.over_s = time.time()
        for stream in self.of("logged out"):
            assert self.api.ask("POST", "/logout", X_Auth_Token=stream.token).status == 200
            stream.over_s = time.time()
        if ids := [stream.id for stream in self.of("revoked by a command")]:
            command = [sys.executable, "-m", "sylvite", "tokens", "revoke", *ids, "--dir", str(self.api.broker.folder)]
            subprocess.run(command, capture_output=True, check=True, timeout=WITHIN_S)
            for stream in self.of("revoked by a command"):
                stream.over_s = time.time()

    def used_after_end(self, stream: Stream) -> int:
        """Return in how many ways the token, or a ticket that was made with it, still opens something."""
        found = [
            self.api.ask("GET", "/v1/whoami", stream.token).status,
            self.api.ask("HEAD", "/v1/events/stream", stream.token).status,
            self.api.ask("HEAD", f"/v1/events/stream?ticket={stream.ticket}").status,
            self.api.ask("POST", "/v1/tickets", stream.token).status,
        ]
        try:
            with connect(f"ws://127.0.0.1:{self.api.port}/ws", additional_headers={"X-Auth-Token": stream.token}):
                found.append(101)
        except InvalidStatus as refused:
            found.append(refused.response.status_code)
        # Too many wrong ones of one address are told to wait: that is a refusal too.
        return sum(status not in (401, 429) for status in found)


@contextmanager
def publishing(socket: Path) -> Generator[None]:
    """Publish events on which the busy streams live, for as long as this is open."""
    stop = threading.Event()

    def publish() -> None:
        with Client.connect(socket) as client:
            while not stop.wait(0.02):
                client.publish("busy/a", {"at_s": time.time()})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WITHIN_S)


def _ends(
    folder: Path,
    ends: Sequence[str],
    *,
    within_s: float = WITHIN_S,
    late_s: float = LATE_S_BUSY,
    without: str | None = None,
) -> None:
    with serving(folder, without) as api, publishing(api.broker.socket):
        scene = Scene(api, ends)
        threads = scene.open_all()
        until(lambda: all(stream.stamps_s for stream in scene.streams if stream.busy))
        scene.end_all()
        deadline = time.monotonic() + within_s
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        not_ended = sum(thread.is_alive() for thread in threads)
        used = sum(scene.used_after_end(stream) for stream in scene.streams[:: 3 if without is None else 5])
        log = api.log.read_text()
    ended = [(stream.ended_s - stream.over_s, stream) for stream in scene.streams if stream.ended_s is not None]
    counters = {
        "not_ended": not_ended,
        "late_s": round(max([late for late, _ in ended], default=0.0), 2),
        "too_early": sum(late < -0.1 for late, stream in ended if stream.end == "its time is over"),
        "events_after_end": sum(at_s > stream.over_s + late_s for _, stream in ended for at_s in stream.stamps_s),
        "not_told_why": sum(not stream.told for _, stream in ended),
        "used_after_end": used,
        "tokens_in_logs": sum(stream.token in log or stream.ticket in log for stream in scene.streams),
        "tracebacks": log.count("Traceback"),
    }
    target = dict.fromkeys(counters, 0.0) | {"late_s": late_s}
    report("E-06", seed=0, runs=len(scene.streams), counters=counters, target=target, without=without)


def test_streams_end_with_their_tokens(tmp_path: Path) -> None:
    """Five kinds of streams, four ways for a token to end, busy and quiet."""
    _ends(tmp_path, ENDS)


@pytest.mark.long
def test_streams_end_within_a_second_of_their_tokens(tmp_path: Path) -> None:
    _ends(tmp_path, ENDS, late_s=LATE_S)


@pytest.mark.parametrize(
    ("without", "end", "within_s", "match"),
    [
        ("the look at open streams", "revoked by a command", 2.0, '"not_ended": [1-9]'),
        ("the end of a token", "its time is over", LIFE_S + 0.5, '"used_after_end": [1-9]'),
    ],
)  # fmt: skip
def test_an_interface_that_does_not_look_is_found_out(
    tmp_path: Path, without: str, end: str, within_s: float, match: str
) -> None:
    """Negative controls."""
    with control("E-06", without=without, match=match):
        _ends(tmp_path, [end], within_s=within_s, without=without)
