"""Roster: who reads as a group, and which part of the work is whose.  Pure.

The members say every SAY_S that they are there, where the bridges speak too.  From what it hears each one works out the same
shares; where two differ for a while, the lease of a part decides (groups.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

SAY_S = 1.0
SILENT_S = 4.0


class Reads(msgspec.Struct, frozen=True, tag="reads"):
    """I read as a member of a group.  `session`: of mine; `since_ns`: when I came, by my clock, for the order of age alone.
    `leaving`: it was my last word."""

    group: str
    session: str
    since_ns: int
    leaving: bool = False


class Member(msgspec.Struct, frozen=True, order=True):
    """`node`: the master whose user it is at the servers."""

    since_ns: int
    session: str
    node: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Reads)


def encode(word: Reads) -> bytes:
    return _encoder.encode(word)


def decode(data: bytes) -> Reads | None:
    """Return what a member said; None for what was said by somebody else."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Roster:
    """The members of one group, ourselves among them."""

    def __init__(self, group: str, ourselves: Member) -> None:
        self._group, self._ourselves = group, ourselves
        self._heard: dict[Member, float] = {}

    def hear(self, node: str, word: Reads, now_s: float) -> bool:
        """Note what somebody under this master's name has said; return whether it is one that we did not know."""
        if word.group != self._group or word.session == self._ourselves.session:
            return False
        member = Member(word.since_ns, word.session, node)
        if word.leaving:
            self._heard.pop(member, None)
            return False
        is_new = member not in self.members(now_s)
        self._heard[member] = now_s
        return is_new

    def members(self, now_s: float) -> list[Member]:
        """Return who is there, the oldest first."""
        self._heard = {member: at_s for member, at_s in self._heard.items() if now_s - at_s < SILENT_S}
        return sorted((self._ourselves, *self._heard))


def share(members: Sequence[Member], nodes: Iterable[str]) -> Mapping[str, str]:
    """Return the session that each part goes to: to somebody at home there, as far as none gets two more than another."""
    parts = sorted(nodes)
    if not members:
        return {}
    few, rest = divmod(len(parts), len(members))
    count = dict.fromkeys(members, 0)
    shares: dict[str, str] = {}

    def may_have_more(member: Member) -> bool:
        return count[member] < few or (count[member] == few and sum(n > few for n in count.values()) < rest)

    def give(part: str, member: Member) -> None:
        count[member] += 1
        shares[part] = member.session

    for part in parts:
        at_home = [member for member in members if member.node == part and may_have_more(member)]
        if at_home:
            give(part, min(at_home, key=count.__getitem__))
    for part in parts:
        if part not in shares:
            give(part, min(members, key=count.__getitem__))
    return shares
