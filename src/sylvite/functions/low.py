"""Low: how programs ask for a run: a map, as Salt's clients and its REST API take it.

fun             the function
arg, kwarg      its arguments; texts in `arg` are read as those of a command line
anything else   an argument by its name, unless it is a credential
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from sylvite.errors import InvalidInput
from sylvite.functions.arguments import KEYWORD_MARK, Arguments, unpack_arguments

_CREDENTIALS = frozenset(("client", "token", "username", "password", "eauth", "key", "user"))


class Low(NamedTuple):
    """What is asked for.  `jid`, `user`: where the map says so."""

    name: str
    arguments: Arguments
    jid: str | None
    user: str | None


class InvalidLow(InvalidInput):
    """It does not say what is to be run."""

    code = "invalid_low"


def read_low(low: Mapping[str, Any]) -> Low:
    """Raises InvalidLow."""
    name = low.get("fun")
    if not isinstance(name, str) or not name:
        raise InvalidLow(f"fun must be the name of a function, not {name!r}")
    said: object = low.get("kwarg") or {}
    if not isinstance(said, Mapping):
        raise InvalidLow(f"kwarg must be a map of arguments, not {said!r}")
    kwarg = cast("Mapping[str, Any]", said)
    others = {
        key: value
        for key, value in low.items()
        if key not in ("fun", "arg", "kwarg") and key not in _CREDENTIALS and not key.startswith("__")
    }
    user, jid = low.get("__user__", low.get("user")), low.get("__jid__")
    given = make_arguments(low.get("arg"), {**others, **kwarg})
    return Low(name, given, None if jid is None else str(jid), None if user is None else str(user))


def make_arguments(arg: Any, kwarg: Mapping[str, Any] | None) -> Arguments:
    """Return arguments as a program gives them.  `arg`: a list; one that is none is the only one."""
    several = isinstance(arg, list | tuple)
    listed: list[Any] = [] if arg is None else list(cast("list[Any]", arg)) if several else [arg]
    return unpack_arguments([*listed, {**(kwarg or {}), KEYWORD_MARK: True}])
