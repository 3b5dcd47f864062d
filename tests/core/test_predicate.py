"""Conditions on an event: what they mean, how they are refused, and that none runs away."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core import environment
from sylvite.core.environment import STEPS_MAX, Environment
from sylvite.core.grammar import (
    DEPTH_MAX,
    MATCHED_CHARACTERS_MAX,
    NODES_MAX,
    PATTERN_CHARACTERS_MAX,
    PATTERN_STEPS_MAX,
)
from sylvite.core.pattern import read_regex
from sylvite.core.predicate import SOURCE_BYTES_MAX, Predicate, compile_predicate
from sylvite.errors import InvalidExpression

TAG = "salt/job/1/ret/web1"
DATA: dict[str, Any] = {
    "id": "web1",
    "retcode": 2,
    "ok": False,
    "nothing": None,
    "a b": {"c.d": 5},
    "list": [10, 20, {"x": "deep"}],
    "tags": ["a", "b"],
    "return": {"one": {"result": True, "n": 1}, "two": {"result": False}, "three": 7},
    "1": "one",
    "empty": [],
}
NOW_NS = 1_700_000_000_000_000_000


def about(data: object = DATA, *, cause: int | None = 41) -> Environment:
    return Environment(TAG, data, NOW_NS - 5_000_000_000, "uid:1000", 42, cause, NOW_NS)


def holds(text: str, data: object = DATA) -> bool:
    e = about(data)
    return compile_predicate(text).matches(e.tag, e.data, e.stamp_ns, e.sender, e.offset, e.cause, e.now_ns)


def value(text: str, data: object = DATA) -> object:
    return compile_predicate(text).explain(about(data))[0].value


def refusal(text: str) -> InvalidExpression:
    with pytest.raises(InvalidExpression) as caught:
        compile_predicate(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Names and paths
        ("tag", TAG), ("sender", "uid:1000"), ("source", "uid:1000"), ("offset", 42), ("cause", 41),
        ("stamp", 1_699_999_995.0), ("data.id", "web1"), ('data["id"]', "web1"), ("data['a b'][\"c.d\"]", 5),
        ("data.list[0]", 10), ("data.list.1", 20), ("data.list.2.x", "deep"), ("data.list[2].x", "deep"),
        ("data.return.one.result", True), ("data.1", "one"), ("data.return.*.result", [True, False]),
        ("data.return.*", [{"result": True, "n": 1}, {"result": False}, 7]), ("data.list.*.x", ["deep"]),
        ("data.empty.*", []), ("data.id.*", []), ("data.*.nothing", []),
        # What is not there
        ("data.none", None), ("data.none.more.*", []), ("data.id.x", None), ("data.list[3]", None), ("data.list.x", None),
        ("data.nothing", None), ("data.nothing.x", None), ("tag.x", None), ("data.list[99999999999999999999]", None),
        # Constants
        ("1", 1), ("-1", -1), ("1.5", 1.5), ("-1.5e3", -1500.0), ("1e999", float("inf")), ("True", True), ("false", False),
        ("null", None), ("[]", []), ("[1, 'a', [2],]", [1, "a", [2]]), ("[data.id, 1]", ["web1", 1]),
        ("'a\"b'", 'a"b'), ('"a\\"b"', 'a"b'), (r'"a\\b\n\t\0"', "a\\b\n\t\0"), (r'"\d\w\."', r"\d\w\."),
        # Precedence
        ("true or false and false", True), ("not false and false", False), ("not data.retcode == 2", False),
        ("not not data.retcode", True), ("(true or false) and false", False),
        ("data.none or data.id", "web1"), ("data.id and data.retcode", 2), ("0 or 0 or 3 or 4", True), ("1 and 1 and 0", False),
        # Comparisons
        ("data.retcode != 0", True), ("data.retcode == 2.0", True), ("data.none != 0", True), ("data.none == None", True),
        ("data.none is None", True), ("data.none is not None", False), ("data.id is not null", True),
        ("data.none < 1", False), ("data.none >= 1", False), ("data.id > 5", False), ("data.retcode > 1", True),
        ("data.retcode <= 2", True), ('data.id < "web2"', True), ("[1, 2] < [1, 3]", True),
        ('"job" in tag', True), ('"x" not in tag', True), ("1 in tag", False), ("1 not in data.none", True),
        ('"b" in data.tags', True), ('data.id in ["web1", "web2"]', True), ('data.id in [data.id]', True),
        ('"one" in data.return', True), ("data.list in data.return", False), ("data.tags in [data.tags]", True),
        # Functions
        ('glob(data.id, "web*")', True), ('glob(data.id, "eb*")', False), ('glob(data.retcode, "*")', False),
        (r'regex(tag, "salt/job/\d+/")', True), ('regex(data.id, "eb")', False), ('regex(data.none, "")', False),
        ("len(data.list)", 3), ("len(data.id)", 4), ("len(data.return)", 3), ("len(data.retcode)", None),
        ('lower("WEB")', "web"), ("lower(data.retcode)", None), ("has(data.nothing)", True), ("has(data.none)", False),
        ("has(data.return.*.n)", True), ("has(data.return.*.m)", False), ("has(data.empty)", True), ("has(tag)", True),
        ("age(stamp)", 5.0), ("age(data.id)", None), ("age(stamp) < 6", True),
        ("any(data.tags, it == 'b')", True), ("all(data.tags, it == 'b')", False), ("any(data.empty, true)", False),
        ("all(data.empty, false)", True), ("any(data.return, not it.result)", True), ("any(data.return.*.result)", True),
        ("all(data.return.*.result)", False), ("any(data.id, true)", False), ("any(data.return, any(it, it == 7))", False),
        ("any(data.return, has(it.n) and it.n == 1)", True), ("any(data.return, any(it.*, it == 1))", True),
        ("any(data.tags, any(data.list, it == 20) and it == 'b')", True),
    ],
)  # fmt: skip
def test_an_expression_means_what_it_looks_like(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)
    assert holds(text) is bool(expected)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "an expression is missing"),
        ("   ", 3, "an expression is missing"),
        ("data.retcode ==", 15, "the expression ends here"),
        ("data.id == 'a", 11, "has no end"),
        ('data.id == "a\\"', 11, "has no end"),
        ("data.id == #", 11, "'#' means nothing here"),
        ("tag && data", 4, "write 'and' instead of '&&'"),
        ("tag || data", 4, "write 'or' instead of '||'"),
        ("tag and !data", 8, "write 'not' instead of '!'"),
        ("data.id = 1", 8, "write '==' instead of '='"),
        ("data.id 5", 8, "join conditions with 'and' or 'or'"),
        ("a == 1", 0, "there is no 'a'; there are tag, data"),
        ("it == 1", 0, "there is no 'it'"),
        ("any(it, true)", 4, "there is no 'it'"),
        ("any(data.x, true) and it", 22, "there is no 'it'"),
        ("1 < 2 < 3", 6, "compare two things at a time"),
        ("1 in [1] == 1", 9, "join conditions with 'and' or 'or'"),
        ("1 == 2 != 3", 7, "compare two things at a time"),
        ("data is 5", 8, "after 'is' comes None"),
        ("data is", 7, "after 'is' comes None"),
        ("data not 5", 9, "'in' is missing here"),
        ("data.", 5, "after a dot comes a word"),
        ("data.'a'", 5, "after a dot comes a word"),
        ("data[", 5, "between [ and ]"),
        ("data[x]", 5, "between [ and ]"),
        ("data[1.5]", 5, "between [ and ]"),
        ("data[-1]", 5, "between [ and ]"),
        ("data[1", 6, "']' is missing here"),
        ("(tag", 4, "')' is missing here"),
        ("[1, 2", 5, "']' is missing here"),
        ("[1 2]", 3, "']' is missing here"),
        ("size(tag)", 0, "there is no function 'size'; there are glob, regex"),
        ("len(tag, tag)", 0, "takes 1 argument, not 2"),
        ("glob(tag)", 0, "takes 2 arguments, not 1"),
        ("any(tag, tag, tag)", 0, "takes 2 arguments, not 3"),
        ("len()", 4, "')' is not expected here"),
        ("glob(tag, data.x)", 0, "is a text in quotes"),
        ("glob(tag, 5)", 0, "is a text in quotes"),
        ("glob(tag, lower('A'))", 0, "is a text in quotes"),
        ("tag or regex(tag, '(')", 7, "it is no regular expression"),
        ("regex(tag, '(a+)+')", 0, "could take for ever"),
        ("has(5)", 0, "has() takes a path"),
        ("has(len(tag))", 0, "has() takes a path"),
        ("- tag", 0, "'-' is not expected here"),
        ("1 and and 2", 6, "there is no 'and'"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, position: int, reason: str) -> None:
    error = refusal(text)
    assert error.position == position
    assert reason in error.reason
    shown, mark = str(error).split("\n")[-2:]
    assert shown[2:] == text[-100:]
    assert mark == "  " + " " * position + "^"


# -- A naive interpreter --------------------------------------------------------------------------------------------

Tree = tuple[Any, ...]
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LEAVES: st.SearchStrategy[Tree] = st.one_of(
    st.tuples(st.just("constant"), st.integers(-3, 3) | st.sampled_from(["a", "b", "web"]) | st.booleans() | st.none()),
    st.tuples(st.just("path"), st.lists(st.sampled_from(["a", "b", 0, 1]), max_size=3)),
)


def grow(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    return st.one_of(
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["==", "!=", *ORDERS, "in", "not in"]), inner, inner),
        st.tuples(st.sampled_from(["is None", "is not None"]), inner),
        st.tuples(st.sampled_from(["any", "all"]), inner, inner),
        st.tuples(st.sampled_from(["len", "lower"]), inner),
    )


TREES = st.recursive(LEAVES, grow, max_leaves=12)
SMALL = st.recursive(
    st.integers(-2, 2) | st.sampled_from(["a", "b", "web", "A"]) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=8,
)
DATAS = st.dictionaries(st.sampled_from(["a", "b"]), SMALL, max_size=2)


def written(tree: Tree, *, inside: bool = False) -> str:
    kind, *parts = tree
    match kind:
        case "constant":
            return repr(parts[0])
        case "path":
            return ("it" if inside else "data") + "".join(
                f"[{step}]" if isinstance(step, int) else f".{step}" for step in parts[0]
            )
        case "not":
            return f"(not {written(parts[0], inside=inside)})"
        case "is None" | "is not None":
            return f"({written(parts[0], inside=inside)} {kind})"
        case "len" | "lower":
            return f"{kind}({written(parts[0], inside=inside)})"
        case "any" | "all":
            return f"{kind}({written(parts[0], inside=inside)}, {written(parts[1], inside=True)})"
        case _:
            return f"({written(parts[0], inside=inside)} {kind} {written(parts[1], inside=inside)})"


def naive(tree: Tree, root: Any) -> Any:
    kind, *parts = tree
    match kind:
        case "constant":
            return parts[0]
        case "path":
            for step in parts[0]:
                if isinstance(root, dict) and isinstance(step, str):
                    root = cast(dict[str, Any], root).get(step)
                elif isinstance(root, list) and isinstance(step, int):
                    items = cast(list[Any], root)
                    root = items[step] if step < len(items) else None
                else:
                    return None
            return root
        case "and":
            return naive(parts[0], root) and naive(parts[1], root)
        case "or":
            return naive(parts[0], root) or naive(parts[1], root)
        case "any" | "all":
            found = naive(parts[0], root)
            items = list(cast(dict[str, Any], found).values()) if isinstance(found, dict) else found
            items = cast(list[Any], items) if isinstance(items, list) else []
            return (any if kind == "any" else all)(naive(parts[1], item) for item in items)
        case _:
            return _naive_operation(kind, [naive(part, root) for part in parts])


def _naive_operation(kind: str, values: list[Any]) -> Any:
    first, second = values[0], values[-1]
    match kind:
        case "not":
            return not first
        case "is None":
            return first is None
        case "is not None":
            return first is not None
        case "len":
            return len(cast(list[Any], first)) if isinstance(first, str | list | dict) else None
        case "lower":
            return first.lower() if isinstance(first, str) else None
        case "==":
            return first == second
        case "!=":
            return first != second
        case "in" | "not in":
            try:
                found = first in second
            except TypeError:
                found = False
            return found is (kind == "in")
        case _:
            try:
                return ORDERS[kind](first, second)
            except TypeError:
                return False


@given(TREES, DATAS)
@settings(deadline=None, max_examples=150)
def test_an_expression_agrees_with_a_naive_interpreter(tree: Tree, data: dict[str, Any]) -> None:
    """The same value, and nothing but InvalidExpression for one that is too large."""
    text = written(tree)
    try:
        found = value(text, data)
    except InvalidExpression:
        assert len(text) > 100
        return
    assert found == naive(tree, data)


@given(TREES, DATAS)
@settings(deadline=None, max_examples=100)
def test_any_and_all_agree_where_every_operation_is_paid_for(tree: Tree, data: dict[str, Any]) -> None:
    """Inside of a loop the operations are others; they give the same."""
    text = f"any([data], {written(tree, inside=True)})"
    try:
        found = value(text, data)
    except InvalidExpression:
        return
    assert found is bool(naive(tree, data))


WORDS = [
    "data",
    "tag",
    ".",
    "*",
    "[",
    "]",
    "(",
    ")",
    "a",
    "0",
    "1.5",
    "'x'",
    '"',
    "and",
    "or",
    "not",
    "in",
    "is",
    "None",
    "==",
    "<",
    "-",
    ",",
    "any(",
    "len(",
    "it",
    "&&",
    "\\",
    "é",
    "²",
    "\n",
]


@given(st.lists(st.sampled_from(WORDS), max_size=15).map(" ".join) | st.text(max_size=30))
@settings(deadline=None, max_examples=150)
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    """And what is read has an answer for every event."""
    try:
        read = compile_predicate(text)
    except InvalidExpression:
        return
    for data in (DATA, {}, None):
        assert isinstance(read.matches(TAG, data, 0, "", 0, None, 0), bool)


# -- Explain -------------------------------------------------------------------------------------------------------


def test_explain_says_what_each_part_gave() -> None:
    text = 'data.retcode == 0 or any(data.return, it.result) and  not glob(data.id, "db*")'
    assert [(part.depth, part.text, part.value) for part in compile_predicate(text).explain(about())] == [
        (0, text, True),
        (1, "data.retcode == 0", False),
        (2, "data.retcode", 2),
        (2, "0", 0),
        (1, 'any(data.return, it.result) and  not glob(data.id, "db*")', True),
        (2, "any(data.return, it.result)", True),
        (3, "data.return", DATA["return"]),
        (2, 'not glob(data.id, "db*")', True),
        (3, 'glob(data.id, "db*")', False),
        (4, "data.id", "web1"),
    ]


def test_explain_says_where_it_gave_up() -> None:
    data = {"a": [1] * (STEPS_MAX + 1), "b": []}
    whole, left, _, right, *_ = compile_predicate("any(data.a, true) or any(data.b)").explain(about(data))
    assert whole.value is ...
    assert left.value is ...
    assert right.value is False


def test_only_what_looks_at_data_needs_it() -> None:
    """The broker does not decode the data for the others."""
    assert not compile_predicate("tag == 'data' and age(stamp) < 5 and any([1], it == 1)").needs_data
    assert compile_predicate("tag == 'x' or has(data.x)").needs_data


# -- Limits ----------------------------------------------------------------------------------------------------------


def test_the_source_has_a_limit_in_bytes() -> None:
    compile_predicate(f'tag == "{"ü" * ((SOURCE_BYTES_MAX - 9) // 2)}"')
    compile_predicate("1".ljust(SOURCE_BYTES_MAX))
    for text in ("1".ljust(SOURCE_BYTES_MAX + 1), f'tag == "{"ü" * ((SOURCE_BYTES_MAX - 7) // 2)}"'):
        assert f"{SOURCE_BYTES_MAX} bytes" in refusal(text).reason


def test_the_parts_have_a_limit() -> None:
    most = "[" + ",".join("1" * (NODES_MAX - 1)) + "]"
    compile_predicate(most)
    error = refusal(most[:-1] + ",1]")
    assert f"at most {NODES_MAX} parts" in error.reason


@pytest.mark.parametrize(
    ("opening", "closing"), [("(", ")"), ("[", "]"), ("not ", ""), ("len(", ")"), ("any(tag, ", ")"), ("(not [", "])")]
)
def test_the_depth_has_a_limit(opening: str, closing: str) -> None:
    """Whatever the nesting is made of; far above the limit the error is the same."""
    levels = (DEPTH_MAX - 1) // (3 if opening == "(not [" else 1)
    compile_predicate(opening * levels + "1" + closing * levels)
    for deeper in (levels + 1, SOURCE_BYTES_MAX // len(opening)):
        assert f"at most {DEPTH_MAX} deep" in refusal(opening * deeper).reason


def test_a_pattern_has_a_limit() -> None:
    for function in ("glob", "regex"):
        compile_predicate(f"{function}(tag, '{'a' * PATTERN_CHARACTERS_MAX}')")
        assert f"at most {PATTERN_CHARACTERS_MAX} characters" in refusal(f"{function}(tag, '{'a' * 257}')").reason


def test_a_pattern_looks_at_the_first_characters() -> None:
    fits = {"a": "x" * (MATCHED_CHARACTERS_MAX - 1) + "y"}
    for text in (
        "glob(data.a, '*y')",
        "regex(data.a, '.*y')",
        "any([data.a], glob(it, '*y'))",
        "any([data.a], regex(it, '.*y'))",
    ):
        assert holds(text, fits)
        assert not holds(text, {"a": "x" + fits["a"]})


def test_all_patterns_of_an_expression_share_one_limit() -> None:
    """Counted for 1024 characters: two repeats without end pass seven times, three not once."""
    one = "regex(tag, '.*a.*b')"
    passes = PATTERN_STEPS_MAX // read_regex(".*a.*b").steps(MATCHED_CHARACTERS_MAX)
    assert passes == 7
    compile_predicate(" or ".join([one] * passes))
    error = refusal(" or ".join([one] * (passes + 1)))
    assert "with the patterns before it" in error.reason
    assert error.position == passes * len(one + " or ")
    assert "could take" in refusal("regex(tag, '.*a.*b.*c')").reason


# -- Work ------------------------------------------------------------------------------------------------------------

MANY = 50_000
PRODUCTS = [
    ("any(data.a, any(data.a, it == 2))", {"a": [1] * MANY}),
    ("any(data.a, all(data.a, any(data.a, it == 2)))", {"a": [1] * MANY}),
    ("any(data.a, it in data.b)", {"a": [1] * MANY, "b": [2] * MANY}),
    ("any(data.a, it in data.b)", {"a": ["x"] * MANY, "b": "y" * MANY}),
    ("any(data.a, it not in [data.b, 0] and false)", {"a": [1] * MANY, "b": [2] * MANY}),
    ("any(data.a, data.b != data.c)", {"a": [1] * MANY, "b": list(range(MANY)), "c": list(range(MANY))}),
    ("any(data.a, data.b < data.c)", {"a": [1] * MANY, "b": [[1] * MANY], "c": [[1] * MANY]}),
    ("any(data.a, data.b != data.c)", {"a": [1] * MANY, "b": {"x": "y" * MANY}, "c": {"x": ("y" * MANY)[::-1]}}),
    ("any(data.a, len(data.a.*) == 0)", {"a": [1] * MANY}),
    ("any(data.a, lower(data.b) == it)", {"a": [1] * MANY, "b": "X" * MANY}),
    ("any(data.a, regex(data.b, '.*x.*y'))", {"a": [1] * MANY, "b": "x" * 1024}),
    ("any(data.a, glob(data.b, '*xy*xy*xy*xy'))", {"a": [1] * MANY, "b": "x" * 1024}),
    ("any(data.a, regex(it, '.*x.*y'))", {"a": ["x" * 500] * 2000}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "data"), PRODUCTS)
def test_a_product_of_what_an_event_holds_is_given_up(text: str, data: dict[str, Any]) -> None:
    """Such an event passes: it is for its reader to see.  That an answer comes at all is the test."""
    assert holds(text, data)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("any(data.a, it == 2)", {"a": [None] * (STEPS_MAX // 2)}),
        ("any(data.a, it == 'y')", {"a": ["x"] * MANY}),
        ("any(data.a, it == data.b)", {"a": ["x"] * MANY, "b": 1}),
        ("any(data.a, it.b == 'x' or it.c in ['y', 'z'])", {"a": [{"b": "y", "c": "x"}] * 16_000}),
        ("any(data.a, any(it, it == 2))", {"a": [[1] * 50] * 5000}),
        ("any(data.a, regex(it, '.*fail.*error'))", {"a": ["all went well with state " * 2] * 2000}),
        ("any(data.a, glob(lower(it), '*x*'))", {"a": ["THIS IS FINE" * 10] * 5000}),
        ("data.a == data.b and not any(data.a, it == 2)", {"a": [1] * MANY, "b": [1] * MANY, "c": 1}),
    ],
)
def test_once_around_an_event_is_not_too_much(text: str, data: dict[str, Any]) -> None:
    assert holds(text, data) is (text.startswith("data.a =="))


def test_without_paying_a_product_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: with nothing to pay, nothing is given up."""
    data = {"a": [0] * (STEPS_MAX + 1)}
    text = "any(data.a)"
    assert value(text, data) is ...

    def free(environment: Environment, steps: int) -> None:
        del environment, steps

    monkeypatch.setattr(environment.Environment, "take", free)
    assert value(text, data) is False


def test_the_steps_are_paid_exactly() -> None:
    """A loop of as many items as there are steps passes, one of an item more does not."""
    assert value("any(data.a)", {"a": [0] * STEPS_MAX}) is False
    assert value("any(data.a)", {"a": [0] * (STEPS_MAX + 1)}) is ...


def test_data_nested_too_deeply_to_compare_passes() -> None:
    def nested(depth: int) -> list[Any]:
        found: list[Any] = []
        for _ in range(depth):
            found = [found]
        return found

    data = {"a": nested(100_000), "b": nested(100_000)}
    assert holds("data.a != data.b", data)
    assert holds("data.a == data.b", data)
    assert not holds("data.a.0.0.0 == 5", data)


def test_a_predicate_keeps_its_text() -> None:
    read = compile_predicate("tag == 'x'")
    assert isinstance(read, Predicate)
    assert read.text == "tag == 'x'"
