"""Access: who calls, and what he may do.  Every entry of the interface asks here, and nowhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import NamedTuple

from starlette.requests import HTTPConnection

from sylvite.api.console_cookie import cookie_of
from sylvite.api.crowd import Crowd
from sylvite.api.patience import Patience
from sylvite.api.problems import TooManyRequests
from sylvite.api.rates import Rates
from sylvite.api.scopes import Grant, Scope
from sylvite.api.tickets import Tickets
from sylvite.api.tokens import Token, TokenStore
from sylvite.daemons.options.rest import RestCherrypy
from sylvite.errors import NotAllowed, NotAuthenticated

FAILURES_MAX = 20
FAILURES_S = 60.0
"""Wrong tokens of one address in this time: then it waits.  Guessing 256 bits is hopeless; asking for ever still costs us."""


class Caller(NamedTuple):
    """Who calls: `name` is the sender of what he publishes."""

    token: Token
    grant: Grant

    @property
    def name(self) -> str:
        return f"api:{self.token.owner}"


class Access:
    def __init__(self, tokens: TokenStore, limits: RestCherrypy, crowd: Crowd) -> None:
        self.tokens = tokens
        self._crowd = crowd
        self.tickets = Tickets()
        self._patience = Patience()
        self._requests = Rates(limits.requests_per_s, 2 * (limits.requests_per_s or 0))
        self._events = Rates(limits.events_per_s, limits.events_per_s or 0)

    def caller(self, connection: HTTPConnection) -> Caller:
        """Return who calls.

        Raises:
            NotAuthenticated: no token, or none that counts.
            NotAllowed: it is in a cookie, and nothing says that a page of this server has sent that.
            TooManyRequests: too many wrong ones from there, or too many requests with this one.
        """
        return self.caller_of(connection, bearer_of(connection) or cookie_of(connection))

    def caller_of(self, connection: HTTPConnection, text: str) -> Caller:
        """Return whose token this is, which came over that connection.  Raises: as `caller`."""
        if not text:
            raise NotAuthenticated("a token is needed: Authorization: Bearer TOKEN; `sylvite tokens create` makes one")
        with self.counted(connection):
            found = Caller(*self.tokens.check(text, time.time_ns()))
        self._let_in(connection, found.token)
        return found

    def caller_of_stream(self, connection: HTTPConnection) -> Caller:
        """Return who opens a stream or a WebSocket: as `caller`, or with a ticket in the address.  Raises: as `caller`."""
        text = connection.query_params.get("ticket", "")
        return self.caller_of_ticket(connection, text) if text else self.caller(connection)

    def caller_of_ticket(self, connection: HTTPConnection, text: str) -> Caller:
        """Return whose ticket this is; it counts no more.  Raises: as `caller`."""
        with self.counted(connection):
            found = Caller(*self.tokens.held(self.tickets.redeem(text), time.time_ns()))
        self._let_in(connection, found.token)
        return found

    def _let_in(self, connection: HTTPConnection, token: Token) -> None:
        """Raises TooManyRequests."""
        self._crowd.shown(connection.client, token.id)
        self.count_request(token)

    def count_request(self, token: Token) -> None:
        """Raises TooManyRequests."""
        if wait_s := self._requests.take(token.id):
            raise TooManyRequests(f"a token may make {self._requests.per_s:g} requests a second", wait_s)

    def count_events(self, token: Token, count: int) -> None:
        """Raises TooManyRequests."""
        if wait_s := self._events.take(token.id, count):
            raise TooManyRequests(f"a token may publish {self._events.per_s:g} events a second", wait_s)

    @contextlib.contextmanager
    def counted(self, connection: HTTPConnection) -> Generator[None]:
        """Count a NotAuthenticated of the body against the address.  Raises TooManyRequests in its place after too many."""
        address = connection.client.host if connection.client is not None else ""
        try:
            yield
        except NotAuthenticated:
            # Whoever has a right one is let in, whatever others at his address try.
            if self._patience.is_over(address, FAILURES_MAX, FAILURES_S):
                raise TooManyRequests("too many wrong tokens from this address; wait a minute") from None
            self._patience.failed(address, FAILURES_S)
            raise

    def require(self, connection: HTTPConnection, verb: str) -> Caller:
        """Return who calls, if he may do that.  Raises: as `caller`; NotAllowed."""
        return _allowed(self.caller(connection), verb)

    def require_of_stream(self, connection: HTTPConnection, verb: str) -> Caller:
        """Return who opens a stream or a WebSocket, if he may.  Raises: as `caller_of_stream`; NotAllowed."""
        return _allowed(self.caller_of_stream(connection), verb)


def _allowed(caller: Caller, verb: str) -> Caller:
    if not caller.grant.allows(verb):
        raise NotAllowed(f"this token has no scope {Scope(verb)}")
    return caller


def bearer_of(connection: HTTPConnection) -> str:
    """Return the token of a request: never one from its address, which ends up in logs."""
    kind, _, text = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return text.strip()
    return connection.headers.get("x-auth-token", "").strip()
