"""Negative controls of the fuzzing: what takes a safeguard out, or makes a case misbehave."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import sylvite.cli.archive
import sylvite.core.pattern
import sylvite.eventlog.segment
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def _replace(owner: object, name: str, by: object) -> None:
    setattr(owner, name, by)


def _misbehave(run: Callable[[bytes], None]) -> Callable[[], None]:
    def replace() -> None:
        TARGETS["frames"] = Target(run, (), TARGETS["frames"].seeds)

    return replace


def _die(raw: bytes) -> None:
    if len(raw) > 20:
        os.abort()


def _eat(raw: bytes) -> None:
    if len(raw) > 20:
        bytearray(1 << 30)


def _loop(raw: bytes) -> None:
    while len(raw) > 300:
        pass


def _believe_archives() -> None:
    def believe(event: object) -> object:
        return event

    _replace(sylvite.cli.archive, "_checked", believe)


def _believe_checksums() -> None:
    def whole(_: bytes) -> bool:
        return True

    _replace(sylvite.eventlog.segment, "is_whole", whole)


def _do_not_count_steps() -> None:
    cost: Any = sylvite.core.pattern._Cost  # pyright: ignore[reportPrivateUsage]

    def cheap(*_: object) -> object:
        return cost(1, 1)

    _replace(sylvite.core.pattern, "_cost", cheap)


CONTROLS: dict[str, Callable[[], None]] = {
    "checks of archives": _believe_archives,
    "checksums": _believe_checksums,
    "counting the steps of patterns": _do_not_count_steps,
    "a case that ends the process": _misbehave(_die),
    "a case that takes a gibibyte": _misbehave(_eat),
    "a case without end": _misbehave(_loop),
}
