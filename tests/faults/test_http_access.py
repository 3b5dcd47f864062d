"""E-05: every entry of the interface with every kind of token, over each way in; and that no event reaches whom it may not."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest.mock import Mock

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from sylvite.api.entry import ANY, OPEN, SECRET
from sylvite.api.salt.entries import CREDENTIALS, SESSION, SaltApi
from sylvite.api.scopes import VERBS
from sylvite.api.service import Service
from sylvite.api.settings import ApiSettings
from sylvite.api.verb_table import NATIVE
from sylvite.jobs.client_core import MasterPlace
from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, Api, Stream
from tests.daemons.nodes import WITHIN_S, until
from tests.faults.api_program import before
from tests.faults.report import control, report

UNBOUNDED = {"rest_cherrypy": {"requests_per_s": None, "events_per_s": None, "disable_ssl": True}}
NOBODY = ("none", "garbage", "expired", "revoked")
"""Those whose token does not count."""
SOMEBODY = ("other", "reader", "writer", "admin")
"""`other`: who has everything but what the entry asks for."""
KINDS = (*NOBODY, *SOMEBODY)
READS, WRITES = frozenset(("reader", "admin")), frozenset(("writer", "admin"))
PASSWORD = "password"
"""Of entries that take a name and a password, and no token."""
LET_IN: Mapping[str, frozenset[str]] = {
    "events:read": READS, "events:write": WRITES, "jobs:read": READS, "jobs:run": WRITES, "keys:read": READS,
    "keys:write": WRITES, "log:read": READS, "minions:read": READS, "status:read": READS, "tokens:admin": frozenset(("admin",)),
    ANY: frozenset(SOMEBODY), SESSION: frozenset(SOMEBODY), CREDENTIALS: frozenset(SOMEBODY), SECRET: frozenset(),
    OPEN: frozenset(KINDS), PASSWORD: frozenset(),
}  # fmt: skip
"""By scope: whom an entry lets in.  Said here again, and not taken from the code: a scope without a line fails the row."""
OPEN_TO_ALL_TAGS = ("events:read:**", "jobs:read", "keys:read", "log:read", "minions:read", "status:read")
WRITING = ("events:write:**", "jobs:run:**", "keys:write")
BODIES: Mapping[str, str] = {
    "POST /v1/events": '{"tag": "matrix/a"}', "POST /v1/tokens": '{"scopes": ["events:read:a"]}',
    "POST /v1/jobs": '{"target": "*", "function": "test.ping"}', "POST /v1/keys/{id}": '{"action": "delete"}',
}  # fmt: skip


class Entry(NamedTuple):
    """`way`: REST, SSE or WS."""

    way: str
    method: str
    path: str
    scope: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def entries() -> list[Entry]:
    """Return all there are: the rows of the table, Salt's, and the sockets."""
    salt = SaltApi(cast("Service", Mock()), ApiSettings(), MasterPlace()).entries()
    found = [Entry("REST", row.method, row.path, row.scope) for row in (*NATIVE, *salt)]
    streams = ("/v1/events/stream", "/events")
    found = [each._replace(scope=PASSWORD) if each.name in ("POST /login", "POST /token") else each for each in found]
    found = [each._replace(way="SSE") if each.path in streams else each for each in found]
    found += [Entry("WS", "GET", path, SESSION) for path in ("/ws", "/ws/{token}")]
    found.append(Entry("WS", "GET", "/v1/events/ws", "events:read"))
    # Whoever has logged out is nobody for what comes behind it.
    return sorted(found, key=lambda each: each.path == "/logout")


class Tokens:
    """A token of each kind; of `other`, one for each verb that it lacks."""

    def __init__(self, api: Api) -> None:
        self._api, self._chief = api, api.token(*EVERYTHING)
        whole = [f"{verb}:**" if about.separator else verb for verb, about in VERBS.items()]
        self.lacking = {
            verb: self.make("other", [scope for scope in whole if not scope.startswith(verb)])["token"]
            for verb in VERBS
        }
        revoked = self.make("revoked", EVERYTHING)
        self.of = {
            "none": "", "garbage": "syl1_aaaaaaaa_" + "A" * 43 + "_00000000",
            "expired": self.make("expired", EVERYTHING, expires_s=0.5)["token"], "revoked": revoked["token"],
            "reader": self.make("reader", OPEN_TO_ALL_TAGS)["token"], "writer": self.make("writer", WRITING)["token"],
            "admin": self.make("admin", EVERYTHING)["token"],
        }  # fmt: skip
        assert api.ask("DELETE", f"/v1/tokens/{revoked['id']}", self._chief).status == 204
        until(lambda: api.ask("GET", "/v1/whoami", self.of["expired"]).status == 401)

    def make(self, owner: str, scopes: Sequence[str], **more: object) -> dict[str, str]:
        body = json.dumps({"owner": owner, "scopes": list(scopes), **more})
        found: dict[str, str] = self._api.ask("POST", "/v1/tokens", self._chief, body).json
        return found

    def published(self) -> list[dict[str, Any]]:
        """Return what the matrix has published."""
        found: list[dict[str, Any]] = self._api.ask("GET", "/v1/events?tag=matrix/a&limit=1000", self._chief).json[
            "items"
        ]
        return found

    def find(self, kind: str, scope: str) -> str:
        return self.of[kind] if kind != "other" else self.lacking.get(scope, self.lacking["tokens:admin"])


@contextmanager
def serving(folder: Path, without: str | None) -> Generator[Api]:
    program = before(without) if without else ()
    with BrokerProcess(folder / "bus") as broker, Api(broker, options=UNBOUNDED, before=program) as api:
        yield api


# -- The matrix ------------------------------------------------------------------------------------------------------


def status_of(api: Api, entry: Entry, token: str, address: str) -> int:
    """Ask, and return the status.  `address`: where it comes from: wrong tokens are counted by that."""
    path = re.sub(r"\{(\w+)(:path)?\}", lambda found: _value(found[1], token), entry.path)
    headers = {"Authorization": f"Bearer {token}", "X-Auth-Token": token} if token else {}
    if entry.way == "WS":
        try:
            with connect(
                f"ws://127.0.0.1:{api.port}{path}", additional_headers={} if "{token}" in entry.path else headers,
                open_timeout=WITHIN_S, source_address=(address, 0),
            ):  # fmt: skip
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code
    if entry.path == "/v1/events/wait":
        path += "?timeout=0.01"
    body = (
        json.dumps([{"token": token, "client": "local", "mid": "x"}])
        if entry.scope == CREDENTIALS
        else BODIES.get(entry.name)
    )
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=WITHIN_S, source_address=(address, 0))
    try:
        connection.request(entry.method, path, body, {**headers, "Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def _value(name: str, token: str) -> str:
    values = {"offset": "0", "jid": "20261123224730771814", "token": token or "none"}
    return values.get(name, "aaaaaaaa")


def deviations(api: Api, tokens: Tokens, every: int = 1) -> tuple[int, list[str]]:
    """Return how often was asked, and which entries let in or refused whom they should not.  `every`: of the entries only each such."""
    wrong: list[str] = []
    asked = 0
    for number, entry in enumerate(entries()[::every]):
        assert entry.scope in LET_IN, f"nobody has said whom {entry.name} lets in, which asks for {entry.scope!r}"
        for kind in KINDS:
            status = status_of(api, entry, tokens.find(kind, entry.scope), f"127.0.1.{number + 1}")
            asked += 1
            if (kind in LET_IN[entry.scope]) == (status in _refusals(entry, kind)) or status == 500:
                wrong.append(f"{entry.way} {entry.name}: {kind} got {status}")
    return asked, wrong


def _refusals(entry: Entry, kind: str) -> tuple[int, ...]:
    """Return what may be answered to whoever is not let in.

    A token that counts, and has no right to what a low of Salt's wants, is another matter: it was let in, and is then told so.
    """
    if entry.scope == PASSWORD:
        return (400, 401)
    if entry.scope in (SESSION, CREDENTIALS):
        return (401,)
    return (401,) if kind in NOBODY or entry.scope == SECRET else (403,)


def _matrix(folder: Path, *, every: int = 1, without: str | None = None) -> None:
    with serving(folder, without) as api:
        tokens = Tokens(api)
        asked, wrong = deviations(api, tokens, every)
        done = len([event for event in tokens.published() if event["sender"] not in ("api:writer", "api:admin")])
        log = api.log.read_text()
    assert not wrong or without, wrong
    shown = sum(token in log for token in tokens.of.values() if token)
    counters = {
        "deviations": len(wrong),
        "done_all_the_same": done,
        "tokens_in_logs": shown,
        "tracebacks": log.count("Traceback"),
    }
    report("E-05", seed=0, runs=asked, counters=counters, without=without)


def test_every_entry_lets_in_whom_it_should(tmp_path: Path) -> None:
    """All of the interface, with eight kinds of tokens."""
    _matrix(tmp_path)


def test_an_interface_that_asks_for_no_scopes_is_found_out(tmp_path: Path) -> None:
    """Negative control."""
    with control("E-05", without="scopes of entries", match='"deviations": [1-9]'):
        _matrix(tmp_path, every=5, without="scopes of entries")


def test_an_entry_that_nobody_has_thought_of_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: a new scope without a line in LET_IN."""
    monkeypatch.setattr("tests.faults.test_http_access.entries", lambda: [Entry("REST", "GET", "/v1/new", "new:read")])
    with control("E-05", without="an expectation", match="nobody has said whom GET /v1/new lets in"):
        deviations(cast("Api", Mock()), cast("Tokens", Mock()))


# -- Every event -----------------------------------------------------------------------------------------------------

SEGMENTS = ("a", "b", "salt", "job", "2026", "x-y", "é")
END = "end"


def some_pattern(rng: random.Random) -> str:
    segments = [rng.choice((*SEGMENTS, "*", "*")) for _ in range(rng.randint(1, 4))]
    return "/".join([*segments, "**"] if rng.random() < 0.5 else segments)


@cache
def says(pattern: str) -> re.Pattern[str]:
    """Return the oracle: another reading of a pattern than the one of the code."""
    inner = "/".join(
        "[^/]*" if each == "*" else re.escape(each) for each in pattern.removesuffix("**").rstrip("/").split("/")
    )
    whole = f"{inner}/.+" if pattern.endswith("**") else inner
    return re.compile(whole, re.DOTALL)


class Reader(NamedTuple):
    token: str
    patterns: list[str]

    def may_see(self, tag: str) -> bool:
        return tag == END or any(says(pattern).fullmatch(tag) for pattern in self.patterns)


def _by_history(api: Api, reader: Reader, first: int) -> list[int]:
    found: list[int] = []
    place = f"since=@{first}"
    while True:
        page = api.ask("GET", f"/v1/events?limit=1000&{place}", reader.token).json
        found += [item["offset"] for item in page["items"]]
        if page["end"]:
            return found
        place = f"after={page['next']}"


def _by_stream(stream: Stream) -> list[int]:
    found: list[int] = []
    for block in stream.blocks():
        event: dict[str, Any] = json.loads(block["data"])
        found.append(event["offset"])
        if event["tag"] == END:
            break
    return found


def _every_event(folder: Path, seed: int, events: int, readers: int, *, without: str | None = None) -> None:
    rng = random.Random(seed)
    found: dict[tuple[str, int], list[int]] = {}
    # Who may see little hears nothing until the end.
    within_s = 2 * WITHIN_S + events / 100
    with serving(folder, without) as api:
        admin = api.token(*EVERYTHING)
        chosen: list[Reader] = []
        for _ in range(readers):
            patterns = [some_pattern(rng) for _ in range(rng.randint(1, 3))]
            scopes = [f"events:read:{pattern}" for pattern in (*patterns, END)]
            made = api.ask("POST", "/v1/tokens", admin, json.dumps({"scopes": scopes})).json
            chosen.append(Reader(made["token"], patterns))
        tags = ["/".join(rng.choice(SEGMENTS) for _ in range(rng.randint(1, 5))) for _ in range(events)]
        tags = [tag if not tag.startswith("salt") else f"a/{tag}" for tag in tags] + [END]
        first = api.ask("GET", "/v1/log", admin).json["next"]
        threads: list[threading.Thread] = []
        for number, reader in enumerate(chosen):
            stream = api.stream("/v1/events/stream", reader.token)
            socket = connect(
                f"ws://127.0.0.1:{api.port}/v1/events/ws",
                additional_headers={"X-Auth-Token": reader.token},
                open_timeout=WITHIN_S,
            )

            def by_stream(number: int = number, stream: Stream = stream) -> None:
                with stream:
                    found["SSE", number] = _by_stream(stream)

            def by_socket(number: int = number, socket: Any = socket) -> None:
                offsets: list[int] = []
                with socket, suppress(TimeoutError, ConnectionClosed):
                    while True:
                        event = json.loads(socket.recv(within_s))
                        offsets.append(event["offset"])
                        if event["tag"] == END:
                            break
                found["WS", number] = offsets

            threads += [threading.Thread(target=by_stream), threading.Thread(target=by_socket)]
        for thread in threads:
            thread.start()
        for start in range(0, len(tags), 5000):
            lines = "".join(json.dumps({"tag": tag}) + "\n" for tag in tags[start : start + 5000])
            assert api.ask("POST", "/v1/events", admin, lines, Content_Type="application/x-ndjson").status == 201
        for thread in threads:
            thread.join(within_s)
        for number, reader in enumerate(chosen):
            found["history", number] = _by_history(api, reader, first)
    counters: dict[str, float] = dict.fromkeys(("leaked", "missed_by_SSE", "missed_by_WS", "missed_by_history"), 0)
    for (way, number), offsets in found.items():
        expected = {first + place for place, tag in enumerate(tags) if chosen[number].may_see(tag)}
        counters["leaked"] += len(set(offsets) - expected)
        counters[f"missed_by_{way}"] += len(expected - set(offsets)) + (len(offsets) - len(set(offsets)))
    counters["not_read"] = 3 * readers - len(found)
    report("E-05 events", seed=seed, runs=3 * readers * len(tags), counters=counters, without=without)


def test_no_event_reaches_whom_it_may_not(tmp_path: Path) -> None:
    _every_event(tmp_path, seed=random.randrange(2**32), events=2000, readers=8)


@pytest.mark.long
def test_no_event_of_many_reaches_whom_it_may_not(tmp_path: Path) -> None:
    _every_event(tmp_path, seed=random.randrange(2**32), events=100_000, readers=12)


def test_an_interface_that_looks_at_no_event_is_found_out(tmp_path: Path) -> None:
    """Negative control."""
    with control("E-05", without="the look at each event", match='"leaked": [1-9]'):
        _every_event(tmp_path, seed=1, events=50, readers=2, without="the look at each event")
