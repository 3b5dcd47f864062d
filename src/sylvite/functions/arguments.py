"""Arguments: how what is typed behind a function becomes values.  Salt's rules, to the letter.

    name=value          a keyword; the value is read as the others are
    {a: 1}, [a, b]      YAML, of which JSON is a part; maps need their braces and lists their brackets
    5, 1.5, true, ~     a number, a truth, nothing
    anything else       text

What cannot be read, or reads as something else (a date), is the text that was typed.  In a job keywords travel as one
map at the end of the list, marked by `__kwarg__: true`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, cast

KEYWORD_MARK = "__kwarg__"
DEPTH_MAX = 100

_keyword = re.compile(r"^([^\d\W][\w.-]*)=(?!=)(.*)$").match


class Arguments(NamedTuple):
    positional: list[Any]
    named: dict[str, Any]

    def packed(self) -> list[Any]:
        """Return them as a job carries them."""
        return [*self.positional, {**self.named, KEYWORD_MARK: True}] if self.named else list(self.positional)

    def shown(self) -> list[Any]:
        """Return them as the events of runners carry them: keywords as one map at the end, unmarked."""
        return [*self.positional, self.named] if self.named else list(self.positional)


def parse_arguments(words: Iterable[str], *, no_parse: Collection[str] = ()) -> Arguments:
    """Read the words of a command line.  `no_parse`: keywords whose values stay text."""
    return unpack_arguments(list(words), no_parse=no_parse)


def unpack_arguments(packed: Sequence[Any], *, no_parse: Collection[str] = ()) -> Arguments:
    """Read what a job carries: texts are read as those of a command line, other values are what they are."""
    found = Arguments([], {})
    for item in packed:
        if isinstance(item, str):
            keyword = _keyword(item)
            if keyword is None:
                found.positional.append(parse_value(item))
            else:
                name, text = keyword.groups()
                found.named[name] = text if name in no_parse else parse_value(text)
        elif isinstance(item, Mapping) and cast("Mapping[Any, Any]", item).get(KEYWORD_MARK) is True:
            pairs = cast("Mapping[Any, Any]", item).items()
            found.named.update({str(name): value for name, value in pairs if name != KEYWORD_MARK})
        else:
            found.positional.append(item)
    return found


def parse_value(text: str) -> Any:
    """Return what a text means.  Never fails: what means nothing else is the text."""
    stripped = text.strip()
    if stripped in ("", "---", "...") or any(character in text for character in "\t\r\n"):
        return text
    if "_" in text and not set(stripped) - set("0123456789_"):
        return text
    if text == "None":
        return None
    try:
        value = _load(text)
    except _Unreadable:
        return text
    if (value is None or isinstance(value, str)) and ("#" in text or text in ("|", "!")):
        return text
    if isinstance(value, dict):
        return cast("object", value) if text.startswith("{") else text
    if isinstance(value, list):
        return cast("object", value) if text.startswith("[") else text
    if isinstance(value, int) and value > 0 and len(str(value)) == 20:
        return str(value)  # A job id.
    return value if value is None or isinstance(value, (str, int, float)) else text


class _Unreadable(Exception):
    """The text is no YAML, or uses what could be a bomb."""


def _load(text: str) -> Any:
    # 27 ms: only for those who have arguments.  It has no types.
    yaml: Any = import_module("yaml")
    try:
        _check(yaml.parse(text, Loader=yaml.CSafeLoader))
        loader = _loader(yaml)(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_keys(root)
            return cast("object", loader.construct_document(root))
        finally:
            loader.dispose()
    # ValueError: what is written like a number and is none, `0x_`; TypeError: a list as a key.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _Unreadable from error


def _loader(yaml: Any) -> Any:
    """Return PyYAML's safe loader without dates: they have no form that every reader of an event understands."""
    base = yaml.CSafeLoader
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})


def _check(events: Iterable[Any]) -> None:
    # Before anything is made: libyaml recurses without a limit, and an alias makes a bomb of a few lines.
    depth = 0
    for event in events:
        kind = type(event).__name__
        if kind == "AliasEvent":
            raise _Unreadable
        if kind in ("MappingStartEvent", "SequenceStartEvent"):
            depth += 1
            if depth > DEPTH_MAX:
                raise _Unreadable
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            depth -= 1


def _check_keys(node: Any) -> None:
    """Raises _Unreadable: a map has a key twice, of which PyYAML would take the last one."""
    if node.id == "sequence":
        for item in node.value:
            _check_keys(item)
    elif node.id == "mapping":
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            if key.id == "scalar":
                if (key.tag, key.value) in seen:
                    raise _Unreadable
                seen.add((key.tag, key.value))
            _check_keys(value)
