"""Grammar: from the text of an expression to nodes that can be evaluated.  What there is to write: core/predicate.py.

The text is parsed here and not by Python, whose grammar refuses `data.return`. Every node keeps its place in the text,
so that `explain` can say which condition failed with which value. What the nodes do: core/environment.py.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from sylvite.core.environment import (
    EACH,
    MISSING,
    Environment,
    Evaluate,
    is_in,
    is_not_in,
    joined,
    length,
    loop,
    lower,
    lower_paid_for,
    ordered,
    price_of_comparing,
    price_of_searching,
    walker,
)
from sylvite.core.pattern import Regex, compile_glob, glob_steps, read_regex
from sylvite.core.token import Token, cut_tokens
from sylvite.errors import InvalidExpression, InvalidPattern

NODES_MAX = 200
DEPTH_MAX = 30
MATCHED_CHARACTERS_MAX = 1024
PATTERN_CHARACTERS_MAX = 256
PATTERN_STEPS_MAX = 4_000_000
"""What matching all patterns of one expression, each on 1024 characters, may cost: some 40 ms, for each event."""
MATCHED_IN_STEP = 16
"""So many steps of matching a pattern are done in the time of one step of an expression."""


class Node(NamedTuple):
    """A part of an expression: where it stands, what it gives, and its parts worth explaining."""

    start: int
    end: int
    evaluate: Evaluate
    parts: tuple[Node, ...] = ()
    path: Evaluate | None = None
    """Set for a path: as `evaluate`, but MISSING where there is nothing."""
    constant: bool = False


class Parts(NamedTuple):
    """What an expression is made of: how many nodes, and what all its patterns cost on the characters they look at.

    `loops`: it goes through items; `products`: it does, for each of them, what is not one step.
    """

    nodes: int
    pattern_steps: int
    loops: bool
    products: bool


_MEANT = {"&&": "and", "||": "or", "!": "not", "&": "and", "|": "or", "=": "=="}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_LITERALS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_COMPARISONS: Mapping[str, Callable[[object, object], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": ordered(operator.lt), "<=": ordered(operator.le),
    ">": ordered(operator.gt), ">=": ordered(operator.ge),
}  # fmt: skip
_NAMES: Mapping[str, Evaluate] = {
    "tag": lambda e: e.tag,
    "data": lambda e: e.data,
    "stamp": lambda e: e.stamp_ns / 1_000_000_000,
    "sender": lambda e: e.sender,
    "source": lambda e: e.sender,
    "offset": lambda e: e.offset,
    "cause": lambda e: e.cause,
}
_NOWHERE = Environment("", None, 0, "", 0, None, 0)
"""For what is constant: it looks at nothing."""
_FUNCTIONS = {"glob": 2, "regex": 2, "len": 1, "lower": 1, "has": 1, "age": 1, "any": 2, "all": 2}


class Parser:
    """A parser by precedence: or, and, not, comparison, path."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = cut_tokens(text)
        self._at = 0
        self._nodes = 0
        self._depth = 0
        self._inside = 0
        self._pattern_steps = 0
        self._loops = self._products = False
        self.needs_data = False

    @property
    def parts(self) -> Parts:
        return Parts(self._nodes, self._pattern_steps, self._loops, self._products)

    # -- Tokens ------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take_if(self, *texts: str) -> Token | None:
        token = self._next
        if token.text in texts and token.kind in ("word", "sign"):
            return self._take()
        return None

    def _expect(self, text: str) -> Token:
        return self._take_if(text) or self._fail(self._next, f"{text!r} is missing here")

    def _fail(self, token: Token, reason: str) -> NoReturn:
        if token.text in _MEANT and token.kind == "sign":
            reason = f"write {_MEANT[token.text]!r} instead of {token.text!r}"
        raise InvalidExpression(self._text, token.start, reason)

    def _node(
        self,
        start: int,
        evaluate: Evaluate,
        parts: Sequence[Node] = (),
        *,
        path: Evaluate | None = None,
        constant: bool = False,
    ) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise InvalidExpression(self._text, start, f"an expression has at most {NODES_MAX} parts")
        return Node(start, self._tokens[self._at - 1].end, evaluate, tuple(parts), path, constant)

    def _deeper(self, token: Token, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._fail(token, f"an expression is at most {DEPTH_MAX} deep")
        found = read()
        self._depth -= 1
        return found

    # -- Grammar -----------------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        if self._next.kind == "end":
            self._fail(self._next, "an expression is missing; such as: data.retcode != 0")
        node = self._expression()
        if self._next.kind != "end":
            self._fail(self._next, f"{self._next.text!r} is not expected here; join conditions with 'and' or 'or'")
        return node

    def _expression(self) -> Node:
        return self._deeper(self._next, self._or)

    def _or(self) -> Node:
        first = self._and()
        nodes = [first]
        while self._take_if("or"):
            nodes.append(self._and())
        if len(nodes) == 1:
            return first
        if len(nodes) == 2:
            left, right = nodes[0].evaluate, nodes[1].evaluate
            return self._node(first.start, lambda e: left(e) or right(e), nodes)
        each = [node.evaluate for node in nodes]
        return self._node(first.start, lambda e: any(evaluate(e) for evaluate in each), nodes)

    def _and(self) -> Node:
        first = self._not()
        nodes = [first]
        while self._take_if("and"):
            nodes.append(self._not())
        if len(nodes) == 1:
            return first
        if len(nodes) == 2:
            left, right = nodes[0].evaluate, nodes[1].evaluate
            return self._node(first.start, lambda e: left(e) and right(e), nodes)
        each = [node.evaluate for node in nodes]
        return self._node(first.start, lambda e: all(evaluate(e) for evaluate in each), nodes)

    def _not(self) -> Node:
        if token := self._take_if("not"):
            inner = self._deeper(token, self._not)
            evaluate = inner.evaluate
            return self._node(token.start, lambda e: not evaluate(e), [inner])
        return self._comparison()

    def _comparison(self) -> Node:
        left = self._value()
        token = self._next
        if self._take_if("is"):
            negated = self._take_if("not") is not None
            literal = self._take()
            if literal.text not in ("None", "null"):
                self._fail(literal, "after 'is' comes None; compare other things with ==")
            value = left.evaluate
            if negated:
                return self._node(left.start, lambda e: value(e) is not None, [left])
            return self._node(left.start, lambda e: value(e) is None, [left])
        if self._take_if("not"):
            self._expect("in")
            return self._membership(left, negated=True)
        if self._take_if("in"):
            return self._membership(left, negated=False)
        if not self._take_if(*_COMPARISONS):
            return left
        right = self._value()
        if self._next.text in _COMPARISONS and self._next.kind == "sign":
            self._fail(self._next, "compare two things at a time, and join the comparisons with 'and'")
        price = None if left.constant or right.constant or not self._inside else price_of_comparing
        self._products = self._products or price is not None
        operation = _COMPARISONS[token.text]
        return self._node(left.start, joined(operation, left.evaluate, right.evaluate, price), [left, right])

    def _membership(self, left: Node, *, negated: bool) -> Node:
        right = self._value()
        price = None if right.constant or not self._inside else price_of_searching
        self._products = self._products or price is not None
        operation = is_not_in if negated else is_in
        return self._node(left.start, joined(operation, left.evaluate, right.evaluate, price), [left, right])

    def _value(self) -> Node:
        token = self._take()
        if token.kind == "number":
            number = float(token.text) if not token.text.isdigit() else int(token.text)
            return self._constant(token.start, number)
        if token.text == "-" and self._next.kind == "number":
            digits = self._take().text
            return self._constant(token.start, -float(digits) if not digits.isdigit() else -int(digits))
        if token.kind == "text":
            return self._constant(token.start, self._unquote(token))
        if token.text == "(":
            inner = self._expression()
            self._expect(")")
            return inner
        if token.text == "[":
            return self._deeper(token, lambda: self._list(token))
        if token.kind == "word":
            return self._word(token)
        if token.kind == "end":
            return self._fail(token, "the expression ends here, and something is missing")
        return self._fail(token, f"{token.text!r} is not expected here")

    def _constant(self, start: int, value: object) -> Node:
        return self._node(start, lambda _: value, constant=True)

    def _unquote(self, token: Token) -> str:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), token.text[1:-1], flags=re.DOTALL)

    def _list(self, token: Token) -> Node:
        nodes: list[Node] = []
        while not self._take_if("]"):
            nodes.append(self._value())
            if not self._take_if(","):
                self._expect("]")
                break
        each = [node.evaluate for node in nodes]
        if all(node.constant for node in nodes):
            return self._constant(token.start, [evaluate(_NOWHERE) for evaluate in each])
        return self._node(token.start, lambda e: [evaluate(e) for evaluate in each])

    def _word(self, token: Token) -> Node:
        if self._next.text == "(" and self._next.kind == "sign":
            return self._call(token)
        if token.text in _LITERALS:
            return self._constant(token.start, _LITERALS[token.text])
        if token.text == "it" and self._inside:
            return self._path(token, lambda e: e.it)
        name = _NAMES.get(token.text)
        if name is None:
            self._fail(token, f"there is no {token.text!r}; there are {', '.join(_NAMES)}; texts stand in quotes")
        self.needs_data = self.needs_data or token.text == "data"
        return self._path(token, name)

    def _path(self, token: Token, name: Evaluate) -> Node:
        steps: list[object] = []
        while True:
            if self._take_if("."):
                step = self._take()
                if step.text != "*" and step.kind not in ("word", "number"):
                    self._fail(step, 'after a dot comes a word or *; write ["…"] for other names')
                if step.kind == "number":
                    # "1.5" after a dot is two steps: data.list.1.5
                    steps.extend(int(part) if part.isdigit() else part for part in step.text.split("."))
                else:
                    steps.append(EACH if step.text == "*" else step.text)
            elif self._take_if("["):
                step = self._take()
                if step.kind == "text":
                    steps.append(self._unquote(step))
                elif step.kind == "number" and step.text.isdigit():
                    steps.append(int(step.text))
                else:
                    self._fail(step, "between [ and ] comes a text or a number")
                self._expect("]")
            else:
                break
        if not steps:
            return self._node(token.start, name, path=name)
        path = walker(name, steps)
        each = EACH in steps
        self._loops = self._loops or each
        self._products = self._products or (each and self._inside > 0)

        def evaluate(environment: Environment) -> Any:
            found = path(environment)
            if found is MISSING:
                return [] if each else None
            return found

        return self._node(token.start, evaluate, path=path)

    def _call(self, token: Token) -> Node:
        wanted = _FUNCTIONS.get(token.text)
        if wanted is None:
            self._fail(token, f"there is no function {token.text!r}; there are {', '.join(_FUNCTIONS)}")
        loops = token.text in ("any", "all")
        self._loops = self._loops or loops
        self._products = self._products or (self._inside > 0 and token.text in ("any", "all", "lower", "glob", "regex"))
        self._expect("(")
        arguments = [self._expression()]
        self._inside += loops
        while self._take_if(","):
            arguments.append(self._expression())
        self._inside -= loops
        self._expect(")")
        if len(arguments) != wanted and not (loops and len(arguments) == 1):
            self._fail(token, f"{token.text}() takes {wanted} argument{'s' * (wanted > 1)}, not {len(arguments)}")
        return self._node(token.start, self._function(token, arguments), arguments[:1])

    def _function(self, token: Token, arguments: list[Node]) -> Evaluate:
        first = arguments[0].evaluate
        match token.text:
            case "glob" | "regex":
                return self._pattern(token, first, arguments[1])
            case "len":
                return lambda e: length(first(e))
            case "lower":
                return lower_paid_for(first) if self._inside else lower(first)
            case "has":
                path = arguments[0].path
                if path is None:
                    self._fail(token, "has() takes a path such as data.id")
                return lambda e: path(e) is not MISSING
            case "age":
                return lambda e: e.now_ns / 1e9 - value if isinstance(value := first(e), int | float) else None
            case _:
                condition: Evaluate = arguments[1].evaluate if len(arguments) == 2 else lambda e: e.it
                return loop(first, condition, until=token.text == "any")

    def _pattern(self, token: Token, value: Evaluate, pattern: Node) -> Evaluate:
        text = pattern.evaluate(_NOWHERE) if pattern.constant else None
        if not isinstance(text, str):
            self._fail(token, f"the second argument of {token.text}() is a text in quotes")
        try:
            if len(text) > PATTERN_CHARACTERS_MAX:
                raise InvalidPattern(text, f"a pattern here has at most {PATTERN_CHARACTERS_MAX} characters")
            compiled, steps = _read_pattern(token.text, text)
        except InvalidPattern as error:
            self._fail(token, str(error))
        self._pattern_steps += steps(MATCHED_CHARACTERS_MAX)
        if self._pattern_steps > PATTERN_STEPS_MAX:
            self._fail(token, "with the patterns before it, this one could take too long; use fewer repeats such as .*")
        match = compiled.match
        if not self._inside:

            def matches(environment: Environment) -> bool:
                found = value(environment)
                return isinstance(found, str) and match(found[:MATCHED_CHARACTERS_MAX]) is not None

            return matches
        prices = [(size, 1 + steps(size) // MATCHED_IN_STEP) for size in (16, 64, 256, MATCHED_CHARACTERS_MAX)]

        def matches_paid_for(environment: Environment) -> bool:
            found = value(environment)
            if not isinstance(found, str):
                return False
            found = found[:MATCHED_CHARACTERS_MAX]
            environment.take(next(price for size, price in prices if len(found) <= size))
            return match(found) is not None

        return matches_paid_for


def _read_pattern(function: str, text: str) -> tuple[re.Pattern[str], Callable[[int], int]]:
    """Return the pattern, and what tells its steps for so many characters.  Raises InvalidPattern."""
    if function == "glob":
        return compile_glob(text), lambda characters: glob_steps(text, characters)
    regex: Regex = read_regex(text, characters=MATCHED_CHARACTERS_MAX, steps_max=PATTERN_STEPS_MAX)
    return regex.compiled, regex.steps
