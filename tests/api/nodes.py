"""A bus with its HTTP interface, as processes; and a small client for them."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from sylvite.api.scopes import VERBS
from sylvite.testing.broker import BrokerProcess
from tests.daemons.nodes import WITHIN_S, Daemon

EVERYTHING = tuple(f"{name}:**" if about.separator else name for name, about in VERBS.items())


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api(Daemon):
    """`sylvite api` in front of a broker: a context manager.  `options`: of a master's file that it reads."""

    def __init__(
        self,
        broker: BrokerProcess,
        *arguments: str,
        options: Mapping[str, Any] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        place = ["--socket", str(broker.socket), "--dir", str(broker.folder)]
        if options is not None:
            file = broker.folder.parent / "master.yaml"
            file.write_text(json.dumps(options))
            place += ["--master", str(file)]
        super().__init__(broker.folder, "api", *place, "--listen", "127.0.0.1:0", *arguments, before=before)
        self.broker = broker

    @property
    def port(self) -> int:
        return int(self.said)

    def __enter__(self) -> Api:
        super().__enter__()
        return self

    def token(self, *scopes: str, owner: str = "alice", more: tuple[str, ...] = ()) -> str:
        """Make a token with the command line."""
        given = [word for scope in scopes for word in ("-s", scope)]
        made = subprocess.run(
            [sys.executable, "-m", "sylvite", "-q", "tokens", "create", owner, *given, *more, "--dir", str(self.broker.folder)],
            capture_output=True, text=True, timeout=WITHIN_S, check=True,
        )  # fmt: skip
        return made.stdout.strip()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN_S)

    def ask(self, method: str, path: str, token: str = "", body: bytes | str | None = None, **headers: str) -> Answer:
        connection = self.connection()
        try:
            connection.request(method, path, body, {**_bearer(token), **_names(headers)})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def stream(self, path: str, token: str, **headers: str) -> Stream:
        return Stream(self.connection(), path, {**_bearer(token), **_names(headers)})


class Stream:
    """A stream of server-sent events: a context manager that yields blocks, each a map of its fields."""

    def __init__(self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        connection.request("GET", path, headers=dict(headers))
        self.answer = connection.getresponse()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answer.close()
        self._connection.close()

    def blocks(self) -> Iterator[dict[str, str]]:
        """Yield what comes, heartbeats and the first `retry:` left out, until it ends."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, colon, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                if "data" in fields:
                    yield fields
                fields = {}
            elif name and colon:
                fields[name] = value

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next events, decoded, each with its `id`."""
        found: list[dict[str, Any]] = []
        for block in self.blocks():
            assert block["event"] == "event", block
            found.append({**json.loads(block["data"]), "id": block["id"]})
            if len(found) == count:
                return found
        raise AssertionError(f"the stream ended after {found}")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
