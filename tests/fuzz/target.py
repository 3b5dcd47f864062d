"""Targets: what is fuzzed.  Each is a function from bytes that may raise only what is documented."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.mutate import change_bytes

CORPUS = Path(__file__).parent / "corpus"
Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


class Target(NamedTuple):
    """`run` raises one of `errors`, or returns; AssertionError: a promise is broken.  `seeds`: name to bytes.

    `weight`: how many cases of the lightest target cost as much as one of this.
    """

    run: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]
    seeds: Callable[[], Mapping[str, bytes]]
    mutate: Mutate = change_bytes
    weight: int = 1


def corpus_of(name: str) -> dict[str, bytes]:
    """Return what is kept for a target: the seeds, and what has failed once."""
    files = (CORPUS / name).iterdir() if (CORPUS / name).exists() else ()
    return {path.name: path.read_bytes() for path in sorted(files) if path.suffix != ".cause"}


def case(target: Target, seed: int, number: int, corpus: Sequence[bytes]) -> bytes:
    """Return the input of one case: the same for the same seed, number and corpus."""
    rng = random.Random(f"{seed}/{number}")
    return target.mutate(rng, rng.choice(corpus), corpus)
