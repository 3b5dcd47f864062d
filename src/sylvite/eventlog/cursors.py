"""Cursors: the durable next offset of each named reader.

One small file beside the log, replaced as a whole. The one before it is kept: where the newer one is damaged the
older one serves, which repeats events but never skips one.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from sylvite.errors import NoSuchCursor
from sylvite.eventlog.checksum import with_crc, without_crc
from sylvite.eventlog.segment import Stored
from sylvite.eventlog.storage import Storage, read_whole, write_whole

NAME = "cursors"
PREVIOUS = "cursors.previous"


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """`offset`: the next one wanted. `epoch`: of the event before it, 0 where it has seen none."""

    name: str
    owner: str
    epoch: int
    offset: Stored
    moved_ns: int


_decoder = msgspec.msgpack.Decoder(list[Cursor])
_encoder = msgspec.msgpack.Encoder()


class Cursors:
    """All cursors of one log, in memory; `save` makes them durable."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.changed = 0
        """Moves since the last `content`."""
        self.restored_from_previous = False
        self._by_name = {cursor.name: cursor for cursor in self._load()}

    def _load(self) -> list[Cursor]:
        for name in (NAME, PREVIOUS):
            try:
                content = without_crc(read_whole(self._storage, name))
                if content is not None:
                    self.restored_from_previous = name == PREVIOUS and NAME in self._storage.names()
                    return _decoder.decode(content)
            except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
        self.restored_from_previous = NAME in self._storage.names()
        return []

    def __iter__(self) -> Iterator[Cursor]:
        return iter(sorted(self._by_name.values(), key=lambda cursor: cursor.name))

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def highest(self) -> int:
        """The highest offset that any of them has reached: that much of the log was synced."""
        return max((cursor.offset for cursor in self._by_name.values()), default=0)

    def find(self, name: str) -> Cursor | None:
        return self._by_name.get(name)

    def get(self, name: str) -> Cursor:
        """Raises NoSuchCursor."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NoSuchCursor(name) from None

    def put(self, cursor: Cursor) -> None:
        self._by_name[cursor.name] = cursor
        self.changed += 1

    def delete(self, name: str) -> None:
        """Raises NoSuchCursor."""
        self.get(name)
        del self._by_name[name]
        self.changed += 1

    def content(self) -> bytes:
        """Return what `save` shall write, and count changes anew."""
        self.changed = 0
        return with_crc(_encoder.encode(list(self)))

    def save(self, content: bytes) -> None:
        """Write; may run in another thread than the rest.  Raises OSError: the former content stays."""
        if NAME in self._storage.names():
            current = read_whole(self._storage, NAME)
            if without_crc(current) is not None:
                write_whole(self._storage, PREVIOUS, current)
        write_whole(self._storage, NAME, content)
