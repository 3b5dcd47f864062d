"""Module: one file with functions, run once, and the names that its functions have."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from types import CodeType, ModuleType
from typing import Any, NamedTuple, cast

from sylvite.functions.errors import ModuleNotLoaded
from sylvite.functions.sources import Source, read_source

Function = Callable[..., Any]


class Module(NamedTuple):
    """`name`: what stands before the dot; the file may be named otherwise (`__virtual__`)."""

    name: str
    source: Source
    functions: Mapping[str, Function]


def load_module(source: Source, kind: str, given: Mapping[str, Any]) -> Module:
    """Run the file and return its functions.  `given`: what stands among its globals.

    Raises:
        ModuleNotLoaded: it does not want to be there, is broken, or not safe.
    """
    try:
        loaded = _run(source, kind, given)
        name = _virtual_name(loaded, source.name)
        _initialise(loaded, given)
        return Module(name, source, _functions_of(loaded))
    except ModuleNotLoaded:
        raise
    except (Exception, SystemExit) as error:
        raise ModuleNotLoaded(_broken(source, error)) from error


def _run(source: Source, kind: str, given: Mapping[str, Any]) -> ModuleType:
    name = f"sylvite.loaded.{kind}.{source.name}"
    loaded = ModuleType(name)
    loaded.__file__ = str(source.path)
    names = vars(loaded)
    names.update(given)
    code = _code_of(source, name)
    # Dataclasses look their module up here.
    sys.modules[name] = loaded
    try:
        exec(code, names)  # noqa: S102 - these files are the operator's programs, and are checked to be
    except BaseException:
        del sys.modules[name]
        raise
    # Once more: what it imports from `given.py`, for its types, has the same names.
    names.update(given)
    return loaded


def _code_of(source: Source, name: str) -> CodeType:
    if source.own:
        code = SourceFileLoader(name, str(source.path)).get_code(name)
        assert code is not None
        return code
    # Compiled from what was read: neither a file that is exchanged meanwhile counts, nor one in `__pycache__`.
    return compile(read_source(source.path), str(source.path), "exec", dont_inherit=True)


def _virtual_name(loaded: ModuleType, name: str) -> str:
    """Ask the module whether it wants to be there, and under which name.  Raises ModuleNotLoaded: it does not."""
    virtual_name = getattr(loaded, "__virtualname__", name)
    ask = getattr(loaded, "__virtual__", None)
    answer: object = ask() if callable(ask) else True
    reason: object = None
    if isinstance(answer, tuple):
        pair = cast("tuple[object, ...]", answer)
        answer, reason = pair[0] if pair else False, pair[1] if len(pair) > 1 else None
    if answer is True:
        return str(virtual_name)
    if isinstance(answer, str) and answer:
        return answer
    # Salt's words.
    said = f"'{virtual_name}' __virtual__ returned False"
    raise ModuleNotLoaded(said if reason is None else f"{said}: {reason}")


def _initialise(loaded: ModuleType, given: Mapping[str, Any]) -> None:
    initialise = vars(loaded).get("__init__")
    if inspect.isfunction(initialise):
        initialise(given["__opts__"])


def _functions_of(loaded: ModuleType) -> dict[str, Function]:
    aliases: Mapping[str, str] = getattr(loaded, "__func_alias__", {})
    listed = getattr(loaded, "__load__", None)
    found: dict[str, Function] = {}
    for name, value in vars(loaded).items():
        if name.startswith("_") or (listed is not None and name not in listed):
            continue
        # What it has imported from elsewhere is not its own, unless it says so.
        if (listed is not None and callable(value)) or (
            inspect.isfunction(value) and value.__module__ == loaded.__name__
        ):
            found[aliases.get(name, name)] = value
    return found


def _broken(source: Source, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(source.path)]
    if isinstance(error, SyntaxError) and error.filename == str(source.path):
        lines.append(error.lineno)
    line = f", line {lines[-1]}" if lines and lines[-1] is not None else ""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{source.path}{line} is broken: {type(error).__name__}: {said}"
