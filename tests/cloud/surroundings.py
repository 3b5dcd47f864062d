"""What tests of machines need around them: files of settings, a clock that does not wait, a bus that is a list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sylvite.cloud.cloud import Cloud
from sylvite.cloud.reading import read_settings
from sylvite.cloud.waiting import Clock


class QuickClock:
    """Time passes when somebody sleeps, and only then.  `slept`: each of the sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Bus:
    """Keeps what is published.  `broken`: steps that cannot be published, by the error that comes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.broken: dict[str, BaseException] = {}

    def publish(self, tag: str, data: dict[str, Any]) -> None:
        error = self.broken.get(tag.rpartition("/")[2])
        if error is not None:
            raise error
        # As the bus has it: what MessagePack cannot hold does not pass.
        self.events.append((tag, msgspec.msgpack.decode(msgspec.msgpack.encode(data))))

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.events]

    @property
    def steps(self) -> list[str]:
        return [tag.rpartition("/")[2] for tag in self.tags]

    def data(self, step: str) -> dict[str, Any]:
        (found,) = [data for tag, data in self.events if tag.endswith(f"/{step}")]
        return found


class Surroundings:
    """A folder of settings, and what is needed to use it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder / "conf", folder / "state"
        self.folder.mkdir(mode=0o700)
        self.bus, self.clock = Bus(), QuickClock()

    def write(self, name: str, found: Mapping[str, Any], mode: int = 0o600) -> Path:
        """Write a file of settings, as JSON, which YAML is."""
        path = self.folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
        path.chmod(mode)
        return path

    def provider(self, name: str, **settings: Any) -> None:
        self.write(f"cloud.providers.d/{name}.conf", {name: settings})

    def profile(self, name: str, **settings: Any) -> None:
        self.write(f"cloud.profiles.d/{name}.conf", {name: settings})

    def cloud(self, *, clock: Clock | None = None, **more: Any) -> Cloud:
        return Cloud(read_settings(self.folder), self.state, self.bus.publish, clock=clock or self.clock, **more)


def nothing_remembered(around: Surroundings) -> bool:
    with around.cloud() as cloud:
        return cloud.ledger.unfinished() == []


def failed(around: Surroundings) -> dict[str, object]:
    """Return what the last event says, which is that it failed."""
    assert around.bus.steps[-1] == "failed"
    return around.bus.events[-1][1]
