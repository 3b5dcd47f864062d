"""Whose the other end of a TCP connection on the loopback is, as Linux tells in /proc/net/tcp: Salt's TCP sockets ask for no proof."""

from __future__ import annotations

import ipaddress
import sys

Address = tuple[str, int]
_FILES = {4: "/proc/net/tcp", 6: "/proc/net/tcp6"}


def owner_of(peer: Address, ours: Address) -> int | None:
    """Return the uid that has opened the socket `peer`, which is connected to `ours`; None where the system does not tell."""
    try:
        wanted = (_as_listed(peer), _as_listed(ours))
        with open(_FILES[ipaddress.ip_address(peer[0]).version], encoding="ascii") as file:
            next(file)
            for line in file:
                words = line.split()
                if (words[1], words[2]) == wanted:
                    return int(words[7])
    except (OSError, StopIteration, IndexError, ValueError):
        return None  # Not Linux, or not as we know it: then nobody is let in.
    return None


def _as_listed(address: Address) -> str:
    """Return an address as that file writes it: words of 32 bits in the order of the machine."""
    packed = ipaddress.ip_address(address[0]).packed
    words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
    return f"{''.join(f'{word:08X}' for word in words)}:{address[1]:04X}"
