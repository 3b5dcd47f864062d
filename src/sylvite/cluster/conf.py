"""The settings of a NATS server, as its file says them.  Source: the grammar of nats-server's own parser (conf/lex.go).

name: value        also `name = value` and `name value`; ends at a line's end, a comma or a semicolon
{ ... }  [ ... ]   maps and lists; a map follows its name without anything between, if one likes
# or //            comments
$NAME              what NAME is in the file, else in the environment
include 'file'     what stands there, in the place of the line
8MB, true, yes     numbers with a unit, truths; all else is text
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sylvite.errors import InvalidSetting

FILE_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
_COMMON = r"""(?P<space>[ \t\r]+|\#[^\n]*|//[^\n]*)
      |(?P<end>[\n,;])
      |(?P<mark>[{}\[\]])
      |(?P<block>\(\s*\n(?:.*\n)*?\s*\)[ \t]*(?=\n|$))
      |"(?P<double>(?:[^"\\\n]|\\.)*)"
      |'(?P<single>[^'\n]*)'
      |"""
_find_name = re.compile(_COMMON + r"""(?P<assign>[:=])|(?P<bare>[^\s,;{}\[\]:="'#]+)""", re.VERBOSE).match
_find_value = re.compile(_COMMON + r"""(?P<bare>[^\s,;{}\[\]"'#][^\s,;{}\[\]"']*)""", re.VERBOSE).match
"""A value may hold what ends a name: HOST:PORT."""
_number = re.compile(r"-?\d+(?:\.\d+)?").fullmatch
_size = re.compile(r"(-?\d+)(k|m|g|t|p|e)(i?b)?", re.IGNORECASE).fullmatch
_escapes = {"t": "\t", "n": "\n", "r": "\r", '"': '"', "\\": "\\"}
_units = {unit: position for position, unit in enumerate("kmgtpe", start=1)}
_truths = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def read_conf(path: Path) -> dict[str, Any]:
    """Return what a file says, with those that it includes; names are in small letters.

    Raises:
        InvalidSetting: it cannot be read, or is not as nats-server wants it; the message names the line.
    """
    return _read(path, dict(os.environ), 0)


def _read(path: Path, environment: Mapping[str, str], depth: int) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidSetting("config", str(path), f"cannot be read: {error.strerror}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise InvalidSetting("config", str(path), f"has more than {FILE_BYTES_MAX} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidSetting("config", str(path), "is no text") from error
    if depth > DEPTH_MAX:
        raise InvalidSetting("config", str(path), f"is included more than {DEPTH_MAX} deep")

    def include(name: str) -> dict[str, Any]:
        return _read(path.parent / name, environment, depth + 1)

    return _Parser(text, str(path), environment, include).map("", 0)


class _Parser:
    def __init__(
        self, text: str, where: str, environment: Mapping[str, str], include: Callable[[str], dict[str, Any]]
    ) -> None:
        self._text = text
        self._position = 0
        self._line: int = 1
        self._where = where
        self._environment = environment
        self._include = include
        self._names: dict[str, Any] = {}
        """What has been said so far, for `$NAME`."""

    def map(self, until: str, depth: int) -> dict[str, Any]:
        """Return what stands up to the closing mark, or the end of the file."""
        found: dict[str, Any] = {}
        self._check_depth(depth)
        while True:
            token = self._take(_find_name, skip_ends=True)
            if token.text == until and token.kind in ("mark", "over"):
                return found
            if token.kind in ("mark", "over", "assign"):
                raise self._wrong(token, "a name is missing")
            if token.kind == "bare" and token.text == "include":
                found.update(self._include(self._take(_find_value).text))
                continue
            name = token.text.lower()
            before = self._position, self._line
            if self._take(_find_name).kind != "assign":
                self._position, self._line = before
            found[name] = self._names[name] = self._value(self._take(_find_value), depth)

    def _value(self, token: _Token, depth: int) -> Any:
        if token.text == "{" and token.kind == "mark":
            return self.map("}", depth + 1)
        if token.text == "[" and token.kind == "mark":
            return self._list(depth + 1)
        if token.kind in ("mark", "end", "over", "assign"):
            raise self._wrong(token, "a value is missing")
        return self._scalar(token) if token.kind == "bare" else token.text

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._check_depth(depth)
        while True:
            token = self._take(_find_value, skip_ends=True)
            if token.text == "]" and token.kind == "mark":
                return found
            found.append(self._value(token, depth))

    def _scalar(self, token: _Token) -> Any:
        text = token.text
        if text.startswith("$"):
            name = text[1:]
            if name.lower() in self._names:
                return self._names[name.lower()]
            if name in self._environment:
                return self._scalar(token._replace(text=self._environment[name].removeprefix("$")))
            raise self._wrong(token, f"{text} is said nowhere")
        if text.lower() in _truths:
            return _truths[text.lower()]
        if _number(text):
            return float(text) if "." in text else int(text)
        if sized := _size(text):
            base = 1024 if sized[3] else 1000
            return int(sized[1]) * base ** _units[sized[2].lower()]
        return text

    def _take(self, find: Callable[[str, int], re.Match[str] | None], *, skip_ends: bool = False) -> _Token:
        while self._position < len(self._text):
            match = find(self._text, self._position)
            if match is None:
                shown = self._text[self._position : self._position + 20].split("\n")[0]
                raise self._wrong(_Token("", "", self._line), f"{shown!r} cannot be read")
            kind, line = match.lastgroup or "", self._line
            self._line += match[0].count("\n")
            self._position = match.end()
            if kind != "space" and not (skip_ends and kind == "end"):
                return _Token(kind, _unescaped(kind, match[kind]), line)
        return _Token("over", "", self._line)

    def _check_depth(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise self._wrong(_Token("", "", self._line), f"it is nested more than {DEPTH_MAX} deep")

    def _wrong(self, token: _Token, reason: str) -> InvalidSetting:
        return InvalidSetting("config", f"{self._where}:{token.line}", f"is not as nats-server wants it: {reason}")


def _unescaped(kind: str, text: str) -> str:
    if kind == "double":
        return re.sub(r"\\(.)", lambda found: _escapes.get(found[1], found[0]), text)
    return text.strip("()").strip() if kind == "block" else text
