"""Values: data as people type it, JSON or YAML, and `key=value` arguments as Salt reads them.

YAML is 1.1, as Salt's, with these exceptions, which are Salt's as well: text with a tab or a line break stays text, so
do digits with `_`; maps must begin with `{` and lists with `[`; `#` never begins a comment; `None` is null; a job id
(20 digits) stays text; so does a date. What needs no YAML parser is read without one: importing it takes longer than all
the rest of `sylvite publish`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from sylvite.errors import InvalidData

DEPTH_MAX = 200

_assignment = re.compile(r"([^\d\W][\w.-]*)=(?!=)(.*)", re.DOTALL).fullmatch
_job_id = re.compile(r"\d{20}").fullmatch

# YAML 1.1's plain scalars, as PyYAML reads them.
_TRUE = frozenset(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_NULL = frozenset(("~", "null", "Null", "NULL", "None"))
_integer = re.compile(
    r"[-+]?(?:0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|(?:0|[1-9][0-9_]*)|[1-9][0-9_]*(?::[0-5]?[0-9])+)", re.ASCII
).fullmatch
_float = re.compile(
    r"[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    re.ASCII,
).fullmatch
_NO_PLAIN = frozenset("*%@`|>,]}")
_NEEDS_YAML = frozenset("{[\"'&!")


def parse_assignment(text: str) -> tuple[str, Any] | None:
    """Return name and value of `name=value`, or None where `text` is something else."""
    found = _assignment(text)
    return (found[1], parse_value(found[2])) if found else None


def parse_value(text: str) -> Any:
    """Return what `text` means as a value.  Never fails: what means nothing else is text."""
    if not text.strip() or any(character in text for character in "\t\r\n"):
        return text
    stripped = text.strip(" ")
    if stripped[0] in _NEEDS_YAML or stripped.startswith("---"):
        return _flow(text, stripped)
    if stripped in _TRUE:
        return True
    if stripped in _FALSE:
        return False
    if stripped in _NULL:
        return None
    if "_" in stripped and not set(stripped) - set("0123456789_"):
        return text
    if _integer(stripped):
        return _read_integer(stripped, text)
    if _float(stripped):
        return _read_float(stripped, text)
    return text if stripped[0] in _NO_PLAIN or _is_special(text, stripped) else stripped


def _is_special(text: str, stripped: str) -> bool:
    """Say whether YAML would see more than a plain text, which makes Salt take it as it is."""
    if "#" in text or ": " in text or stripped.endswith(":"):
        return True
    return stripped in ("=", "<<", "-", "?") or stripped.startswith(("- ", "? "))


def _read_integer(stripped: str, text: str) -> Any:
    sign = -1 if stripped[0] == "-" else 1
    digits = stripped.lstrip("+-").replace("_", "")
    try:
        if digits.startswith(("0b", "0x")):
            value = int(digits, 0)
        elif ":" in digits:
            value = 0
            for part in digits.split(":"):
                value = value * 60 + int(part)
        else:
            value = int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10)
    except ValueError:
        return text  # Such as `0x_`.
    if _job_id(str(value)):
        return str(value)
    # MessagePack has 64 bits; Salt makes text of what is bigger.
    return sign * value if -(2**63) <= sign * value < 2**64 else text


def _read_float(stripped: str, text: str) -> Any:
    sign = -1.0 if stripped[0] == "-" else 1.0
    digits = stripped.lstrip("+-").replace("_", "").lower()
    if digits == ".inf":
        return sign * float("inf")
    if digits == ".nan":
        return float("nan")
    if ":" in digits:
        value = 0.0
        for part in digits.split(":"):
            value = value * 60 + float(part)
        return sign * value
    try:
        return sign * float(digits)
    except ValueError:
        return text


def _flow(text: str, stripped: str) -> Any:
    try:
        return _with_fitting_integers(msgspec.json.decode(stripped), stripped)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass  # Not JSON: YAML then.
    try:
        value = _load_yaml(text)
    except InvalidData:
        return text
    if (value is None or isinstance(value, str)) and ("#" in text or text == "!"):
        return text
    if (isinstance(value, dict) and stripped[0] != "{") or (isinstance(value, list) and stripped[0] != "["):
        return text
    return _with_fitting_integers(value, text)


_long_number = re.compile(r"[0-9_]{19}").search


def _with_fitting_integers(value: Any, text: str) -> Any:
    """Make text of the integers that have no form in MessagePack, as Salt does."""
    return _fit(value) if _long_number(text) else value


def _fit(value: Any) -> Any:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, list):
        return [_fit(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _fit(inner) for key, inner in cast("dict[Any, Any]", value).items()}
    return value


def _load_yaml(text: str | bytes) -> Any:
    """Return the YAML document, dates in it as text.

    Raises:
        InvalidData: it is none; the message is one line.
    """
    import yaml as yaml_package

    yaml: Any = yaml_package  # it has no types
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    # Dates have no form in MessagePack that every reader understands: they stay what was typed.
    resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
        for first, known in base.yaml_implicit_resolvers.items()
    }
    # PyYAML's safe loader, with one resolver less.
    loader: Any = type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})
    try:
        _check_depth(yaml.parse(text, Loader=base))
        document = loader(text)
        try:
            return cast("object", document.get_single_data())
        finally:
            document.dispose()
    # ValueError: PyYAML lets through what int() and its like say, for `0o9` or `0x_`.
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidData(f"neither JSON nor YAML: {' '.join(str(error).split())}") from error


def _check_depth(events: Iterable[Any]) -> None:
    """Raises InvalidData: nested deeper than DEPTH_MAX."""
    # libyaml's loader recurses in C without a limit: some 20,000 brackets end the process (PyYAML 6.0.3).
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MAX:
                raise InvalidData(f"neither JSON nor YAML: nested deeper than {DEPTH_MAX}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def parse_data(text: str | bytes, where: str) -> dict[str, Any]:
    """Return the map that `text` holds, JSON or YAML; `where` names it in errors.

    Raises:
        InvalidData: it holds none.
    """
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        try:
            found = _load_yaml(text)
        except InvalidData as error:
            raise InvalidData(f"{where} is {error}") from error
    if not isinstance(found, dict):
        shown = _KINDS.get(type(cast("object", found)), type(cast("object", found)).__name__)
        raise InvalidData(
            f"{where} must be a map, such as '{{ok: true}}', and is {shown}; for one value write name=value"
        )
    as_text = text if isinstance(text, str) else text.decode("utf-8", "replace")
    return cast("dict[str, Any]", _with_fitting_integers(found, as_text))


_KINDS: dict[type, str] = {
    str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", type(None): "nothing"
}  # fmt: skip


def parse_line(line: bytes, default: str | None) -> tuple[str, dict[str, Any]]:
    """Return tag and data of one line of input; `default` is the tag of lines that name none.

    Without `default`: `{"tag": …, "data": {…}}` or `tag<TAB>{…}`. With it the line is the data: a map in JSON, or
    text, which becomes `{"line": text}`.

    Raises:
        InvalidData: neither.
    """
    if default is not None:
        return default, _line_data(line)
    if line.lstrip()[:1] == b"{":
        try:
            event = _event_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidData(f'not {{"tag": …, "data": {{…}}}}: {error}') from error
        return event.tag, event.data
    tag, tab, rest = line.partition(b"\t")
    if not tab:
        raise InvalidData('neither {"tag": …, "data": {…}} nor tag<TAB>{…}; or give a TAG for all lines')
    try:
        return tag.decode(), _map_decoder.decode(rest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidData(f"behind the tab there must be a map in JSON: {error}") from error


def _line_data(line: bytes) -> dict[str, Any]:
    if line.lstrip()[:1] == b"{":
        try:
            return _map_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass  # Some programs begin their lines of text with a brace.
    return {"line": line.decode("utf-8", "replace")}


class _LineEvent(msgspec.Struct):
    tag: str
    data: dict[str, Any] = {}


_event_decoder = msgspec.json.Decoder(_LineEvent)
_map_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
