"""What a message of the stream carries: one batch of one master's log, and which one comes before it.

    byte    size  field
    0       4     magic, b"SyC1"
    4       8     epoch of what this master has sent before this; 0: nothing of before can be had
    12      8     until: the offset behind that; what is between is of other masters, or nothing
    20      1     size of the master's name
    21      n     its name
    21+n          the batch as it lies in its log (docs/log-format.md), without causes

All numbers are little-endian.  Who has sent it, the subject says: the name here has to be the same one.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import NamedTuple

from sylvite.core.batch import BATCH_BYTES_MAX, Batch
from sylvite.errors import ClusterError, RemoteProtocolError
from sylvite.eventlog.checksum import is_whole, sealed

MAGIC = b"SyC1"
HEAD = Struct("<4sQQB")
MESSAGE_BYTES_MAX = BATCH_BYTES_MAX + HEAD.size + 256


class Forged(ClusterError):
    """A message is not what a master of this cluster sends."""

    code = "cluster_forged"


class Place(NamedTuple):
    """A place in the log of a master: behind the last event of what is meant."""

    epoch: int
    until: int


NOWHERE = Place(0, 0)
"""Before everything: nothing of before can be had."""


class Carried(NamedTuple):
    node: str
    before: Place
    batch: Batch

    @property
    def place(self) -> Place:
        return Place(self.batch.epoch, self.batch.next)


def encode(node: str, before: Place, batch: Batch) -> bytes:
    """Return the message that carries a batch."""
    name = node.encode()
    return HEAD.pack(MAGIC, *before, len(name)) + name + sealed(batch.without_causes())


def decode(node: str, data: bytes) -> Carried:
    """Return what a message under the subject of this master carries.

    Raises:
        Forged: it is none, says that it is of somebody else, or is not whole.
    """
    try:
        magic, epoch, until, size = HEAD.unpack_from(data)
        name = data[HEAD.size : HEAD.size + size].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise Forged(f"a message of {node} is cut short, or of another kind") from error
    if magic != MAGIC:
        raise Forged(f"a message of {node} is of another kind")
    if name != node:
        raise Forged(f"a message of {node} says that it is of {name[:80]!r}")
    raw = data[HEAD.size + size :]
    try:
        batch = Batch(raw)
        columns = batch.columns
    except RemoteProtocolError as error:
        raise Forged(f"a message of {node} holds no batch: {error}") from error
    if not is_whole(raw):
        raise Forged(f"a message of {node} is damaged: its checksum is another")
    if not batch.count or columns.offsets is not None or not batch.epoch:
        raise Forged(f"a message of {node} holds no whole batch of events")
    if batch.passage is not None and batch.passage.is_from_master:
        raise Forged(f"a message of {node} holds what has come to it from {batch.sender[-80:]!r}")
    return Carried(node, Place(epoch, until), batch)
