"""Predicates: conditions on an event, in a small part of Python's spelling.

    expression  or, and, not, == != < <= > >=, in, not in, is None, is not None, ( ), numbers, texts, [lists],
                True False None (true false null too)
    names       tag, data, stamp (seconds since 1970), sender, offset, cause
    paths       data.id, data.return, data["a b"], data.list[0], data.return.*.result (all of them, as a list)
    functions   glob(x, "web*")   regex(x, "web[0-9]+")   len(x)   lower(x)   has(path)   age(stamp)
                any(path, condition)   all(path, condition): in the condition, `it` is one of them

A path that is not there is None, never an error; an order (`<`) between things that have none is False. Regular
expressions match at the beginning, as everywhere in Sylvite, and look at the first 1024 characters.

The text is parsed here and not by Python, whose grammar refuses `data.return`. Every node keeps its place in the text,
so that `explain` can say which condition failed with which value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sylvite.core.pattern import compile_glob, compile_regex
from sylvite.errors import InvalidExpression, InvalidPattern

SOURCE_BYTES_MAX = 4096
NODES_MAX = 200
DEPTH_MAX = 30
MATCHED_CHARACTERS_MAX = 1024
REGEX_CHARACTERS_MAX = 256


class Environment(NamedTuple):
    """What an expression can see.  `it` is set inside of any() and all()."""

    tag: str
    data: object
    stamp_ns: int
    sender: str
    offset: int
    cause: int | None
    now_ns: int
    it: object = None


Evaluate = Callable[[Environment], Any]
_MISSING = object()


def _it(environment: Environment) -> object:
    return environment.it


class Node(NamedTuple):
    """A part of an expression: where it stands, what it gives, and its parts worth explaining."""

    start: int
    end: int
    evaluate: Evaluate
    parts: tuple[Node, ...] = ()
    path: Evaluate | None = None
    """Set for a path: as `evaluate`, but _MISSING where there is nothing."""


class Explained(NamedTuple):
    """One part of an expression and what it gave; `depth` says how far inside it stands."""

    text: str
    value: object
    depth: int


class Predicate:
    """A compiled expression.  Made by `compile_predicate`."""

    __slots__ = ("_evaluate", "_root", "needs_data", "text")

    def __init__(self, text: str, root: Node, *, needs_data: bool) -> None:
        self.text = text
        self.needs_data = needs_data
        self._root = root
        self._evaluate = root.evaluate

    def matches(
        self, tag: str, data: object, stamp_ns: int, sender: str, offset: int, cause: int | None, now_ns: int
    ) -> bool:
        return bool(self._evaluate(Environment(tag, data, stamp_ns, sender, offset, cause, now_ns)))

    def explain(self, environment: Environment) -> list[Explained]:
        """Return each condition with what it gave, the whole first."""
        found: list[Explained] = []

        def visit(node: Node, depth: int) -> None:
            found.append(Explained(self.text[node.start : node.end], node.evaluate(environment), depth))
            for part in node.parts:
                visit(part, depth + 1)

        visit(self._root, 0)
        return found


def compile_predicate(text: str) -> Predicate:
    """Raises InvalidExpression: it cannot be read, or is too large; the error points at the place."""
    if len(text.encode("utf-8", "replace")) > SOURCE_BYTES_MAX:
        raise InvalidExpression(text, 0, f"an expression has at most {SOURCE_BYTES_MAX} bytes")
    parser = _Parser(text)
    root = parser.whole()
    return Predicate(text, root, needs_data=parser.needs_data)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


_token = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d+\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\W\d]\w*)
      | (?P<sign>==|!=|<=|>=|<|>|&&|\|\||!|\(|\)|\[|\]|,|\.|\*|-|=|&|\|)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_MEANT = {"&&": "and", "||": "or", "!": "not", "&": "and", "|": "or", "=": "=="}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
_LITERALS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
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
_FUNCTIONS = {"glob": 2, "regex": 2, "len": 1, "lower": 1, "has": 1, "age": 1, "any": 2, "all": 2}


class _Parser:
    """A parser by precedence: or, and, not, comparison, path."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._cut()
        self._at = 0
        self._nodes = 0
        self._depth = 0
        self._inside = 0
        self.needs_data = False

    def _cut(self) -> list[_Token]:
        tokens: list[_Token] = []
        position = 0
        while True:
            found = _token.match(self._text, position)
            if found is None:
                after = len(self._text) - len(self._text[position:].lstrip())
                raise InvalidExpression(self._text, after, f"{self._text[after]!r} means nothing here")
            kind = cast(str, found.lastgroup)
            tokens.append(_Token(kind, found[kind], found.start(kind), found.end(kind)))
            if kind == "end":
                return tokens
            position = found.end()

    # -- Tokens ------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _take_if(self, *texts: str) -> _Token | None:
        token = self._next
        if token.text in texts and token.kind in ("word", "sign"):
            return self._take()
        return None

    def _expect(self, text: str) -> _Token:
        return self._take_if(text) or self._fail(self._next, f"{text!r} is missing here")

    def _fail(self, token: _Token, reason: str) -> Any:
        if token.text in _MEANT and token.kind == "sign":
            reason = f"write {_MEANT[token.text]!r} instead of {token.text!r}"
        raise InvalidExpression(self._text, token.start, reason)

    def _node(self, start: int, evaluate: Evaluate, parts: Sequence[Node] = (), path: Evaluate | None = None) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise InvalidExpression(self._text, start, f"an expression has at most {NODES_MAX} parts")
        return Node(start, self._tokens[self._at - 1].end, evaluate, tuple(parts), path)

    # -- Grammar -----------------------------------------------------------------------------------------------------

    def whole(self) -> Node:
        if self._next.kind == "end":
            self._fail(self._next, "an expression is missing; such as: data.retcode != 0")
        node = self._or()
        if self._next.kind != "end":
            self._fail(self._next, f"{self._next.text!r} is not expected here; join conditions with 'and' or 'or'")
        return node

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._fail(self._next, f"an expression is at most {DEPTH_MAX} deep")
        first = self._and()
        nodes = [first]
        while self._take_if("or"):
            nodes.append(self._and())
        self._depth -= 1
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
            self._depth += 1
            if self._depth > DEPTH_MAX:
                self._fail(token, f"an expression is at most {DEPTH_MAX} deep")
            inner = self._not()
            self._depth -= 1
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
        if not self._take_if("==", "!=", *_ORDERS):
            return left
        right = self._value()
        first, second = left.evaluate, right.evaluate
        if self._next.text in ("==", "!=", *_ORDERS) and self._next.kind == "sign":
            self._fail(self._next, "compare two things at a time, and join the comparisons with 'and'")
        if token.text == "==":
            return self._node(left.start, lambda e: first(e) == second(e), [left, right])
        if token.text == "!=":
            return self._node(left.start, lambda e: first(e) != second(e), [left, right])
        return self._node(left.start, _order(_ORDERS[token.text], first, second), [left, right])

    def _membership(self, left: Node, *, negated: bool) -> Node:
        right = self._value()
        first, second = left.evaluate, right.evaluate
        evaluate: Evaluate = (lambda e: not _is_in(first(e), second(e))) if negated else (
            lambda e: _is_in(first(e), second(e))
        )  # fmt: skip
        return self._node(left.start, evaluate, [left, right])

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
            inner = self._or()
            self._expect(")")
            return inner
        if token.text == "[":
            return self._list(token)
        if token.kind == "word":
            return self._word(token)
        if token.kind == "end":
            return self._fail(token, "the expression ends here, and something is missing")
        return self._fail(token, f"{token.text!r} is not expected here")

    def _constant(self, start: int, value: object) -> Node:
        return self._node(start, lambda _: value)

    def _unquote(self, token: _Token) -> str:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token.text[1:-1], flags=re.DOTALL)

    def _list(self, token: _Token) -> Node:
        nodes: list[Node] = []
        while not self._take_if("]"):
            nodes.append(self._value())
            if not self._take_if(","):
                self._expect("]")
                break
        each = [node.evaluate for node in nodes]
        if all(not node.parts and node.path is None for node in nodes):
            empty = Environment("", None, 0, "", 0, None, 0)
            constant = [evaluate(empty) for evaluate in each]
            return self._node(token.start, lambda _: constant)
        return self._node(token.start, lambda e: [evaluate(e) for evaluate in each])

    def _word(self, token: _Token) -> Node:
        if self._next.text == "(" and self._next.kind == "sign":
            return self._call(token)
        if token.text in _LITERALS:
            return self._constant(token.start, _LITERALS[token.text])
        if token.text == "it" and self._inside:
            return self._path(token, lambda e: e.it)
        name = _NAMES.get(token.text)
        if name is None:
            return self._fail(
                token, f"there is no {token.text!r}; there are {', '.join(_NAMES)}; texts stand in quotes"
            )
        self.needs_data = self.needs_data or token.text == "data"
        return self._path(token, name)

    def _path(self, token: _Token, name: Evaluate) -> Node:
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
                    steps.append(_EACH if step.text == "*" else step.text)
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
        path = _walker(name, steps)

        def evaluate(environment: Environment) -> Any:
            found = path(environment)
            return None if found is _MISSING else found

        return self._node(token.start, evaluate, path=path)

    def _call(self, token: _Token) -> Node:
        wanted = _FUNCTIONS.get(token.text)
        if wanted is None:
            return self._fail(token, f"there is no function {token.text!r}; there are {', '.join(_FUNCTIONS)}")
        self._expect("(")
        arguments = [self._or()]
        while self._take_if(","):
            self._inside += token.text in ("any", "all")
            arguments.append(self._or())
            self._inside -= token.text in ("any", "all")
        self._expect(")")
        if len(arguments) != wanted and not (token.text in ("any", "all") and len(arguments) == 1):
            self._fail(token, f"{token.text}() takes {wanted} arguments, not {len(arguments)}")
        return self._node(token.start, self._function(token, arguments), arguments[:1])

    def _function(self, token: _Token, arguments: list[Node]) -> Evaluate:
        first = arguments[0].evaluate
        match token.text:
            case "glob" | "regex":
                return self._pattern(token, first, arguments[1])
            case "len":
                return lambda e: _length(first(e))
            case "lower":
                return lambda e: value.lower() if isinstance(value := first(e), str) else None
            case "has":
                path = arguments[0].path
                if path is None:
                    return self._fail(token, "has() takes a path such as data.id")
                return lambda e: path(e) is not _MISSING
            case "age":
                return lambda e: e.now_ns / 1e9 - value if isinstance(value := first(e), int | float) else None
            case _:
                condition = arguments[1].evaluate if len(arguments) == 2 else _it
                fold = any if token.text == "any" else all
                return lambda e: fold(condition(e._replace(it=item)) for item in _items(first(e)))

    def _pattern(self, token: _Token, value: Evaluate, pattern: Node) -> Evaluate:
        text = pattern.evaluate(Environment("", None, 0, "", 0, None, 0))
        if not isinstance(text, str) or pattern.parts or pattern.path is not None:
            return self._fail(token, f"the second argument of {token.text}() is a text in quotes")
        try:
            if len(text) > REGEX_CHARACTERS_MAX:
                raise InvalidPattern(text, f"a pattern here has at most {REGEX_CHARACTERS_MAX} characters")
            compiled = compile_glob(text) if token.text == "glob" else compile_regex(text, open_repeats_max=2)
        except InvalidPattern as error:
            return self._fail(token, str(error))
        match = compiled.match

        def matches(environment: Environment) -> bool:
            found = value(environment)
            return isinstance(found, str) and match(found[:MATCHED_CHARACTERS_MAX]) is not None

        return matches


_EACH = object()


def _walker(name: Evaluate, steps: list[object]) -> Evaluate:
    if _EACH not in steps:

        def walk(environment: Environment) -> Any:
            found = name(environment)
            for step in steps:
                found = _step(found, step)
                if found is _MISSING:
                    return _MISSING
            return found

        return walk

    def walk_all(environment: Environment) -> Any:
        found: list[object] = [name(environment)]
        for step in steps:
            if step is _EACH:
                found = [item for value in found for item in _items(value)]
            else:
                found = [item for value in found if (item := _step(value, step)) is not _MISSING]
        return found

    return walk_all


def _step(value: object, step: object) -> object:
    if isinstance(value, dict):
        return cast(dict[object, object], value).get(step, _MISSING)
    if isinstance(value, list) and isinstance(step, int):
        items = cast(list[object], value)
        return items[step] if step < len(items) else _MISSING
    return _MISSING


def _items(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(cast(dict[object, object], value).values())
    return cast(list[object], value) if isinstance(value, list) else ()


def _length(value: object) -> int | None:
    return len(cast(list[object], value)) if isinstance(value, str | list | dict | bytes) else None


def _order(compare: Callable[[Any, Any], bool], first: Evaluate, second: Evaluate) -> Evaluate:
    def evaluate(environment: Environment) -> bool:
        try:
            return compare(first(environment), second(environment))
        except TypeError:
            return False  # Two things that have no order, such as a path that is not there and a number.

    return evaluate


def _is_in(value: object, container: object) -> bool:
    if isinstance(container, str):
        return isinstance(value, str) and value in container
    if isinstance(container, dict):
        return isinstance(value, str | int) and value in container
    return isinstance(container, list) and value in cast(list[object], container)
