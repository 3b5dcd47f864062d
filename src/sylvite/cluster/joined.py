"""Joined: what the masters say of each thing in the bucket (shared.py), taken together.

However often a watch begins anew, and in whatever order entries come, what is known of a thing only ever grows: `join` of two
values says what both say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from sylvite.cluster.shared import Entry, Shared

Value = TypeVar("Value")

logger = logging.getLogger("sylvite.cluster.shared")


class Joined(Generic[Value]):
    """`there`: what is in the bucket, by item.  `mine`: of which there is an entry of ours.  `is_whole`: we know all of it."""

    def __init__(
        self,
        node: str,
        part: str,
        decode: Callable[[bytes], Value],
        encode: Callable[[Value], bytes],
        join: Callable[[Value, Value], Value],
    ) -> None:
        """`decode`: raises ValueError for what it cannot read; that is passed over."""
        self.there: dict[str, Value] = {}
        self.mine: set[str] = set()
        self.is_whole = False
        self._node, self._part, self._decode, self._encode, self._join = node, part, decode, encode, join
        self._began = 0
        self._has_ended = False
        self._new: dict[str, Value] = {}
        self._lacking: set[str] = set()

    def begin(self) -> None:
        """The watch begins: what was there may not be there any more."""
        self.there.clear()
        self.mine.clear()
        self.is_whole = self._has_ended = False
        self._began += 1

    def see(self, entry: Entry | None) -> None:
        if entry is None:
            self.is_whole = self._has_ended = True
            return
        if entry.value is None:
            self._is_gone(entry)
            return
        try:
            value = self._decode(entry.value)
        except ValueError as error:
            logger.warning(
                "what %s says of %s %s is passed over: %s", entry.node, self._part, ascii(entry.item[:80]), error
            )
            return
        if entry.node == self._node:
            self.mine.add(entry.item)
        for values in (self.there, self._new):
            values[entry.item] = self._join(values[entry.item], value) if entry.item in values else value

    def _is_gone(self, entry: Entry) -> None:
        """A master has left, say, and has taken its entries away: what it said may be in no other one's."""
        if entry.node == self._node and entry.item not in self.mine:
            return  # We have deleted it.
        if entry.node == self._node:
            self.mine.discard(entry.item)
        if self.there.pop(entry.item, None) is not None:
            self._lacking.add(entry.item)

    def lacking(self) -> set[str]:
        """Return what was there and may not be there any more, since this was asked."""
        lacking, self._lacking = self._lacking, set()
        return lacking

    def take(self, count: int) -> dict[str, Value]:
        """Return some of what has come since it was taken."""
        return {item: self._new.pop(item) for item in list(self._new)[:count]}

    def has_just_ended(self) -> bool:
        ended, self._has_ended = self._has_ended, False
        return ended

    async def put(self, shared: Shared, ours: Mapping[str, Value], items: Iterable[str]) -> bool:
        """Write what we know of these; return whether all of it is in the bucket.  Raises ClusterError."""
        began = self._began
        for item in items:
            await shared.put(self._part, item, self._encode(ours[item]))
            if self._began != began:
                return False  # It may have gone into a bucket that is there no more.
            self.there[item] = ours[item]
            self.mine.add(item)
        return True

    async def delete(self, shared: Shared, items: Iterable[str]) -> None:
        """Take away entries of ours that nobody needs any more.  Raises ClusterError."""
        for item in items:
            self.mine.discard(item)
            self.there.pop(item, None)
            await shared.delete(self._part, item)
