"""What `import sylvite` gives, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import sylvite

HEAVY = ("asyncio", "cryptography", "yaml", "click", "logging", "random", "sylvite.broker", "sylvite.testing")
PAIRS = [
    (sylvite.Client, sylvite.AsyncClient),
    (sylvite.Publisher, sylvite.AsyncPublisher),
    (sylvite.Subscription, sylvite.AsyncSubscription),
]


ONE_KIND_ONLY = ("abandon", "read_batches", "relay_all", "relay_many", "say_replicated")
"""For the child of a fork, in which no loop goes on; for the link, which is on asyncio."""


def run(code: str) -> list[str]:
    """Return what a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_importing_sylvite_loads_nothing_heavy() -> None:
    """A program that only publishes must not pay for asyncio, nor for what a broker needs."""
    loaded = run("import sys, sylvite, sylvite.client.sync_client; print(*sys.modules)")
    assert set(HEAVY).isdisjoint(loaded)


def test_the_asyncio_client_loads_when_it_is_asked_for() -> None:
    assert run("import sys, sylvite; sylvite.AsyncClient; print('asyncio' in sys.modules)") == ["True"]


def test_a_star_import_gives_all_names() -> None:
    """Each of them is there, has a docstring or a value, and the list is in order."""
    names = run("from sylvite import *; print(*(name for name in dir() if not name.startswith('__')))")
    assert set(names) == set(sylvite.__all__) - {"__version__"}
    assert sorted(sylvite.__all__) == sorted(set(sylvite.__all__))
    with pytest.raises(AttributeError):
        _ = sylvite.NoSuchName  # pyright: ignore[reportAttributeAccessIssue]


def public(kind: type) -> dict[str, Callable[..., Any] | property]:
    """Return the methods and properties that a caller sees; `async` in front of a name is the same name."""
    found: dict[str, Any] = {}
    for name, member in inspect.getmembers(kind):
        if name.startswith("_") and name not in ("__enter__", "__aenter__", "__iter__", "__aiter__"):
            continue
        if callable(member) or isinstance(member, property):
            found[name.replace("__a", "__")] = member
    return found


@pytest.mark.parametrize(("blocking", "asyncio_"), PAIRS)
def test_both_clients_have_the_same_names_and_arguments(blocking: type, asyncio_: type) -> None:
    """In the same order, with the same defaults; only what is returned is awaited."""
    ours, theirs = public(blocking), public(asyncio_)
    for name in ONE_KIND_ONLY:
        ours.pop(name, None)
        theirs.pop(name, None)
    assert list(ours) == list(theirs)
    for name, member in ours.items():
        other = theirs[name]
        if isinstance(member, property) or isinstance(other, property):
            assert isinstance(member, property) == isinstance(other, property), name
            continue
        mine, its = (inspect.signature(function).parameters for function in (member, other))
        assert [(one.name, one.kind, one.default) for one in mine.values()] == [
            (one.name, one.kind, one.default) for one in its.values()
        ], name


@pytest.mark.parametrize("kind", [kind for pair in PAIRS for kind in pair])
def test_every_public_method_says_what_it_does(kind: type) -> None:
    silent = [name for name, member in public(kind).items() if not name.startswith("__") and not member.__doc__]
    assert silent == []
    assert kind.__doc__
