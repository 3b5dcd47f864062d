"""Who is at the other end of a UNIX socket: told by the kernel at connect, never by the peer itself."""

from __future__ import annotations

import os
import socket
from struct import Struct

import msgspec

from sylvite.errors import NotAuthenticated

_CREDENTIALS = Struct("iII")
_GROUP = Struct("I")
_SO_PEERGROUPS = 59  # <asm-generic/socket.h>; the socket module does not name it
_GROUPS_MAX = 256  # What Python lets getsockopt answer, 1024 bytes, has room for.
_NOBODY = 2**32 - 1  # What the kernel answers for a socket of another family, or one that is not connected.


class Peer(msgspec.Struct, frozen=True):
    """`name` is what events from this peer carry as their sender."""

    name: str
    uid: int
    gids: frozenset[int]

    @property
    def is_owner(self) -> bool:
        """Say whether this is the user that runs the broker, or root."""
        return self.uid in (0, os.geteuid())


def peer_of(descriptor: int) -> Peer:
    """Return the peer of a connected UNIX socket: who it was when it connected.

    Raises:
        NotAuthenticated: the system does not tell.
    """
    try:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptor)
        try:
            raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            groups = _groups_of(connected)
        finally:
            connected.detach()  # The descriptor is the caller's.
    except (OSError, AttributeError) as error:
        raise NotAuthenticated("the system does not say who is at the other end of the socket") from error
    _, uid, gid = _CREDENTIALS.unpack(raw)
    if uid == _NOBODY:
        raise NotAuthenticated("nobody that the system knows is at the other end of the socket")
    return Peer(f"uid:{uid}", uid, frozenset({gid, *groups}))


def _groups_of(connected: socket.socket) -> tuple[int, ...]:
    try:
        raw = connected.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_MAX * _GROUP.size)
    except OSError:
        return ()  # An older kernel, or more groups than that: the primary one is all that is known.
    return tuple(gid for (gid,) in _GROUP.iter_unpack(raw))


def token_holder() -> Peer:
    """The peer that has shown the token of a broker on TCP: only the broker's user can read it."""
    return Peer(f"uid:{os.geteuid()}", os.geteuid(), frozenset())
