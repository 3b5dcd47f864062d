"""Execute: one call of one execution function, and what came of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from sylvite.functions.arguments import Arguments, unpack_arguments
from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
from sylvite.functions.library import Library
from sylvite.functions.module import Function

Progress = Callable[[int, Any], None]
RETCODE = "retcode"
OUT_OF_FAILURES = "nested"
"""Whatever outputter the function would have (spec/salt-events.md 3.3, golden/events_minion_bus.jsonl)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job returns.  `success`: the function ran to its end and left no retcode but 0.

    `out`: the outputter that is to show it, if a special one is.  `raised`: what the function has raised, as text.
    """

    value: Any
    retcode: int
    success: bool
    out: str | None = field(default=None, repr=False, compare=False)
    raised: str | None = field(default=None, repr=False, compare=False)


def run_job(
    library: Library,
    name: str,
    packed: Sequence[Any],
    *,
    no_parse: Sequence[str] = (),
    progress: Progress | None = None,
) -> Outcome:
    """Run what a job asks for.  Whatever goes wrong is the return, in Salt's words: a job always has one.

    `packed`: the job's `arg`.  `progress`: takes each item of a function that yields them, with its number from 0.
    """
    try:
        return call(library, name, unpack_arguments(packed, no_parse=no_parse), progress=progress)
    except FunctionNotAvailable as error:
        return Outcome(str(error), 1, success=False, out=OUT_OF_FAILURES)
    except InvalidArguments as error:
        usage = f"\n{error.usage}" if error.usage else ""
        said = f"Passed invalid arguments to {name}: {error}{usage}"
        return Outcome(said, 1, success=False, out=OUT_OF_FAILURES)
    except FunctionFailed as error:
        return Outcome(str(error), 1, success=False, out=OUT_OF_FAILURES, raised=str(error))


def call(library: Library, name: str, arguments: Arguments, *, progress: Progress | None = None) -> Outcome:
    """Run an execution function; one with `**kwargs` gets the publication of the context besides, as `__pub_…`.

    Raises:
        FunctionNotAvailable, InvalidArguments, FunctionFailed.
    """
    function = library.execution.find(name)
    named = dict(arguments.named)
    if takes_any_keyword(function):
        named |= {f"__pub_{key}": value for key, value in library.context.publication.items()}
    library.state.pop(RETCODE, None)
    value = call_function(name, function, Arguments(arguments.positional, named))
    if inspect.isgenerator(value):
        value = _collect(name, value, progress)
    return replace(outcome_of(library, value), out=_outputter_of(name, function))


def outcome_of(library: Library, value: Any) -> Outcome:
    """Return what came of a function that ran to its end: its value, and the return code that it left."""
    retcode = library.state.get(RETCODE, 0)
    # What is no number is no success either.
    retcode = int(retcode) if isinstance(retcode, int) else 1
    return Outcome(value, retcode, success=retcode == 0)


def _outputter_of(name: str, function: Function) -> str | None:
    """Return what the module says in `__outputter__`, a map of its functions, if it does."""
    said: object = getattr(function, "__globals__", {}).get("__outputter__")
    return cast("Mapping[str, str]", said).get(name.partition(".")[2]) if isinstance(said, Mapping) else None


def call_function(name: str, function: Function, arguments: Arguments) -> Any:
    """Raises InvalidArguments, FunctionFailed."""
    _check_keywords(name, function, arguments.named)
    try:
        return function(*arguments.positional, **arguments.named)
    except (Exception, SystemExit) as error:
        # Raised by the call itself, and not in the function: it never began.
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise InvalidArguments(name, str(error), function.__doc__ or "") from None
        raise FunctionFailed(name, error) from error


def takes_any_keyword(function: Function) -> bool:
    return any(kind is inspect.Parameter.VAR_KEYWORD for kind in _kinds(function).values())


def _kinds(function: Function) -> Mapping[str, object]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}  # Some that are written in C have none; calling it will say what is wrong.
    return {name: parameter.kind for name, parameter in parameters.items()}


def _check_keywords(name: str, function: Function, named: Mapping[str, Any]) -> None:
    kinds = _kinds(function)
    if not kinds and named:
        unknown = list(named) if _has_signature(function) else []
    elif inspect.Parameter.VAR_KEYWORD in kinds.values():
        unknown = []
    else:
        unknown = [keyword for keyword in named if keyword not in kinds]
    if unknown:
        shown = ", ".join(f"{keyword}={named[keyword]}" for keyword in unknown)
        # Salt's words.
        reason = f"The following keyword arguments are not valid: {shown}"
        raise InvalidArguments(name, reason, function.__doc__ or "")


def _has_signature(function: Function) -> bool:
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return False
    return True


def _collect(name: str, items: Any, progress: Progress | None) -> Any:
    """Run a function that yields to its end: maps become one map, everything else a list, as Salt does it."""
    found: Any = {}
    try:
        for number, item in enumerate(items):
            if isinstance(item, dict) and isinstance(found, dict):
                cast("dict[Any, Any]", found).update(cast("dict[Any, Any]", item))
            elif isinstance(found, list):
                cast("list[Any]", found).append(item)
            else:
                found = [found, item] if found else [item]
            if progress is not None:
                progress(number, item)
    except (Exception, SystemExit) as error:
        raise FunctionFailed(name, error) from error
    return cast("object", found)
