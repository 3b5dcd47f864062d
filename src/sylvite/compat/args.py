"""`salt.utils.args`: what the words of a command line mean."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sylvite.functions.arguments import KEYWORD_MARK, parse_arguments, parse_value


def yamlify_arg(arg: Any) -> Any:
    """Return the value of one word."""
    return parse_value(arg) if isinstance(arg, str) else arg


def parse_input(
    args: Iterable[str], condition: bool = True, no_parse: Collection[str] | None = None  # noqa: FBT001, FBT002 - Salt's
) -> Any:  # fmt: skip
    """Return the values of words, and those of `name=value` as one map behind them; without `condition`, apart."""
    found = parse_arguments(args, no_parse=no_parse or ())
    return condition_input(found.positional, found.named) if condition else (found.positional, found.named)


def condition_input(args: Iterable[Any], kwargs: Mapping[str, Any] | None) -> list[Any]:
    """Return arguments as a job carries them: keywords are one map at the end, marked with `__kwarg__`."""
    return [*args, *([{**kwargs, KEYWORD_MARK: True}] if kwargs else [])]
