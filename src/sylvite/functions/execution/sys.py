"""Look at functions."""

from __future__ import annotations

from typing import Any

from sylvite.functions.given import __not_loaded__, __reload__, __runners__, __salt__
from sylvite.functions.signatures import argspecs_of, docs_of, modules_of, select


def doc(*args: str) -> dict[str, str]:
    """
    Return the docstrings of functions: of one, of a module, of those that fit a pattern, or all.

    CLI Example:

        sylvite call sys.doc test.ping
        sylvite call sys.doc event
        sylvite call sys.doc 'test.*'
    """
    return docs_of(__salt__, args)


def list_functions(*args: str) -> list[str]:
    """
    Return the names of the functions: of a module, of those that fit a pattern, or all.

    CLI Example:

        sylvite call sys.list_functions event
    """
    return select(__salt__, args)


def list_modules(*args: str) -> list[str]:
    """
    Return the names of the modules.

    CLI Example:

        sylvite call sys.list_modules 'e*'
    """
    return modules_of(__salt__, args)


def argspec(*args: str) -> dict[str, dict[str, Any]]:
    """
    Return what functions take.

    CLI Example:

        sylvite call sys.argspec event.send
    """
    return argspecs_of(__salt__, args)


def list_runners(*args: str) -> list[str]:
    """
    Return the names of the modules with runners.

    CLI Example:

        sylvite call sys.list_runners
    """
    return modules_of(__runners__, args)


def list_runner_functions(*args: str) -> list[str]:
    """
    Return the names of the runners.

    CLI Example:

        sylvite call sys.list_runner_functions state
    """
    return select(__runners__, args)


def runner_doc(*args: str) -> dict[str, str]:
    """
    Return the docstrings of runners.

    CLI Example:

        sylvite call sys.runner_doc state.event
    """
    return docs_of(__runners__, args)


def runner_argspec(*args: str) -> dict[str, dict[str, Any]]:
    """
    Return what runners take.

    CLI Example:

        sylvite call sys.runner_argspec state.event
    """
    return argspecs_of(__runners__, args)


def reload_modules() -> bool:
    """
    Look at the files of all modules again, and load anew what has changed. That happens before each call, too.

    CLI Example:

        sylvite call sys.reload_modules
    """
    __reload__()
    return True


def not_loaded(*args: str) -> dict[str, str]:
    """
    Return the modules that are not there, and why: off, broken, or not safe.

    CLI Example:

        sylvite call sys.not_loaded
    """
    return {name: reason for name, reason in __not_loaded__.items() if not args or name in args}
