"""Tickets: texts that open one stream, once, soon.  A browser's EventSource and WebSocket can send no header, and a token is no part of an address.

They are kept in memory, as hashes: after a restart of the interface there are none.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from sylvite.api.tokens import Secret
from sylvite.errors import NotAuthenticated

LIFE_S = 30.0
KEPT_MAX = 10_000
CHARACTERS_MAX = 128
SECRET_BYTES = 32


class Tickets:
    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def make(self, token_id: str) -> Secret:
        """Return a ticket that stands for a token once, within LIFE_S."""
        text = secrets.token_urlsafe(SECRET_BYTES)
        self._kept[_hash(text)] = (token_id, self._now_s() + LIFE_S)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return Secret(text)

    def redeem(self, text: str) -> str:
        """Return the id of the token that it stands for; it counts no more.

        Raises:
            NotAuthenticated: it is none, was used, or its time is over: the answer is the same.
        """
        token_id, until_s = self._kept.pop(_hash(text[:CHARACTERS_MAX]), ("", 0.0))
        if self._now_s() >= until_s:
            raise NotAuthenticated("this ticket does not count: it is none, was used, or its time is over")
        return token_id


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
