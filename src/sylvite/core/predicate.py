r"""Predicates: conditions on an event, in a small part of Python's spelling.

    expression  or, and, not, == != < <= > >=, in, not in, is None, is not None, ( ), numbers, texts, [lists],
                True False None (true false null too)
    names       tag, data, stamp (seconds since 1970), sender, offset, cause
    paths       data.id, data.return, data["a b"], data.list[0], data.return.*.result (all of them, as a list)
    functions   glob(x, "web*")   regex(x, "web[0-9]+")   len(x)   lower(x)   has(path)   age(stamp)
                any(path, condition)   all(path, condition): in the condition, `it` is one of them

A path that is not there is None, never an error; an order (`<`) between things that have none is False. Regular
expressions match at the beginning, as everywhere in Sylvite, and look at the first 1024 characters. In a text, a
backslash before n, t, r, 0, a quote or a backslash is Python's; before anything else it stays, as in "web\d+".

How the text becomes nodes: core/grammar.py. What the nodes do: core/environment.py.
"""

from __future__ import annotations

from typing import NamedTuple

from sylvite.core.environment import STEPS_MAX, Environment, TooManySteps
from sylvite.core.grammar import MATCHED_CHARACTERS_MAX, MATCHED_IN_STEP, Node, Parser, Parts
from sylvite.errors import InvalidExpression

SOURCE_BYTES_MAX = 4096


class Explained(NamedTuple):
    """One part of an expression and what it gave; `depth` says how far inside it stands."""

    text: str
    value: object
    depth: int


class Predicate:
    """A compiled expression.  Made by `compile_predicate`."""

    __slots__ = ("_evaluate", "_parts", "_root", "needs_data", "text")

    def __init__(self, text: str, root: Node, parts: Parts, *, needs_data: bool) -> None:
        self.text = text
        self.needs_data = needs_data
        self._root, self._parts = root, parts
        self._evaluate = root.evaluate

    def price(self, size: int, events: int) -> int:
        """Return the most steps that it may take on so many events, which have so many bytes together."""
        nodes, pattern_steps, loops, products = self._parts
        patterns = pattern_steps // MATCHED_IN_STEP * (1 + size // MATCHED_CHARACTERS_MAX)
        if not loops:
            return nodes * events + patterns
        return nodes * events + patterns + min(nodes * size * (size if products else 1), events * STEPS_MAX)

    def matches(
        self, tag: str, data: object, stamp_ns: int, sender: str, offset: int, cause: int | None, now_ns: int
    ) -> bool:
        """Say whether the condition holds.

        True too where finding out would take too long, or the data is nested too deeply: its reader sees the event,
        and a filter has lost nothing.
        """
        try:
            return bool(self._evaluate(Environment(tag, data, stamp_ns, sender, offset, cause, now_ns)))
        except (TooManySteps, RecursionError):
            return True

    def explain(self, environment: Environment) -> list[Explained]:
        """Return each condition with what it gave, the whole first; an Ellipsis where that would take too long."""
        found: list[Explained] = []

        def visit(node: Node, depth: int) -> None:
            environment.steps_left = STEPS_MAX
            try:
                value: object = node.evaluate(environment)
            except (TooManySteps, RecursionError):
                value = ...
            found.append(Explained(self.text[node.start : node.end], value, depth))
            for part in node.parts:
                visit(part, depth + 1)

        visit(self._root, 0)
        return found


def compile_predicate(text: str) -> Predicate:
    """Raises InvalidExpression: it cannot be read, or is too large; the error points at the place."""
    if len(text.encode("utf-8", "replace")) > SOURCE_BYTES_MAX:
        raise InvalidExpression(text, 0, f"an expression has at most {SOURCE_BYTES_MAX} bytes")
    parser = Parser(text)
    root = parser.whole()
    return Predicate(text, root, parser.parts, needs_data=parser.needs_data)
