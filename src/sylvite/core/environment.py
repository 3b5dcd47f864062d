"""What an expression sees of an event, and the operations it can do with it.  The grammar: core/grammar.py.

Nothing here raises but `TooManySteps`: what has no value is None, what cannot be compared is False.

Outside of any() and all() each operation is done once, so that an expression costs in proportion to the event. Inside
of them it is done for each item, and two of them would make a product of what an event can hold: there, each
operation is paid for with the steps it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

STEPS_MAX = 1_000_000
"""For one event: once around all that it can hold.  Some 100 ms."""
_TEXT_STEP = 64
"""So many characters are compared in the time of one step."""

T = TypeVar("T")


class TooManySteps(Exception):
    """The expression would take too long on this event."""


class Environment(msgspec.Struct):
    """What an expression can see, and what it may still do.

    `it` is set while any() and all() run; it is one object for all items, for a copy of each would cost more than most
    conditions.
    """

    tag: str
    data: object
    stamp_ns: int
    sender: str
    offset: int
    cause: int | None
    now_ns: int
    it: object = None
    steps_left: int = STEPS_MAX

    def take(self, steps: int) -> None:
        """Pay for steps.  Raises TooManySteps."""
        self.steps_left -= steps
        if self.steps_left < 0:
            raise TooManySteps


Evaluate = Callable[[Environment], Any]

MISSING = object()
EACH = object()
"""The step of a path that is written `*`."""


def walker(name: Evaluate, steps: Sequence[object]) -> Evaluate:
    """Return what goes down a path from `name`, and gives MISSING where there is nothing.

    With EACH among the steps, it gives a list of what there is, and MISSING for none.
    """
    if EACH not in steps:

        def walk(environment: Environment) -> Any:
            found = name(environment)
            for step in steps:
                found = _step(found, step)
                if found is MISSING:
                    return MISSING
            return found

        return walk

    def walk_all(environment: Environment) -> Any:
        found: list[object] = [name(environment)]
        for step in steps:
            if step is EACH:
                found = [item for value in found for item in items_of(value)]
            else:
                found = [item for value in found if (item := _step(value, step)) is not MISSING]
            environment.take(len(found))
        return found or MISSING

    return walk_all


def _step(value: object, step: object) -> object:
    if isinstance(value, dict):
        found = cast(dict[object, object], value).get(step, MISSING)
        # A name made of digits is written as a number, and is a text in most maps.
        return (
            cast(dict[object, object], value).get(str(step), MISSING)
            if found is MISSING and isinstance(step, int)
            else found
        )
    if isinstance(value, list) and isinstance(step, int):
        items = cast(list[object], value)
        return items[step] if step < len(items) else MISSING
    return MISSING


def items_of(value: object) -> Sequence[object]:
    """Return what any(), all() and `*` go through: the items of a list, the values of a map."""
    if isinstance(value, dict):
        return list(cast(dict[object, object], value).values())
    return cast(list[object], value) if isinstance(value, list) else ()


def length(value: object) -> int | None:
    return len(cast(list[object], value)) if isinstance(value, str | list | dict | bytes) else None


def is_in(value: object, container: object) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    if isinstance(container, dict):
        return isinstance(value, str | int) and value in container
    return isinstance(container, list) and value in cast(list[object], container)


def ordered(compare: Callable[[Any, Any], bool]) -> Callable[[object, object], bool]:
    """Return the comparison, False for two things that have no order, such as None and a number."""

    def compares(first: object, second: object) -> bool:
        try:
            return compare(first, second)
        except TypeError:
            return False

    return compares


Price = Callable[[object, object, int], int]
"""From the two sides of an operation, and the steps left: the steps that it may take."""


def loop(items: Evaluate, condition: Evaluate, *, until: bool) -> Evaluate:
    """Return what goes through items, up to the first for which the condition is as `until` says; and says so."""

    def run(environment: Environment) -> bool:
        found = items_of(items(environment))
        environment.take(len(found))
        outer = environment.it
        try:
            for item in found:
                environment.it = item
                if bool(condition(environment)) is until:
                    return until
        finally:
            environment.it = outer
        return not until

    return run


def joined(
    operation: Callable[[object, object], T], first: Evaluate, second: Evaluate, price: Price | None
) -> Callable[[Environment], T]:
    """Return what does an operation on two values, and takes the steps for it if it has a price."""
    if price is None:
        return lambda e: operation(first(e), second(e))

    def operate(environment: Environment) -> T:
        left, right = first(environment), second(environment)
        environment.take(price(left, right, environment.steps_left))
        return operation(left, right)

    return operate


def price_of_comparing(left: object, right: object, at_most: int) -> int:
    """No comparison looks at more of one side than the other side has."""
    if type(left) not in _LARGE or type(right) not in _LARGE:
        return 1
    return weight(right, weight(left, at_most))


def price_of_searching(left: object, right: object, at_most: int) -> int:
    del left
    return weight(right, at_most)


_LARGE = frozenset((str, bytes, list, dict))


def weight(value: object, at_most: int) -> int:
    """Return about how many steps it takes to look at all of a value; beyond `at_most` it is not looked at."""
    found = 0
    waiting = [value]
    while waiting and found <= at_most:
        value = waiting.pop()
        found += 1
        if isinstance(value, str | bytes):
            found += len(value) // _TEXT_STEP
        else:
            items = items_of(value)
            found += len(items)
            waiting.extend([item for item in items if type(item) in _LARGE])
    return found


def is_not_in(value: object, container: object) -> bool:
    return not is_in(value, container)


def lower(text: Evaluate) -> Evaluate:
    """Return what writes a text small; None where it is none."""
    return lambda e: value.lower() if isinstance(value := text(e), str) else None


def lower_paid_for(text: Evaluate) -> Evaluate:
    """As `lower`, for an item of many: each of its characters counts."""

    def lowered(environment: Environment) -> str | None:
        value = text(environment)
        environment.take(weight(value, environment.steps_left))
        return value.lower() if isinstance(value, str) else None

    return lowered
