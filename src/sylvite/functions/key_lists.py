"""Key lists: the keys of minions in the shapes of Salt's wheel, and what is done to several of them at once.

minions, minions_pre, minions_rejected, minions_denied    ids by state, as Salt names the states
minions_revoked                                           ours; only where there are some
local                                                     the files of the master's own key
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_announce import announce
from sylvite.auth.keyring_folder import private_name, public_name
from sylvite.auth.keyring_values import Key, State
from sylvite.auth.keys import Fingerprint
from sylvite.errors import InvalidInput, SylviteError
from sylvite.jobs.client_core import KEYS

LISTS: Mapping[str, State] = {
    "minions_pre": State.PENDING,
    "minions_rejected": State.REJECTED,
    "minions": State.ACCEPTED,
    "minions_denied": State.DENIED,
    "minions_revoked": State.REVOKED,
}
_OURS = ("minions_revoked",)
_WORDS: Mapping[str, tuple[str, ...]] = {
    "accepted": ("minions",), "pre": ("minions_pre",), "unaccepted": ("minions_pre",), "rejected": ("minions_rejected",),
    "denied": ("minions_denied",), "revoked": _OURS, "all": tuple(LISTS),
}  # fmt: skip
MASTER = "master"

Value = TypeVar("Value")
Act = Callable[[Keyring, str, Fingerprint, int], Key]
"""A move of the keyring: `Keyring.accept` and its relatives."""


class Announcing(Protocol):
    """Where changes are announced: a bus."""

    def publish(self, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Publish events in order, and return once all are synced.  Raises SylviteError: some of them may be there."""
        ...


class UnknownList(InvalidInput):
    """A word that names no state of keys."""

    code = "unknown_list"


@contextlib.contextmanager
def opened(opts: Mapping[str, Any]) -> Generator[Keyring]:
    """Open the keyring of a master.  Raises InvalidSetting: there is none, or it is not ours alone."""
    with Keyring.open(Path(opts["data_dir"]) / KEYS) as keyring:
        yield keyring


def lists_named(word: str) -> tuple[str, ...]:
    """Return the lists that a word stands for, as `salt-key --list` takes it: the beginning of one is enough.

    Raises:
        UnknownList
    """
    for whole, lists in _WORDS.items():
        if word and whole.startswith(word.lower()):
            return lists
    raise UnknownList(f"{word!r} is no state of keys; there are {', '.join(_WORDS)}")


def by_list(keys: Iterable[Key], value: Callable[[Key], Value]) -> dict[str, dict[str, Value]]:
    """Return of each list that has some what `value` says of its keys, by id."""
    found: dict[str, dict[str, Value]] = {}
    for name, state in LISTS.items():
        if listed := {str(key.id): value(key) for key in keys if key.state is state}:
            found[name] = listed
    return found


def ids_by_list(keys: Iterable[Key]) -> dict[str, list[str]]:
    return {name: list(ids) for name, ids in by_list(list(keys), lambda _: None).items()}


def all_lists(keyring: Keyring) -> dict[str, list[str]]:
    """Return every list, also those without keys, and the master's own files."""
    found = ids_by_list(keyring.all_keys())
    shown = {name: found.get(name, []) for name in LISTS if name in found or name not in _OURS}
    files = (private_name(MASTER), public_name(MASTER))
    return {**shown, "local": [name for name in files if keyring.folder.has(name)]}


def matching(keyring: Keyring, match: str) -> list[Key]:
    """Return the keys whose id fits one of the shell patterns, which commas part."""
    patterns = [pattern.strip() for pattern in str(match).split(",")]
    return [key for key in keyring.all_keys() if any(fnmatchcase(key.id, pattern) for pattern in patterns)]


def chosen(keyring: Keyring, wanted: Mapping[str, Sequence[str]]) -> list[Key]:
    """Return the keys that a map of lists names, `{"minions_pre": ["web1"]}`.  Raises UnknownList."""
    for name in wanted:
        if name not in LISTS:
            raise UnknownList(f"{name!r} is no list of keys; there are {', '.join(LISTS)}")
    return [
        key for key in keyring.all_keys() for name, ids in wanted.items() if LISTS[name] is key.state and key.id in ids
    ]


def move(keyring: Keyring, bus: Announcing, act: Act, keys: Iterable[Key]) -> None:
    """Do something to each key, and announce what was done.

    Raises:
        NoSuchKey, MoveRefused, KeyInUse: what was done before it is done, and announced.
        SylviteError: as `Announcing.publish`; the next one who changes something announces it.
    """
    try:
        for key in keys:
            act(keyring, key.id, key.fingerprint, time.time_ns())
    finally:
        tell(keyring, bus)


def tell(keyring: Keyring, bus: Announcing) -> None:
    if not keyring.due_count():
        return
    try:
        announce(keyring, lambda events: bus.publish([(tag, dict(data)) for tag, data in events]))
    except SylviteError as error:
        error.add_note(
            "the keys are changed, but not announced; what changes keys next announces it, and then accepted ones count"
        )
        raise
