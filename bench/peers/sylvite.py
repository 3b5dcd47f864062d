"""Sylvite itself, at each level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from bench import installed
from bench.peers.peer import Connection, Data, Event, Guarantee, Pattern, Peer, Tally
from bench.versions import distribution_versions


class SylviteConnection(Connection):
    def __init__(self, path: Path, level: str) -> None:
        # Imported here: the interpreters of the other peers do not have it.
        self._client: Any = import_module("sylvite").Client.connect(path)
        self._level = level

    def publish_many(self, events: Iterable[Event]) -> None:
        with self._client.publisher(level=self._level) as publisher:
            publish = publisher.publish
            for tag, data in events:
                publish(tag, data)

    def publish_one(self, tag: str, data: Data) -> None:
        self._client.publish(tag, data, level=self._level)

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        self._read(self._client.subscribe(pattern.text), tally)

    def replay(self, tally: Tally) -> None:
        self._read(self._client.subscribe(since="oldest"), tally)

    def _read(self, subscription: Any, tally: Tally) -> None:
        take = tally.take
        with subscription, tally.watched():
            for event in subscription:
                if take(event.tag, event.data):
                    break

    def close(self) -> None:
        self._client.close()


class SylviteSynced(Peer):
    title = "Sylvite, `synced`"
    guarantee = Guarantee.SYNCED
    promise = "synced"
    advice = "the blocking client; many events through `publisher()` (docs/python.md); all settings as they come"
    environment = "product"
    level: ClassVar[str] = "synced"
    _process: Any = None
    _programs: Path | None = None

    def start(self) -> None:
        self._process = import_module("sylvite.testing.broker").BrokerProcess(self.folder / "bus")
        self._process.start()

    def stop(self) -> None:
        if self._process is not None and self._process.process.poll() is None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        return {"broker": self._process.pid}

    def load(self) -> None:
        import_module("sylvite").Client  # noqa: B018 - loads the client

    def connect(self) -> SylviteConnection:
        return SylviteConnection(self._process.socket, self.level)

    def _installed(self) -> Path:
        """Return the programs of the product as a user installs it."""
        if self._programs is None:
            folder = self.folder / "installed"
            folder.mkdir()
            self._programs = installed.install(folder)
        return self._programs

    def command(self, tag: str) -> list[str]:
        return [str(self._installed() / "sylvite"), "publish", "--socket", str(self._process.socket), tag, "n=1"]

    def script(self, tag: str) -> str:
        return (
            "from sylvite import Client\n"
            f"with Client.connect({str(self._process.socket)!r}) as bus:\n"
            f"    bus.publish({tag!r}, {{'n': 1}})\n"
        )

    def python(self) -> Path:
        return self._installed() / "python"

    def versions(self) -> dict[str, str]:
        return distribution_versions("sylvite", "msgspec", "uvloop")

    def installed_bytes(self) -> int:
        return installed.size_bytes(self._installed())


class SylviteWritten(SylviteSynced):
    title = "Sylvite, `written`"
    guarantee = Guarantee.WRITTEN
    promise = "written; synced soon after"
    level = "written"


class SylviteNone(SylviteSynced):
    title = "Sylvite, `none`"
    guarantee = Guarantee.MEMORY
    promise = "kept, and nothing acknowledged"
    level = "none"
    cannot: ClassVar[Mapping[str, str]] = {"publish": "level `none` is not acknowledged; peers are beside `written`"}
