"""Tokens: what the text of a predicate is cut into."""

from __future__ import annotations

import re
from typing import NamedTuple, cast

from sylvite.errors import InvalidExpression


class Token(NamedTuple):
    """`kind`: number, text, word, sign or end; `start` and `end` count characters of the text."""

    kind: str
    text: str
    start: int
    end: int


_next_token = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|<|>|&&|\|\||!|\(|\)|\[|\]|,|\.|\*|-|=|&|\|)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
).match


def cut_tokens(text: str) -> list[Token]:
    """Return the tokens, an `end` last.  Raises InvalidExpression."""
    tokens: list[Token] = []
    position = 0
    while True:
        found = _next_token(text, position)
        if found is None:
            after = len(text) - len(text[position:].lstrip())
            wrong = text[after]
            reason = "the text that begins here has no end" if wrong in "\"'" else f"{wrong!r} means nothing here"
            raise InvalidExpression(text, after, reason)
        kind = cast("str", found.lastgroup)
        tokens.append(Token(kind, found[kind], found.start(kind), found.end(kind)))
        if kind == "end":
            return tokens
        position = found.end()
