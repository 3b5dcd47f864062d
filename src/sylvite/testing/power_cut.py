"""Power cuts, enumerated: what a machine may find of a MemoryStorage whose power was cut at a moment.

Of the changes of names that were not synced the first ones are there, as journalled file systems order them.  Of the
writes that were not synced any part may be there, whatever the order they were made in.  There are too many such states
to look at all; these are those that tell something: each write lost, each sector lost or alone, each place at which a file
may be torn, each file without the others, and some at random.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

import msgspec

from sylvite.testing.storage import SECTOR, Inode, MemoryStorage

PAGE = 8
"""Sectors of a page."""


class Part(msgspec.Struct, frozen=True):
    """What one write, that is not synced, has put into one sector of a file; all are counted from 0."""

    file: int
    write: int
    sector: int


class State(msgspec.Struct, frozen=True):
    """`what` says how it came about."""

    what: str
    storage: MemoryStorage


Counts = tuple[tuple[tuple[int, int], ...], ...]
"""For each file: how many of its writes have reached which sector."""


def states_after_power_cut(
    storage: MemoryStorage, rng: random.Random, *, most: int | None = None, drawn: int = 8, sector: int = SECTOR
) -> Iterator[State]:
    """Yield what may be left, each state once; `most`: only so many of them, drawn from all.

    `drawn`: of the states in which parts are there at random, so many are looked at.
    """
    names = list({_as_key(each): each for each in storage.names_that_may_survive()}.values())
    files = list({id(inode): inode for each in names for inode in each.values() if inode.open_writes}.values())
    touched = [inode.sectors(sector) for inode in files]
    parts = [
        Part(file, write, at)
        for file, sectors in enumerate(touched)
        for at, writes in sectors.items()
        for write in writes
    ]
    truncated = any(position < 0 for inode in files for position, _ in inode.open_writes)
    patterns = list(_patterns(parts, rng, drawn))
    if most is not None and len(patterns) > most:
        patterns = rng.sample(patterns, most)  # Working out the states of all takes longer than looking at a few.
    found: dict[tuple[int, Counts, bool], str] = {}
    for what, arrived in patterns:
        counts = tuple(_reached(file, sectors, arrived) for file, sectors in enumerate(touched))
        for known in range(len(names)):
            for cut in (True, False) if truncated else (True,):
                label = f"names {known + 1} of {len(names)}, {what}{'' if cut else ', not cut'}"
                found.setdefault((known, counts, cut), label)
    chosen = list(found.items())
    if most is not None and len(chosen) > most:
        chosen = rng.sample(chosen, most)
    for (known, counts, cut), what in chosen:
        left = {
            id(inode): inode.survivor(sector, dict(reached), cut=cut)
            for inode, reached in zip(files, counts, strict=True)
        }
        yield State(what, storage.left_by_power_cut(names[known], left))


def _as_key(names: Mapping[str, Inode]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, id(inode)) for name, inode in names.items()))


def _reached(file: int, sectors: Mapping[int, list[int]], arrived: set[Part]) -> tuple[tuple[int, int], ...]:
    """Return how many writes have reached each sector: with one that has arrived, all that were made there before."""
    return tuple(
        (at, max((number + 1 for number, write in enumerate(writes) if Part(file, write, at) in arrived), default=0))
        for at, writes in sectors.items()
    )


def _patterns(parts: list[Part], rng: random.Random, drawn: int) -> Iterator[tuple[str, set[Part]]]:
    everything = set(parts)
    yield "everything is there", everything
    yield "nothing is there", set()
    for file in sorted({part.file for part in parts}):
        of_file = {part for part in parts if part.file == file}
        others = everything - of_file
        yield f"only file {file} is there", of_file
        yield f"file {file} is not there", others
        for write in sorted({part.write for part in of_file}):
            of_write = {part for part in of_file if part.write == write}
            yield f"write {write} of file {file} is lost", everything - of_write
            yield f"only write {write} of file {file} is there", of_write
            yield f"file {file} up to write {write}", others | {part for part in of_file if part.write <= write}
        for sector in sorted({part.sector for part in of_file}):
            of_sector = {part for part in of_file if part.sector == sector}
            before = {part for part in of_file if part.sector < sector}
            yield f"sector {sector} of file {file} is lost", everything - of_sector
            yield f"only sector {sector} of file {file} is there", of_sector
            yield f"file {file} is torn before sector {sector}", others | before
            yield f"file {file} is there from sector {sector} on", everything - before
    for odd in (0, 1):
        yield f"every other page, from {odd} on", {part for part in parts if part.sector // PAGE % 2 == odd}
    for number in range(drawn):
        share = rng.random()
        there = {part for part in parts if rng.random() < share}
        yield f"{len(there)} of {len(parts)} parts, draw {number}", there
