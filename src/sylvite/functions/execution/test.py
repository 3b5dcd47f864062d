"""Try functions out."""

# The signatures are Salt's.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import random
import time
from typing import Any

from sylvite.functions.given import (
    __context__,
    __grains__,
    __loaded__,
    __not_loaded__,
    __opts__,
    __pillar__,
    __salt__,
)
from sylvite.version import __version__

__func_alias__ = {"true_": "true", "false_": "false", "try_": "try"}


def ping() -> bool:
    """
    Say that functions run here.

    CLI Example:

        sylvite call test.ping
    """
    return True


def true_() -> bool:
    """
    Return True.

    CLI Example:

        sylvite call test.true
    """
    return True


def false_() -> bool:
    """
    Return False.

    CLI Example:

        sylvite call test.false
    """
    return False


def echo(text: Any) -> Any:
    """
    Return what was given.

    CLI Example:

        sylvite call test.echo 'foo bar baz quo qux'
    """
    return text


def arg(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """
    Return the arguments as they arrived.

    CLI Example:

        sylvite call test.arg 1 "two" 3.1 txt="hello" wow='{a: 1, b: "hello"}'
    """
    return {"args": args, "kwargs": kwargs}


def arg_clean(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """
    Return the arguments without those of the publication.

    CLI Example:

        sylvite call test.arg_clean 1 "two" 3.1 txt="hello"
    """
    return {"args": args, "kwargs": _clean(kwargs)}


def arg_repr(*args: Any, **kwargs: Any) -> dict[str, str]:
    """
    Return the arguments as Python writes them.

    CLI Example:

        sylvite call test.arg_repr 1 "two" 3.1 txt="hello"
    """
    return {"args": repr(args), "kwargs": repr(kwargs)}


def arg_type(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """
    Return the types of the arguments.

    CLI Example:

        sylvite call test.arg_type 1 'int'
    """
    return {
        "args": [_type_of(value) for value in args],
        "kwargs": {name: _type_of(value) for name, value in kwargs.items()},
    }


def _type_of(value: object) -> str:
    return str(type(value))


def kwarg(**kwargs: Any) -> dict[str, Any]:
    """
    Return the keyword arguments.

    CLI Example:

        sylvite call test.kwarg num=1 txt="two" env='{a: 1, b: "hello"}'
    """
    return kwargs


def _clean(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if not name.startswith("__pub_")}


def sleep(length: float) -> bool:
    """
    Wait so many seconds.

    CLI Example:

        sylvite call test.sleep 20
    """
    time.sleep(length)
    return True


def rand_sleep(max: float = 60) -> bool:
    """
    Wait for a time by chance, at most so many seconds.

    CLI Example:

        sylvite call test.rand_sleep 60
    """
    time.sleep(random.uniform(0, max))  # noqa: S311 - no secret
    return True


def version() -> str:
    """
    Return the version of Sylvite.

    CLI Example:

        sylvite call test.version
    """
    return __version__


def fib(num: int) -> tuple[int, float]:
    """
    Return the number of that place in the Fibonacci sequence, and the seconds that took.

    CLI Example:

        sylvite call test.fib 3
    """
    start = time.perf_counter()
    first, second = 0, 1
    for _ in range(int(num)):
        first, second = second, first + second
    return first, time.perf_counter() - start


def collatz(start: int) -> tuple[list[int], float]:
    """
    Return the Collatz sequence from a number on, and the seconds that took.

    CLI Example:

        sylvite call test.collatz 3
    """
    begun = time.perf_counter()
    number, steps = int(start), [int(start)]
    while number > 1:
        number = 3 * number + 1 if number % 2 else number // 2
        steps.append(number)
    return steps, time.perf_counter() - begun


def exception(message: str = "Test Exception") -> None:
    """
    Raise an exception.

    CLI Example:

        sylvite call test.exception 'Oh no!'
    """
    raise Exception(message)  # noqa: TRY002 - what this function is for


def retcode(code: int = 42) -> bool:
    """
    Leave that return code.

    CLI Example:

        sylvite call test.retcode 42 --retcode-passthrough
    """
    __context__["retcode"] = code
    return True


def outputter(data: Any) -> Any:
    """
    Return data of any shape, to see how an outputter shows it.

    CLI Example:

        sylvite call test.outputter '{a: [1, 2]}' --out yaml
    """
    return data


def stream(count: int = 3) -> Any:
    """
    Yield numbers, one by one: in a job, each is an event of progress.

    CLI Example:

        sylvite call test.stream 3
    """
    yield from range(count)


def cross_test(func: str, args: list[Any] | None = None) -> Any:
    """
    Call another function through ``__salt__``.

    CLI Example:

        sylvite call test.cross_test test.echo '[hello]'
    """
    return __salt__[func](*(args or []))


def try_(module: str, return_try_exception: bool = False, **kwargs: Any) -> Any:
    """
    Call another function; where it raises, return None, or what it raised.

    CLI Example:

        sylvite call test.try module=test.exception return_try_exception=True
    """
    try:
        return __salt__[module](**_clean(kwargs))
    except Exception as error:  # noqa: BLE001 - what this function is for
        return str(error) if return_try_exception else None


def assertion(assertion: bool) -> None:
    """
    Fail unless the argument is true.

    CLI Example:

        sylvite call test.assertion False
    """
    if not assertion:
        raise AssertionError("the assertion does not hold")


def get_opts() -> dict[str, Any]:
    """
    Return the configuration.

    CLI Example:

        sylvite call test.get_opts
    """
    return dict(__opts__)


def conf_test() -> Any:
    """
    Return the value of ``test.foo`` in the configuration.

    CLI Example:

        sylvite call test.conf_test
    """
    return __opts__.get("test.foo")


def providers() -> dict[str, str]:
    """
    Return the modules that there are, and their files.

    CLI Example:

        sylvite call test.providers
    """
    return dict(__loaded__)


def provider(module: str) -> str | None:
    """
    Return the file of a module.

    CLI Example:

        sylvite call test.provider event
    """
    return __loaded__.get(module)


def not_loaded() -> dict[str, str]:
    """
    Return the modules that are not there, and why.

    CLI Example:

        sylvite call test.not_loaded
    """
    return dict(__not_loaded__)


def module_report() -> dict[str, Any]:
    """
    Return what this process has: functions, modules, how many grains and pillar keys.

    CLI Example:

        sylvite call test.module_report
    """
    return {
        "functions": list(__salt__),
        "modules": sorted({name.partition(".")[0] for name in __salt__}),
        "grains": len(__grains__),
        "pillar": len(__pillar__),
    }
