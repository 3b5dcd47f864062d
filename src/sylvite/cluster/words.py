"""Words: what the bridges say to each other beside the stream.  Lost ones are said again; none of them is believed for more
than asking, and being asked, to send something again.
"""

from __future__ import annotations

import msgspec


class At(msgspec.Struct, frozen=True, tag="at"):
    """The stream of this id has my log up to this place; epoch 0: nothing yet.  `leaving`: it was my last word.

    `waiting`: how many of my log's events may still have to get there; None: I cannot say.
    """

    stream: int
    epoch: int
    until: int
    leaving: bool = False
    waiting: int | None = None


class Again(msgspec.Struct, frozen=True, tag="again"):
    """Something of `node` is missing here: send again what your log has from this offset on."""

    node: str
    offset: int


class Who(msgspec.Struct, frozen=True, tag="who"):
    """Said under a name that we want: is the bridge of this run there, which has it?"""

    run: str


class Here(msgspec.Struct, frozen=True, tag="here"):
    """It is: I have this name."""

    run: str


class Yields(msgspec.Struct, frozen=True, tag="yields"):
    """I wanted this name, and leave it to whoever has it.  `where` I run."""

    where: str


Word = At | Again | Who | Here | Yields
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Word)


def encode(word: Word) -> bytes:
    return _encoder.encode(word)


def decode(data: bytes) -> Word | None:
    """Return what was said; None for what is not understood."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
