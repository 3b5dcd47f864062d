"""Mutators: a valid input in, one that is nearly valid out.  All randomness comes from `rng`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

INTEGERS = (
    -(2**63), -(2**31), -1, 0, 1, 2, 127, 128, 255, 256, 4095, 4096, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32,
    2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
TEXTS = (
    "", "a", "/", "..", "../../etc/passwd", "sylvite/x", "salt/job", "*", "[", "(", "(a+)+$", "\0", "\n", "\x1b[2J", "\u202e", "\u2028",
    "é" * 129, "a" * 256, "a" * 257, "😀", "%s", "{x}", "newest", "resume", "stats", "e" * 5000,
)  # fmt: skip
ATOMS: tuple[Any, ...] = (
    None,
    True,
    False,
    0.5,
    float("nan"),
    float("inf"),
    b"",
    b"\x80" * 40,
    [],
    {},
    [[[[[]]]]],
    {"a": {"b": {}}},
)
BYTES_MAX = 128 * 1024
CHANGES_MAX = 4
T = TypeVar("T")


def change_bytes(rng: random.Random, raw: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Flip, set, cut, repeat, insert or exchange bytes, up to a few times."""
    data = bytearray(raw)
    for _ in range(rng.randrange(1, CHANGES_MAX)):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 4, 8, 40, 512)), len(data) - at)
        match rng.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(data):
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xC1, 0xDD, 0xDF, 0xFF))
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size] * rng.choice((1, 2, 30))
            case 4:
                data[at : at + size] = rng.randbytes(size)
            case 5:
                width = rng.choice((1, 2, 4, 8))
                number = rng.choice(INTEGERS) % (1 << 8 * width)
                data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
            case 6:
                del data[at:]
            case _ if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                data[at : at + size] = other[start : start + rng.choice((4, 40, 400))]
            case _:
                pass
    return bytes(data[:BYTES_MAX])


def change_tree(rng: random.Random, packed: bytes) -> bytes:
    """Change MessagePack and leave it MessagePack: other values, more of them, fewer, nested or in another order."""
    try:
        tree: Any = msgspec.msgpack.decode(packed)
        for _ in range(rng.randrange(1, CHANGES_MAX)):
            tree = _changed(rng, tree)
        return msgspec.msgpack.encode(tree)[:BYTES_MAX]
    except (ValueError, TypeError, OverflowError, RecursionError, msgspec.DecodeError):
        return change_bytes(rng, packed)


def _changed(rng: random.Random, tree: Any) -> Any:
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        items = cast(list[Any], tree)
        if rng.random() < 0.3:
            return change_list(rng, items, lambda: value(rng))
        at = rng.randrange(len(items))
        items[at] = _changed(rng, items[at])
        return items
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        entries = cast(dict[Any, Any], tree)
        key = rng.choice(list(entries))
        match rng.randrange(4):
            case 0:
                entries[rng.choice(TEXTS)] = value(rng)
            case 1:
                del entries[key]
            case 2:
                entries[value(rng, hashable=True)] = entries.pop(key)
            case _:
                entries[key] = _changed(rng, entries[key])
        return entries
    if isinstance(tree, int) and rng.random() < 0.4:
        return tree + rng.choice((-1, 1, 256, -256))
    if isinstance(tree, str) and tree and rng.random() < 0.4:
        at = rng.randrange(len(tree))
        return tree[:at] + rng.choice(TEXTS) + tree[at:]
    return value(rng)


def value(rng: random.Random, *, hashable: bool = False) -> Any:
    """Return a value of the kind that programs forget."""
    kind = rng.randrange(2 if hashable else 3)
    return rng.choice(cast(Sequence[Any], (INTEGERS, TEXTS, ATOMS)[kind]))


def change_list(rng: random.Random, items: Sequence[T], make: Callable[[], T]) -> list[T]:
    """Drop, repeat, exchange, shift or add items."""
    changed = list(items)
    at, other = (rng.randrange(len(changed) + 1) for _ in range(2))
    match rng.randrange(5):
        case 0:
            del changed[at : at + rng.choice((1, 1, 3))]
        case 1:
            changed[other:other] = changed[at : at + 1] * rng.choice((1, 1, 2, 300))
        case 2:
            changed[at : at + 1], changed[other : other + 1] = changed[other : other + 1], changed[at : at + 1]
        case 3:
            changed.insert(at, make())
        case _:
            changed[min(at, other) : max(at, other)] = []
    return changed


def change_text(rng: random.Random, text: str, words: Sequence[str], others: Sequence[str] = ()) -> str:
    """Change a text by the words of its language; the rest by characters."""
    for _ in range(rng.randrange(1, CHANGES_MAX)):
        at = rng.randrange(len(text) + 1)
        size = rng.choice((0, 0, 1, 2, 5, 20))
        match rng.randrange(5):
            case 0 | 1:
                text = text[:at] + rng.choice(words) + text[at + size :]
            case 2:
                text = text[:at] + text[at : at + size] * rng.choice((0, 2, 40)) + text[at + size :]
            case 3 if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                text = text[:at] + other[start : start + 20] + text[at + size :]
            case _:
                text = text[:at] + chr(rng.choice((0, 9, 10, 34, 92, 127, 0x661, 0x2028, 0xFFFF, 0x1F600))) + text[at:]
    return text[: BYTES_MAX // 4]
