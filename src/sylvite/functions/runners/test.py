"""Try runners out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from sylvite.functions.given import __jid_event__, __opts__


def arg(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """
    Return the arguments as they arrived.

    CLI Example:

        sylvite run test.arg foo bar=baz
    """
    return {"args": args, "kwargs": {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}}


def raw_arg(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """
    Return the arguments as they arrived, those of the publication too.

    CLI Example:

        sylvite run test.raw_arg foo bar=baz
    """
    return {"args": args, "kwargs": kwargs}


def metasyntactic(locality: str = "us") -> list[str]:
    """
    Return the metasyntactic words.

    CLI Example:

        sylvite run test.metasyntactic
    """
    lookup = {
        "us": ["foo", "bar", "baz", "qux", "quux", "quuz", "corge", "grault", "garply", "waldo", "fred", "plugh", "xyzzy", "thud"],
        "uk": ["wibble", "wobble", "wubble", "flob"],
    }  # fmt: skip
    return lookup[locality]


def stdout_print() -> str:
    """
    Write "foo" to stdout, and return "bar".

    CLI Example:

        sylvite run test.stdout_print
    """
    sys.stdout.write("foo\n")
    return "bar"


def sleep(s_time: float = 1) -> bool:
    """
    Wait so many seconds.

    CLI Example:

        sylvite run test.sleep 2
    """
    time.sleep(s_time)
    return True


def stream(steps: int = 10) -> bool:
    """
    Fire an event of progress for each step, a tenth of a second apart.

    CLI Example:

        sylvite run test.stream 3
    """
    for step in _steps(steps):
        __jid_event__.fire_event({"message": f"Runner is {100 * step // steps}% done"}, "progress")
    return True


def _steps(count: int) -> Iterator[int]:
    for step in range(1, count + 1):
        time.sleep(0.1)
        yield step


def exception(message: str = "Test Exception") -> None:
    """
    Raise an exception.

    CLI Example:

        sylvite run test.exception 'Oh no!'
    """
    raise Exception(message)  # noqa: TRY002 - what this function is for


def get_opts() -> dict[str, Any]:
    """
    Return the configuration.

    CLI Example:

        sylvite run test.get_opts
    """
    return dict(__opts__)
