"""Crowd: who is connected, and how many may be at once: strangers by where they come from, others by their token.  Does no I/O.

A stranger is a connection that has shown no token that counts.  Where there are too many from one place, a further one waits: after a
restart all clients behind a proxy come back at once, and a browser that is refused then never asks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address

from sylvite.api.problems import TooManyRequests

Who = tuple[str, int]
"""The address and the port that a connection comes from."""
ADDRESS, FRAMES = "address", "frames"
"""Why connections are cut: too many strangers from there; too many pings and pongs."""
RETRY_S = 1.0


class Crowd:
    """`strangers_max`: from one place; `of_token_max`: with one token; None: without a limit.  `cut`: how many connections were, by reason."""

    def __init__(self, strangers_max: int | None = None, of_token_max: int | None = None) -> None:
        self.cut: Counter[str] = Counter()
        self._strangers_max, self._of_token_max = strangers_max, of_token_max
        self._strangers: dict[str, set[Who]] = {}
        self._waiting: dict[str, dict[Who, Callable[[], None]]] = {}
        self._tokens: dict[Who, str] = {}
        self._of_token: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._tokens) + _sizes(self._strangers.values()) + _sizes(self._waiting.values())

    def came(self, who: Who, let_in: Callable[[], None]) -> bool:
        """Say whether it may speak; where it may not yet, `let_in` is called once it may."""
        place = place_of(who[0])
        strangers = self._strangers.setdefault(place, set())
        if self._strangers_max is not None and len(strangers) >= self._strangers_max:
            self._waiting.setdefault(place, {})[who] = let_in
            return False
        strangers.add(who)
        return True

    def shown(self, who: Who | None, token_id: str) -> None:
        """It has shown a token that counts; `who`: None of one that has no address.

        Raises:
            TooManyRequests: too many connections have shown this one; it stays what it was.
        """
        if who is None or self._tokens.get(who) == token_id:
            return
        if self._of_token_max is not None and self._of_token[token_id] >= self._of_token_max:
            raise TooManyRequests(f"a token may have {self._of_token_max} connections", RETRY_S)
        self._forget_token(who)
        self._tokens[who] = token_id
        self._of_token[token_id] += 1
        self._no_stranger(who)

    def left(self, who: Who) -> None:
        place = place_of(who[0])
        waiting = self._waiting.get(place)
        if waiting is not None and waiting.pop(who, None) is not None:
            if not waiting:
                del self._waiting[place]
            return
        self._forget_token(who)
        self._no_stranger(who)

    def _forget_token(self, who: Who) -> None:
        token_id = self._tokens.pop(who, None)
        if token_id is not None:
            self._of_token[token_id] -= 1
            if not self._of_token[token_id]:
                del self._of_token[token_id]

    def _no_stranger(self, who: Who) -> None:
        place = place_of(who[0])
        strangers = self._strangers.get(place, set())
        if who not in strangers:
            return
        strangers.discard(who)
        if waiting := self._waiting.get(place):
            # In the order in which they came.
            next_ = next(iter(waiting))
            let_in = waiting.pop(next_)
            if not waiting:
                del self._waiting[place]
            strangers.add(next_)
            let_in()
        elif not strangers:
            del self._strangers[place]


def place_of(host: str) -> str:
    """Return what counts as one place: an address; of IPv6 its network, all of which one machine may have."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.exploded[:19]
    return host


def _sizes(groups: Iterable[set[Who] | dict[Who, Callable[[], None]]]) -> int:
    return sum(map(len, groups))
