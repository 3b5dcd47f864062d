"""Orchestration: a file of steps for runners, wheel functions and minions, as Salt's `state.orchestrate` takes it.  Pure.

    run_a_command:
      salt.function:
        - name: cmd.run
        - tgt: web1
    tell_of_it:
      salt.runner:
        - name: event.send
        - tag: my_event/success
        - require:
          - salt: run_a_command

A step begins when those that it names are done: with `require` if all of them have succeeded, with `onfail` if one has
failed.  Steps that wait for nothing keep their order.  Files are YAML; of templates `{{ pillar['name'] }}` alone is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sylvite.config import read_yaml
from sylvite.errors import InvalidInput

KINDS = ("function", "runner", "wheel")
STEPS_MAX = 1000
_REQUISITES = ("require", "onfail")
_place = re.compile(r"""\{\{\s*pillar(?:\[(?P<quote>['"])(?P<quoted>[^'"]+)(?P=quote)\]|\.(?P<plain>\w+))\s*\}\}""")


class InvalidOrchestration(InvalidInput):
    """A file of steps cannot be used as it is."""

    code = "invalid_orchestration"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")


class Step(NamedTuple):
    """`kind`: function, runner or wheel.  `options`: what stands there besides."""

    id: str
    kind: str
    name: str
    options: dict[str, Any]
    require: tuple[str, ...]
    onfail: tuple[str, ...]

    @property
    def key(self) -> str:
        """What stands for it in the return, as Salt writes it."""
        return f"salt_|-{self.id}_|-{self.name}_|-{self.kind}"


class Done(NamedTuple):
    """`result`: it has succeeded.  `comment`: in words.  `changes`: what came of it."""

    result: bool
    comment: str
    changes: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def read_steps(content: bytes, where: str, pillar: Mapping[str, Any]) -> list[Step]:
    """Return the steps in the order in which they run.

    Raises:
        InvalidSetting, InvalidOrchestration: it cannot be read, or asks for what there is not.
    """
    found = read_yaml(_filled(content, where, pillar), where)
    if not isinstance(found, dict) or not found:
        raise InvalidOrchestration(where, "must be a map of steps")
    steps = [_step(id_, said, where) for id_, said in cast("dict[str, Any]", found).items()]
    if len(steps) > STEPS_MAX:
        raise InvalidOrchestration(where, f"has more than {STEPS_MAX} steps")
    return in_order(steps, where)


def _filled(content: bytes, where: str, pillar: Mapping[str, Any]) -> bytes:
    def value_of(found: re.Match[str]) -> str:
        name = found["quoted"] or found["plain"]
        if name not in pillar:
            raise InvalidOrchestration(where, f"needs pillar[{name!r}]; give it as pillar='{{{name}: …}}'")
        return str(pillar[name])

    try:
        text = _place.sub(value_of, content.decode())
    except UnicodeDecodeError as error:
        raise InvalidOrchestration(where, "is no text") from error
    if "{{" in text or "{%" in text:
        raise InvalidOrchestration(where, "holds a template; only {{ pillar['name'] }} is read")
    return text.encode()


def _step(id_: str, said: Any, where: str) -> Step:
    if not isinstance(said, dict) or len(cast("dict[str, Any]", said)) != 1:
        raise InvalidOrchestration(where, f"{id_}: must have one function, such as salt.runner")
    ((function, listed),) = cast("dict[str, Any]", said).items()
    prefix, _, kind = function.partition(".")
    if prefix != "salt" or kind not in KINDS:
        known = ", ".join(f"salt.{each}" for each in KINDS)
        raise InvalidOrchestration(where, f"{id_}: there is no {function} here; there are {known}")
    options = _joined(id_, listed, where)
    requisites = {name: _ids(id_, name, options.pop(name, []), where) for name in _REQUISITES}
    step = Step(id_, kind, str(options.pop("name", id_)), options, requisites["require"], requisites["onfail"])
    if kind == "function" and "tgt" not in options:
        raise InvalidOrchestration(where, f"{id_}: has no tgt: on which minions?")
    return step


def _joined(id_: str, listed: Any, where: str) -> dict[str, Any]:
    """Return what a list of maps with one key each says."""
    options: dict[str, Any] = {}
    for item in cast("list[Any]", listed if isinstance(listed, list) else []):
        if not isinstance(item, dict) or len(cast("dict[str, Any]", item)) != 1:
            raise InvalidOrchestration(
                where, f"{id_}: each item must be a map with one key, such as `- name: event.send`"
            )
        ((name, value),) = cast("dict[str, Any]", item).items()
        if name in options:
            raise InvalidOrchestration(where, f"{id_}: {name} stands there twice")
        options[name] = value
    return options


def _ids(id_: str, requisite: str, listed: Any, where: str) -> tuple[str, ...]:
    """Return the ids of `[{salt: id}, ...]`."""
    found: list[str] = []
    for item in cast("list[Any]", listed if isinstance(listed, list) else [listed]):
        named = list(cast("dict[str, Any]", item).values()) if isinstance(item, dict) else [item]
        if len(named) != 1 or not isinstance(named[0], str):
            raise InvalidOrchestration(where, f"{id_}: {requisite} must be a list such as `- salt: ID`")
        found.append(named[0])
    return tuple(found)


def in_order(steps: Sequence[Step], where: str) -> list[Step]:
    """Raises InvalidOrchestration: a step waits for one that there is not, or for itself."""
    ids = {step.id for step in steps}
    for step in steps:
        for id_ in (*step.require, *step.onfail):
            if id_ not in ids:
                raise InvalidOrchestration(where, f"{step.id}: there is no step {id_!r}")
    left, ordered = list(steps), list[Step]()
    done: set[str] = set()
    while left:
        ready = next((step for step in left if done.issuperset((*step.require, *step.onfail))), None)
        if ready is None:
            raise InvalidOrchestration(where, f"these wait for each other: {', '.join(step.id for step in left)}")
        left.remove(ready)
        ordered.append(ready)
        done.add(ready.id)
    return ordered


def why_not(step: Step, done: Mapping[str, Done]) -> Done | None:
    """Return what comes of a step that is not to run, by what has come of others; None where it is."""
    failed = [id_ for id_ in step.require if not done[id_].result]
    if failed:
        return Done(False, f"One or more requisite failed: {', '.join(failed)}")
    if step.onfail and all(done[id_].result for id_ in step.onfail):
        return Done(True, "State was not run because onfail req did not change")
    return None


def holds(data: object) -> bool:
    """Say whether nothing in a return of steps has failed: no `result` is False, however deep it lies."""
    if not isinstance(data, Mapping) or not data:
        return False
    return all(_holds(each) for each in cast("Iterable[Any]", data.values()))  # pyright: ignore[reportUnknownMemberType]


def _holds(found: object) -> bool:
    if not isinstance(found, Mapping):
        return True
    pairs = cast("Mapping[str, Any]", found)
    if "result" in pairs:
        return pairs["result"] is not False
    return all(_holds(each) for each in pairs.values())
