"""Targets of the languages: filters, regular expressions, predicates, and the configuration."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sylvite.auth.policy import Policy
from sylvite.broker.settings import BrokerSettings
from sylvite.config import convert, read_yaml
from sylvite.core.environment import Environment
from sylvite.core.pattern import Filter, read_regex
from sylvite.core.predicate import compile_predicate
from sylvite.core.tag import TAG_BYTES_MAX, check_tag
from sylvite.errors import InvalidExpression, InvalidInput, InvalidPattern, InvalidTag
from tests.fuzz.mutate import change_text, change_tree
from tests.fuzz.target import Mutate, Target

TAGS = ("a", "a/b/c", "salt/job/20261123/ret/web1", "a" * TAG_BYTES_MAX, "ab" * 128, "é" * 128, "xa" * 120 + "!")
EVENTS: tuple[object, ...] = (
    {}, None, {"id": "web1", "retcode": 1, "return": {f"s{n}": {"result": n % 2 == 0} for n in range(20)}},
    {"list": list(range(500)), "deep": [[[[[[1]]]]]], "text": "a" * 3000, "a b": 1, "n": float("nan"), "big": 2**64 - 1},
    {"id": ["web1", {"x": None}], "return": "no", "list": {}, "text": b"bytes"},
)  # fmt: skip

EXPRESSIONS = (
    "data.retcode != 0", 'tag == "a" and not data.x', 'data["a b"] == 1 or data.list[0] in [1, 2]', 'glob(data.id, "web*")',
    'regex(data.id, "web[0-9]+") and len(data.text) > 5', "any(data.return.*, not it.result)", "all(data.list, it > 3)",
    'lower(sender) in ["a", "b"]', "has(data.return) and age(stamp) < 60", "data.x is not None", "data.return.*.result",
    "-1.5e3 < offset and cause is None", '"\\d\\n" in data.text', "any(data.return.*, any(data.list, it == 3))",
)  # fmt: skip
EXPRESSION_WORDS = (
    " and ", " or ", " not ", "==", "!=", "<", "<=", " in ", " not in ", " is None", " is not ", "(", ")", "[", "]", ",", ".", ".*",
    "data", "tag", "it", "any(", "all(", "regex(", "glob(", "len(", "lower(", "has(", "age(", '"', "'", "\\", '"(a+)+$"', "1e999",
    "9" * 400, "0.1", "-", "data.list", "data.return.*", '"x"', "True", "null", "\u0661", "it.it", "[[[[", "not not ", "((((",
)  # fmt: skip
REGEXES = (
    "salt/job/[0-9]+/ret/.*", "(a|b)*c", "a{2,5}", "^x$", r"\w+/\d+", "(?i)abc", "(?P<n>a)b", "a*?b+?", "[^/]+/[a-z]", "(?>a+)b", "a++",
)  # fmt: skip
REGEX_WORDS = (
    "(", ")", "*", "+", "?", "{", "}", "{9,}", "{2,999}", "|", "[", "]", "[^a]", ".", ".*", "(a+)+", "(a|a)*", "(.*)*", "\\1", "(?=a)", "(?<!a)",
    "(?:", "(?i)", "(?x)", "(?>", "\\b", "\\w", "\\Z", "$", "^", "a", "b", "/", "(?(1)a|b)", "*+", "[a-", "[[:alpha:]]", "\\x", "\\N{", "{65536}",
)  # fmt: skip
CONFIGURATIONS = (
    "log:\n  segment_bytes: 64MiB\n  keep_s: 30d\n",
    'policy:\n  rules:\n    - users: [1001, 0]\n      publish: [web/]\n      subscribe: ["*", "salt/job/*"]\n',
    'policy:\n  levels:\n    - tags: [metrics/]\n      level: written\n      at_least: none\n  level: synced\n',
    "limits:\n  connections: 10\n  event_bytes: 1MiB\n", "{}", "",
)  # fmt: skip
CONFIGURATION_WORDS = (
    "\n", "  ", ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!python/object:x ", "<<: ", "null", "~", "1e999", "0x_", "2026-13-45", "'", '"',
    "|\n", ">\n", "#", "%YAML 1.1\n", "---\n", "...\n", "? ", "9" * 500, "-1", "true", "64MiB", "30d", "level", "users", "\t", "publish", "ä", "\0",
)  # fmt: skip


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def run_filter(raw: bytes) -> None:
    """A filter says yes or no to every tag, and its beginnings say the same."""
    try:
        wanted = msgspec.msgpack.decode(raw, type=Filter)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # The message as a whole would be refused: that is the target "messages".
    matches = wanted.matcher()
    prefixes = wanted.prefixes()
    for tag in TAGS:
        found = matches(tag)
        assert isinstance(found, bool)
        assert prefixes is None or found == tag.startswith(prefixes)


def run_regex(raw: bytes) -> None:
    """What is taken for a regular expression ends on every tag, within its time."""
    found = read_regex(_text(raw)).compiled
    for tag in TAGS:
        found.match(tag)


def run_predicate(raw: bytes) -> None:
    """What is taken for a condition holds or does not, on any event; and `explain` says the same."""
    predicate = compile_predicate(_text(raw))
    for data in EVENTS:
        holds = predicate.matches("a/b", data, 10**18, "uid:0", 5, None, 2 * 10**18)
        assert isinstance(holds, bool)
        explained = predicate.explain(Environment("a/b", data, 10**18, "uid:0", 5, None, 2 * 10**18))
        assert explained[0].value is ... or bool(explained[0].value) == holds


def run_tag(raw: bytes) -> None:
    """A tag that is taken is one line of printable text of at most 256 bytes."""
    tag = check_tag(raw.decode("utf-8", "surrogateescape"))
    assert 0 < len(tag.encode()) <= TAG_BYTES_MAX
    assert len(tag.splitlines()) == 1


def run_configuration(raw: bytes) -> None:
    """A configuration is read whole, or refused with what is wrong in it."""
    found = read_yaml(raw, "broker.yaml")
    Policy(convert({} if found is None else found, BrokerSettings, "broker.yaml").policy)


def _by_words(words: Sequence[str]) -> Mutate:
    def change(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
        return change_text(rng, _text(raw), words, [_text(other) for other in others[:5]]).encode("utf-8", "replace")

    return change


def _change_expression(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Change it by words; or put conditions together, so that more of them can be read."""
    if rng.random() < 0.5:
        return _by_words(EXPRESSION_WORDS)(rng, raw, others)
    first, second = (rng.choice(EXPRESSIONS) for _ in range(2))
    frame = rng.choice(
        (
            "({}) and ({})", "({}) or not {}", "any(data.list, {}) or {}", "all(data.return.*, {} and {})", "{} in [{}]", "{} == {}",
            "not not not ({} or {})", "any(data.return.*, any(data.list, {} or {}))", "len({}) > len({})", "lower({}) != {}",
        )
    )  # fmt: skip
    text = frame.format(first, second)
    return (text if rng.random() < 0.7 else change_text(rng, text, EXPRESSION_WORDS)).encode("utf-8", "replace")


def _change_filter(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Add patterns to one of its fields, or change it as any MessagePack."""
    if rng.random() < 0.3:
        return change_tree(rng, raw)
    fields = list(msgspec.msgpack.decode(raw, type=list[Any]))
    at = rng.randrange(7)
    texts = (*TAGS, *REGEXES, *REGEX_WORDS, "*a*", "[!", "a/", "?" * 50, "*a" * 30)
    patterns = [change_text(rng, rng.choice(texts), REGEX_WORDS) for _ in range(rng.choice((1, 2, 5, 100, 300)))]
    fields[at] = [text.encode("utf-8", "replace").decode() for text in patterns]
    return msgspec.msgpack.encode(fields)


def _texts(texts: Sequence[str]) -> Callable[[], Mapping[str, bytes]]:
    return lambda: {f"{number:02d}": text.encode() for number, text in enumerate(texts)}


def _filters() -> Mapping[str, bytes]:
    found = {
        "all": Filter(), "prefix": Filter(startswith=("a/", "salt/")), "where": Filter(where="data.n > 1"),
        "every": Filter(("a",), ("b",), ("c",), ("a.*b",), ("a*[b]?",), ("f",), ("g/*",), None), "globs": Filter(fnmatch=("*a*a*", "[!a]*")),
    }  # fmt: skip
    return {name: msgspec.msgpack.encode(one) for name, one in found.items()}


TARGETS: dict[str, Target] = {
    "filters": Target(run_filter, (InvalidPattern,), _filters, _change_filter, 20),
    "regexes": Target(run_regex, (InvalidPattern,), _texts(REGEXES), _by_words(REGEX_WORDS), 20),
    "predicates": Target(run_predicate, (InvalidExpression,), _texts(EXPRESSIONS), _change_expression, 5),
    "tags": Target(run_tag, (InvalidTag,), _texts(TAGS), _by_words(("/", "..", "\n", "\x1b", "\u202e", "\u2028", "é", "a" * 200))),
    "configurations": Target(run_configuration, (InvalidInput,), _texts(CONFIGURATIONS), _by_words(CONFIGURATION_WORDS), 8),
}  # fmt: skip
