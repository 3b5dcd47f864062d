"""Signatures: what functions say of themselves, for `sys` and for `--doc`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from sylvite.functions.module import Function


def select(functions: Mapping[str, Function], names: Iterable[str]) -> list[str]:
    """Return the functions that are wanted, sorted: by name, by module, by a shell pattern; all where none is named."""
    wanted = list(names)
    if not wanted:
        return sorted(functions)
    return sorted(name for name in functions if any(_is_named(name, text) for text in wanted))


def _is_named(name: str, text: str) -> bool:
    if any(character in text for character in "*?["):
        return fnmatchcase(name, text)
    return name == text or name.startswith(f"{text.rstrip('.')}.")


def docs_of(functions: Mapping[str, Function], names: Iterable[str]) -> dict[str, str]:
    """Return the docstrings."""
    return {name: functions[name].__doc__ or "" for name in select(functions, names)}


def modules_of(functions: Mapping[str, Function], names: Iterable[str]) -> list[str]:
    """Return the modules that there are, or those of them that a name or a pattern fits."""
    found = {name.partition(".")[0] for name in functions}
    wanted = list(names)
    return sorted(name for name in found if not wanted or any(fnmatchcase(name, text) for text in wanted))


def argspecs_of(functions: Mapping[str, Function], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what each function takes, as Salt writes it: `args`, `defaults`, `varargs`, `kwargs`."""
    return {name: _argspec(functions[name]) for name in select(functions, names)}


def _argspec(function: Function) -> dict[str, Any]:
    named: list[str] = []
    defaults: list[Any] = []
    varargs = kwargs = None
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            varargs = True
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            kwargs = True
        else:
            named.append(name)
            if parameter.default is not inspect.Parameter.empty:
                defaults.append(parameter.default)
    return {"args": named, "defaults": defaults or None, "varargs": varargs, "kwargs": kwargs}
