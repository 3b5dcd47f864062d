"""Reading options: the main file, then those that it includes; of one option the last file that has it counts.

    /etc/sylvite/master                 or $SYLVITE_MASTER_CONFIG, or `master` below $SYLVITE_CONFIG_DIR
    /etc/sylvite/master.d/*.conf        default_include, in the order of their names
    what `include` names                in its order; each may include others

What is wrong is collected, so that all of it can be shown at once; `Loaded.raise_first` stops a daemon at the first.
What is only strange is a notice: a name that nobody knows, or an option of Salt that has no meaning here.
"""

from __future__ import annotations

import difflib
import glob
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args

import msgspec

from sylvite.config import convert, read_file, read_yaml
from sylvite.core.duration import parse_duration_s
from sylvite.daemons.options.computing import compute
from sylvite.daemons.options.forms import About, Form
from sylvite.daemons.options.master import MasterOptions
from sylvite.daemons.options.minion import MinionOptions
from sylvite.daemons.options.node import NodeOptions, fields_of_kind
from sylvite.daemons.options.secrets import hide
from sylvite.daemons.options.unused import is_for_others, reason_unused
from sylvite.daemons.precautions import check_file
from sylvite.errors import InvalidSetting

FOLDER = Path("/etc/sylvite")
FILES_MAX = 256
INCLUDES_DEEP_MAX = 8

Options = TypeVar("Options", bound=NodeOptions)


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Said(NamedTuple):
    """What a file says of an option."""

    place: Place
    value: Any


class Wrong(NamedTuple):
    """What keeps a daemon from starting.  `place`: None where it is in no line of a file."""

    place: Place | None
    name: str
    error: InvalidSetting

    def __str__(self) -> str:
        return str(self.error)


class Notice(NamedTuple):
    """Something strange, that stops nothing."""

    place: Place
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.name}: {self.text}"


class Loaded(msgspec.Struct, Generic[Options], frozen=True):
    """Options, and where they come from.

    `main`: the main file, whether it is there or not.  `lines`: of each file that was read, the line of each key by its
    path.  `said`: of each option that files name, all they say, the last one counts.  `computed`: names of options that follow
    from others.  `others`: what files say under names that are no options.
    """

    options: Options
    main: Path
    lines: dict[str, dict[str, int]]
    said: dict[str, tuple[Said, ...]]
    computed: tuple[str, ...]
    others: dict[str, Any]
    errors: tuple[Wrong, ...]
    notices: tuple[Notice, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that were read, in this order."""
        return tuple(self.lines)

    def raise_first(self) -> Loaded[Options]:
        """Return this.  Raises InvalidSetting: there is an error."""
        if self.errors:
            raise self.errors[0].error
        return self


def load_node(node: Literal["master", "minion"], path: Path | None = None) -> Loaded[Any]:
    """Return the options of one or the other.  `path`: a file, or the folder of the main file, which need not be there."""
    if path is not None and path.is_dir():
        return load(MasterOptions if node == "master" else MinionOptions, path / node, required=False)
    return load_master(path) if node == "master" else load_minion(path)


def load_master(path: Path | None = None) -> Loaded[MasterOptions]:
    """Return the options of the master on this machine, or of a file."""
    return _load_node(MasterOptions, "master", path)


def load_minion(path: Path | None = None) -> Loaded[MinionOptions]:
    """Return the options of the minion on this machine, or of a file."""
    return _load_node(MinionOptions, "minion", path)


def _load_node(kind: type[Options], node: str, path: Path | None) -> Loaded[Options]:
    usual = usual_file(node)
    # A file that somebody has named has to be there.
    named = path is not None or f"SYLVITE_{node.upper()}_CONFIG" in os.environ
    return load(kind, path or usual, required=named)


def usual_file(node: str) -> Path:
    """Return where the main file of a master or minion is, if nobody says otherwise."""
    if named := os.environ.get(f"SYLVITE_{node.upper()}_CONFIG"):
        return Path(named)
    return Path(os.environ.get("SYLVITE_CONFIG_DIR") or FOLDER) / node


def is_there(path: Path) -> bool:
    """Say whether there is a file; yes where that cannot be told, so that reading it says why."""
    try:
        return path.exists()
    except OSError:
        return True


def load(kind: type[Options], path: Path, *, required: bool) -> Loaded[Options]:
    """Return what a main file says, and those that it includes.  `required`: it is an error if it is not there."""
    files = _Files(kind, path)
    if required or is_there(path):
        files.read(path, 0)
    values, errors = _read_values(kind, files)
    options, computed, wrong = compute(kind(**values), path.parent)
    return Loaded(
        options,
        path,
        files.lines,
        {name: tuple(said) for name, said in files.said.items()},
        computed,
        {name: said[-1].value for name, said in files.others.items()},
        (*files.errors, *errors, *(_placed(error, files) for error in wrong)),
        (*files.notices, *_notices(kind, files.others)),
    )


def _placed(error: InvalidSetting, files: _Files) -> Wrong:
    """Say in which line stands what computing found to be wrong."""
    if error.name not in files.said:
        return Wrong(None, error.name, error)
    place = files.said[error.name][-1].place
    return Wrong(place, error.name, InvalidSetting(f"{place}: {error.name}", error.value, error.reason))


class _Files:
    """What a main file and those that it includes say."""

    def __init__(self, kind: type[NodeOptions], main: Path) -> None:
        self._main = main
        self._fields = {field.encode_name: field for field in fields_of_kind(kind)}
        self._names = {*self._fields, *(older for older, (newer, _) in ALIASES.items() if newer in self._fields)}
        self.lines: dict[str, dict[str, int]] = {}
        """Of each file that was read: the line of each key, by its path."""
        self.said: dict[str, list[Said]] = {}
        self.others: dict[str, list[Said]] = {}
        self.errors: list[Wrong] = []
        self.notices: list[Notice] = []

    def read(self, path: Path, depth: int) -> None:
        if str(path) in self.lines:
            return
        if len(self.lines) >= FILES_MAX:
            self._refuse("include", path, f"is one file too many; at most {FILES_MAX} are read")
            return
        lines: dict[str, int] = {}
        try:
            check_file(path, "config")
            found = read_yaml(read_file(path), str(path), lines)
        except InvalidSetting as error:
            self.errors.append(Wrong(None, error.name, error))
            return
        self.lines[str(path)] = lines
        if found is None:
            found = {}
        if not isinstance(found, dict):
            self._refuse("config", path, "must be a map of options")
            return
        content = cast("dict[str, Any]", found)
        for name, value in content.items():
            place = Place(str(path), lines[name])
            known = self.said if name in self._names else self.others
            known.setdefault(name, []).append(Said(place, value))
        self._include(path, content, lines, depth)

    def _refuse(self, name: str, path: Path | str, reason: str) -> None:
        self.errors.append(Wrong(None, name, InvalidSetting(name, str(path), reason)))

    def _include(self, path: Path, content: Mapping[str, Any], lines: Mapping[str, int], depth: int) -> None:
        usual = content.get("default_include", self._fields["default_include"].default) if path == self._main else ()
        for name, patterns in (("default_include", usual), ("include", content.get("include", ()))):
            listed = [patterns] if isinstance(patterns, str) else patterns
            if not isinstance(listed, list | tuple):
                continue  # The wrong type is told with those of the other options.
            for pattern in filter(None, cast("list[Any]", listed)):
                found = sorted(glob.glob(str(path.parent / str(pattern))))
                if not found and name == "include":
                    self.notices.append(Notice(Place(str(path), lines[name]), name, f"there is no file {pattern!r}"))
                if found and depth >= INCLUDES_DEEP_MAX:
                    self._refuse("include", found[0], f"is included more than {INCLUDES_DEEP_MAX} deep")
                    return
                for included in found:
                    self.read(Path(included), depth + 1)


def _read_keep_jobs(value: Any) -> Any:
    """Salt's older name has hours."""
    if isinstance(value, str):
        return parse_duration_s(value)
    return value * 3600 if isinstance(value, int | float) and not isinstance(value, bool) else value


ALIASES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {"keep_jobs": ("keep_jobs_seconds", _read_keep_jobs)}
"""Older names of Salt's: what they are called now, and what becomes of the value."""


def _read_values(kind: type[NodeOptions], files: _Files) -> tuple[dict[str, Any], list[Wrong]]:
    """Return what counts, and what is wrong: also where a later file says something else."""
    fields = {field.encode_name: field for field in fields_of_kind(kind)}
    values: dict[str, Any] = {}
    errors: list[Wrong] = []
    for name, found in files.said.items():
        option, older = ALIASES.get(name, (name, None))
        field = fields[option]
        for place, value in found:
            try:
                taken = read_value(field, older(value) if older is not None else value)
            except (ValueError, OverflowError) as error:
                inner, reason = _what_is_wrong(field, error)
                lines = files.lines[place.file]
                at = Place(place.file, lines.get(f"{name}.{inner}", lines.get(f"{name}{inner}", place.line)))
                errors.append(Wrong(at, name, InvalidSetting(f"{at}: {name}", hide(name, value), reason)))
            else:
                # The newer name of an option counts, wherever it stands.
                if option == name or option not in files.said:
                    values[field.name] = taken
    return values, errors


def read_value(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    """Return what an option becomes.  Raises ValueError (InvalidSetting and msgspec's are ones too)."""
    form = form_of(field)
    inner = get_args(field.type)[0]
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return convert({} if value is None else form.read(value), inner, field.encode_name)
    return msgspec.convert(form.read(value), field.type, dec_hook=_make_path)


def _make_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError("it is no path")


def _what_is_wrong(field: msgspec.structs.FieldInfo, error: Exception) -> tuple[str, str]:
    """Return where within the value, as far as that is known, and what was expected."""
    expected = f"must be {form_of(field).expected}"
    if isinstance(error, InvalidSetting):
        if error.name in ("duration", "size"):
            return "", expected  # What these would say once more.
        return error.name, f"{expected}: {error.name}: {error.reason}"
    if isinstance(error, msgspec.ValidationError):
        where = str(error).partition(" - at `$")[2].rstrip("`")
        return where, f"{expected}; {field.encode_name}{where} is not right" if where else expected
    return "", f"{expected}: {str(error).splitlines()[0]}"


def form_of(field: msgspec.structs.FieldInfo) -> Form:
    """Return how an option is written: the last form counts."""
    return [each for each in get_args(field.type)[1:] if isinstance(each, Form)][-1]


def about(field: msgspec.structs.FieldInfo) -> About:
    return next(each for each in get_args(field.type)[1:] if isinstance(each, About))


def _notices(kind: type[NodeOptions], others: Mapping[str, list[Said]]) -> list[Notice]:
    return [
        Notice(said[-1].place, name, _what_is_strange(kind, name))
        for name, said in others.items()
        if not is_for_others(name)
    ]


def _what_is_strange(kind: type[NodeOptions], name: str) -> str:
    both = {field.encode_name for other in (MasterOptions, MinionOptions) for field in fields_of_kind(other)}
    if name in both or name in ALIASES:
        return f"is an option of a {'minion' if kind is MasterOptions else 'master'}; it has no meaning here"
    reason = reason_unused(name, exactly=True)
    if reason is None:
        names = [field.encode_name for field in fields_of_kind(kind)]
        if close := difflib.get_close_matches(name, names, 1, _ALIKE):
            return f"is not an option; did you mean {close[0]!r}?"
        reason = reason_unused(name)
    return "is not an option" if reason is None else f"has no meaning here: {reason}"


_ALIKE = 0.8
