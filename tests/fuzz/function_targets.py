"""Targets of the languages of functions: arguments as they are typed, what programs ask for, and files of steps."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sylvite.errors import InvalidInput
from sylvite.functions.arguments import parse_arguments, parse_value, unpack_arguments
from sylvite.functions.data import plain
from sylvite.functions.low import read_low
from sylvite.functions.orchestration import KINDS, read_steps
from tests.fuzz.mutate import change_text, change_tree
from tests.fuzz.target import Target

VALUES = (
    "5", "{a: 1, b: [x, {c: null}]}", '{"a": [1, 2.5, true]}', "a=b\x00n=[1, 2]\x00{x: y}", "2026-11-23", "a: b", "1_000", "a # b", "None",
    "20261123224730771814", "x=={a}", "'5'", "key=*a", "!!python/object:os.system", "&a [*a]",
)  # fmt: skip
VALUE_WORDS = (
    "{", "}", "[", "]", ": ", ", ", "=", "==", "\0", "&a ", "*a", "!!", "<<: ", "'", '"', "#", "\n", "\t", "~", "null", "0x_", "1e999", "9" * 400,
    "2026-13-45", "[" * 200, "{a: " * 120, "_", "-", "|", ">", "%", "é", "\ud800", "? ", "...", "---", "__kwarg__: true",
)  # fmt: skip
LOWS: Sequence[dict[str, Any]] = (
    {"fun": "test.arg", "arg": ["x", "n=1", {"__kwarg__": True, "a": 1}], "kwarg": {"b": [1]}, "client": "runner", "token": "t"},
    {"fun": "key.accept", "match": "web*", "__user__": "alice", "__jid__": "20261123224727940211"},
    {"fun": "test.arg", "arg": "5", "username": "u", "password": "p", "eauth": "pam", "timeout": 5},
)  # fmt: skip
STEPS = (
    """
a: {salt.runner: [{name: event.send}, {tag: t}, {data: {n: "{{ pillar['n'] }}"}}]}
b:
  salt.function:
    - name: test.ping
    - tgt: '*'
    - arg: [1]
    - require:
      - salt: a
c: {salt.wheel: [{name: key.list_all}, {onfail: [{salt: b}]}]}
""",
    "a: {salt.runner: [{name: x}, {require: [{salt: b}]}]}\nb: {salt.runner: [{require: [a]}]}\n",
    "{}", "a: {salt.state: []}\n", "a: {salt.runner: []}\n" * 2,
)  # fmt: skip
STEP_WORDS = (
    "\n", "  ", "- ", ": ", "{", "}", "[", "]", "salt.", "runner", "function", "wheel", "state", "require", "onfail", "name", "tgt", "a", "b", "c",
    "{{ pillar.n }}", "{{ pillar['n'] }}", "{{", "}}", "{%", "&a ", "*a", "!!x ", "null", "5", "'", '"', "#", "\t", "\0", "é", "|\n", "a: {salt.runner: []}\n",
)  # fmt: skip


def run_arguments(raw: bytes) -> None:
    """Whatever is typed is something that an event can carry, and is read again as the same where a job has carried it."""
    words = raw.decode("utf-8", "replace").split("\0")
    found = parse_arguments(words)
    carried = unpack_arguments([value for value in found.packed() if not isinstance(value, str)])
    assert repr(carried.named) == repr(found.named)  # By repr: a NaN is not the same as itself.
    assert repr(carried.positional) == repr([value for value in found.positional if not isinstance(value, str)])
    for value in (*found.positional, *found.named.values(), *map(parse_value, words)):
        plain(value)


def run_low(raw: bytes) -> None:
    """What a program asks for has a name and arguments, or is refused; credentials are no arguments."""
    try:
        said = msgspec.msgpack.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    found = read_low(said)
    assert found.name
    flat = {key for key in found.arguments.named if key in said and key not in (said.get("kwarg") or {})}
    assert not flat & {"token", "password", "eauth", "client", "fun", "arg"} or said.get("arg")


def run_steps(raw: bytes) -> None:
    """A file that is taken has steps that all can run, each behind those that it waits for."""
    seen: set[str] = set()
    for step in read_steps(raw, "steps", {"n": 1, "text": "a: b"}):
        assert step.kind in KINDS
        assert seen.issuperset((*step.require, *step.onfail))
        seen.add(step.id)
    assert seen


def _by_words(words: Sequence[str]) -> Any:
    def change(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
        texts = [other.decode("utf-8", "replace") for other in others[:5]]
        return change_text(rng, raw.decode("utf-8", "replace"), words, texts).encode("utf-8", "replace")

    return change


def _change_low(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    del others
    return change_tree(rng, raw)


def _numbered(seeds: Sequence[bytes]) -> Any:
    def named() -> Mapping[str, bytes]:
        return {f"{number:02d}": seed for number, seed in enumerate(seeds)}

    return named


TARGETS: dict[str, Target] = {
    "arguments": Target(run_arguments, (), _numbered([each.encode() for each in VALUES]), _by_words(VALUE_WORDS), 4),
    "lows": Target(
        run_low, (InvalidInput,), _numbered([msgspec.msgpack.encode(each) for each in LOWS]), _change_low, 2
    ),
    "steps": Target(run_steps, (InvalidInput,), _numbered([each.encode() for each in STEPS]), _by_words(STEP_WORDS), 8),
}
