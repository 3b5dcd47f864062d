"""Events of a real Salt, and how ours are compared with them: the tag, the names of the fields, and their types."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parent.parent / "golden" / "salt_events.jsonl"
ID = "minion-0042"
FREE = ("return",)
"""Fields with whatever a function has returned."""
CONSTANT = ("act", "cmd", "pretag", "result", "ret", "tgt_type")
"""Fields whose value is compared too, where all events of the recording have the same."""
_stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00").fullmatch


class Shape(NamedTuple):
    """`always`: names that each event has.  `types`: of each name that some has, the types of its values."""

    always: frozenset[str]
    types: Mapping[str, frozenset[type]]
    constant: Mapping[str, Any]


def shape_of(samples: Iterable[Mapping[str, Any]]) -> Shape:
    found = list(samples)
    assert found, "there is no such event in the recording"
    names = {name for sample in found for name in sample}
    types = {name: frozenset(_types(sample[name] for sample in found if name in sample)) for name in names}
    constant = {
        name: found[0][name]
        for name in CONSTANT
        if all(name in sample and sample[name] == found[0][name] for sample in found)
    }
    return Shape(frozenset(names.intersection(*found)), types, constant)


def _types(values: Iterable[object]) -> Iterator[type]:
    for value in values:
        yield type(value)


def pattern_of(tag: str, id_: str) -> re.Pattern[str]:
    """Return the pattern of a tag in which `ID`, `JID`, `STAMP` and `<n>` stand for what they say."""
    text = re.escape(tag).replace("JID", r"\d{20}").replace("ID", id_).replace("<n>", r"\d+")
    return re.compile(text.replace("STAMP", r"[\d:.T-]+"))


def recorded(tag: str, **values: Any) -> Shape:
    """Return the shape of the recorded events whose tag fits (`pattern_of`), with these values.

    `has`, `lacks`: a name that they have, or have not.
    """
    has, lacks = values.pop("has", None), values.pop("lacks", None)
    pattern = pattern_of(tag, ID)
    events = [json.loads(line) for line in FILE.read_text().splitlines()]
    return shape_of(
        event["data"]
        for event in events
        if pattern.fullmatch(event["tag"])
        and all(event["data"].get(name) == value for name, value in values.items())
        and (has is None or has in event["data"])
        and (lacks is None or lacks not in event["data"])
    )


def told(**types: type | tuple[type, ...]) -> Shape:
    """Return a shape of which the recording has no event: as spec/salt-events.md has it.  A name with `_` behind may be absent."""
    named = {
        name.rstrip("_"): frozenset(kinds if isinstance(kinds, tuple) else (kinds,)) for name, kinds in types.items()
    }
    always = frozenset(name for name in types if not name.endswith("_"))
    return Shape(always | {"_stamp"}, {**named, "_stamp": frozenset((str,))}, {})


def differences(data: Mapping[str, Any], shape: Shape) -> list[str]:
    """Return in what an event is not as the shape has it."""
    found = [f"{name} is missing" for name in sorted(shape.always - data.keys())]
    for name, value in data.items():
        if name not in shape.types:
            found.append(f"{name} is one too many")
        elif name not in FREE and type(value) not in shape.types[name]:
            expected = ", ".join(sorted(kind.__name__ for kind in shape.types[name]))
            found.append(f"{name} is {value!r}, and should be {expected}")
        elif name in shape.constant and value != shape.constant[name]:
            found.append(f"{name} is {value!r}, and should be {shape.constant[name]!r}")
    if not _stamp(str(data.get("_stamp", ""))):
        found.append(f"_stamp is {data.get('_stamp')!r}")
    return found
