"""`sylvite keys accept`, `reject`, `revoke` and `delete`: the same steps, with another move.

What is asked about is named by id and fingerprint, and exactly that is moved: a key that comes in meanwhile is not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import HOLDS_ID, MOVES, Act, Key, MoveRefused, NoSuchKey, State, state_after
from sylvite.auth.keys import Fingerprint, parse_fingerprint
from sylvite.cli.amounts import show_number_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.keys_bus import announcing
from sylvite.cli.keys_folder import keys_options, open_keyring
from sylvite.cli.keys_list import facts, is_wanted, state_of
from sylvite.cli.output import write_json

ACCEPT_EXAMPLES = (
    Example("sylvite keys accept 'web*' --dry-run", "Who would be let in?"),
    Example("sylvite keys accept web1 -y", "Let one in"),
    Example(
        "sylvite keys accept web9 --fingerprint 2fb1c44e0a5de5a0e6b8c3f1d7a2994b5c6d7e8f90a1b2c3d4e5f60718293a4b -y",
        "Let one in as soon as it asks, with this key and no other",
    ),
)
REJECT_EXAMPLES = (Example("sylvite keys reject 'test-*' -y", "Turn them away"),)
REVOKE_EXAMPLES = (
    Example("sylvite keys revoke web2 --dry-run", "What would be taken back?"),
    Example("sylvite keys revoke web2 -y", "Its session ends; it needs another key"),
)
DELETE_EXAMPLES = (
    Example("sylvite keys delete 'old-*' --dry-run", "What would be forgotten?"),
    Example("sylvite keys delete web3 -y", "Forget it; it may ask again"),
)
ASKED_ABOUT_MAX = 20
"""So many keys are shown before the question."""
_WILD = frozenset("*?[")

Function = Callable[..., Any]


class Move(NamedTuple):
    """`takes`: the states of what it is for, unless more are asked for."""

    act: Act
    verb: str
    done: str
    takes: tuple[State, ...]
    bus_first: bool = False


ACCEPT = Move(Act.ACCEPT, "accept", "accepted", (State.PENDING,), bus_first=True)
REJECT = Move(Act.REJECT, "reject", "rejected", (State.PENDING,))
REVOKE = Move(Act.REVOKE, "revoke", "revoked", (State.ACCEPTED,))
DELETE = Move(Act.DELETE, "delete", "deleted", tuple(State))


def _move_options(function: Function) -> Function:
    for decorate in (
        pass_options,
        keys_options,
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    ):
        function = decorate(function)
    return function


_globs = click.argument("globs", nargs=-1, required=True, metavar="GLOB ...")


@command("accept", examples=ACCEPT_EXAMPLES)
@_globs
@click.option("--fingerprint", metavar="HEX", help="Only this key; where it has not asked yet, as soon as it does.")
@click.option("--include-rejected", is_flag=True, help="Those that were rejected too.")
@click.option("--include-denied", is_flag=True, help="Those that were denied too, where the id is free by now.")
@_move_options
def accept(
    options: GlobalOptions,
    globs: tuple[str, ...],
    folder: Path,
    fingerprint: str | None,
    *,
    include_rejected: bool,
    include_denied: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Let minions in.

    GLOB is a shell pattern for ids; of those that match, the pending ones are accepted. Compare the fingerprint with
    what `sylvite keys finger --file` says on the minion.
    """
    takes = [State.PENDING]
    takes += [State.REJECTED] if include_rejected else []
    takes += [State.DENIED] if include_denied else []
    move = ACCEPT._replace(takes=tuple(takes))
    with open_keyring(folder) as keyring:
        if fingerprint is None:
            _run(options, keyring, move, find(keyring, move, globs), dry_run=dry_run, yes=yes)
            return
        if len(globs) != 1 or not _WILD.isdisjoint(globs[0]):
            raise click.UsageError("--fingerprint is for one id")
        wanted = parse_fingerprint(fingerprint)
        if any(key.fingerprint == wanted for key in keyring.all_keys(globs[0])):
            found = [key for key in find(keyring, move, globs) if key.fingerprint == wanted]
            _run(options, keyring, move, found, dry_run=dry_run, yes=yes)
        else:
            _expect(options, keyring, globs[0], wanted, dry_run=dry_run)


@command("reject", examples=REJECT_EXAMPLES)
@_globs
@_move_options
def reject(options: GlobalOptions, globs: tuple[str, ...], folder: Path, *, dry_run: bool, yes: bool) -> None:
    """Turn minions away that wait.

    Their ids stay taken, so that nobody else can ask for them; `delete` frees an id.
    """
    with open_keyring(folder) as keyring:
        _run(options, keyring, REJECT, find(keyring, REJECT, globs), dry_run=dry_run, yes=yes)


@command("revoke", examples=REVOKE_EXAMPLES)
@_globs
@_move_options
def revoke(options: GlobalOptions, globs: tuple[str, ...], folder: Path, *, dry_run: bool, yes: bool) -> None:
    """Take accepted keys back, at once and for ever.

    Sessions end within a second. Such a key is never accepted again, under whatever id; a minion that comes back needs
    another one.
    """
    with open_keyring(folder) as keyring:
        _run(options, keyring, REVOKE, find(keyring, REVOKE, globs), dry_run=dry_run, yes=yes)


@command("delete", examples=DELETE_EXAMPLES)
@_globs
@click.option("--state", "states", multiple=True, type=click.Choice([state.value for state in State]), metavar="STATE",
              help="Only these: pending, denied, accepted, rejected, revoked.")  # fmt: skip
@_move_options
def delete(
    options: GlobalOptions,
    globs: tuple[str, ...],
    folder: Path,
    states: tuple[str, ...],
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Forget keys, so that their ids are free.

    What is forgotten may ask again, and waits then. A revoked key is forgotten too, but not that it was revoked. What was
    expected is not expected any more.
    """
    move = DELETE._replace(takes=tuple(State(state) for state in states) or DELETE.takes)
    with open_keyring(folder) as keyring:
        expected = [] if states else [id_ for id_ in keyring.expected() if is_wanted(id_, globs)]
        found = find(keyring, move, globs, expected)
        _run(options, keyring, move, found, expected, dry_run=dry_run, yes=yes)


def find(keyring: Keyring, move: Move, globs: Sequence[str], other_ids: Sequence[str] = ()) -> list[Key]:
    """Return the keys that a move is for.  `other_ids`: what a glob may match as well.

    Raises:
        NoSuchKey: one of the globs matches nothing; nothing is done then.
        MoveRefused: an id was named whose key is in a state that the move is not for.
    """
    known = keyring.all_keys()
    found = [key for key in known if key.state in move.takes]
    for glob in globs:
        if any(is_wanted(id_, [glob]) for id_ in (*(key.id for key in found), *other_ids)):
            continue
        # Of several keys of one id the reason is the one that holds it.
        others = sorted((key for key in known if key.id == glob), key=lambda key: key.state not in HOLDS_ID)
        if others:
            _refuse(move, others[0])
        states = " or ".join(move.takes) if move.act is not Act.DELETE or len(move.takes) < len(State) else "known"
        raise NoSuchKey(f"nothing that is {states} matches {glob!a}; `sylvite keys list` shows what there is")
    return [key for key in found if is_wanted(key.id, globs)]


def _refuse(move: Move, key: Key) -> None:
    if move.act in MOVES:
        state_after(key.id, move.act, key.state)
    option = f"add --include-{key.state}" if move.act is Act.ACCEPT else f"it is not one of {', '.join(move.takes)}"
    raise MoveRefused(key.id, move.act, key.state, option)


def _run(
    options: GlobalOptions,
    keyring: Keyring,
    move: Move,
    found: Sequence[Key],
    expected: Sequence[str] = (),
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Ask, move, announce, tell.  `expected`: ids for which nothing is expected any more."""
    if dry_run:
        _tell(options, move, found, expected, dry_run=True)
        return
    names = [
        *(f"{key.state:9} {key.id}  {key.fingerprint}" for key in found),
        *(f"expected  {id_}" for id_ in expected),
    ]
    if not yes and sys.stdin.isatty():
        _show(names)
    confirm(_question(move, [*(key.id for key in found), *expected]), yes=yes)
    moved: list[Key] = []
    try:
        with announcing(options, keyring, bus_first=move.bus_first):
            for key in found:
                done = _apply(keyring, move, key)
                moved.append(done)  # What was done before a failure is told below.
            for id_ in expected:
                keyring.forget_expected(id_)
    finally:
        if moved or expected:
            _tell(options, move, [_latest(keyring, key) for key in moved], expected, dry_run=False)


def _apply(keyring: Keyring, move: Move, key: Key) -> Key:
    function = {
        Act.ACCEPT: keyring.accept, Act.REJECT: keyring.reject, Act.REVOKE: keyring.revoke, Act.DELETE: keyring.delete,
    }[move.act]  # fmt: skip
    return function(key.id, key.fingerprint, time.time_ns())


def _latest(keyring: Keyring, key: Key) -> Key:
    """Return what the key is once it was announced; what it was, where it is gone."""
    return next((each for each in keyring.all_keys(key.id) if each.public == key.public), key)


def _show(names: Sequence[str]) -> None:
    for name in names[:ASKED_ABOUT_MAX]:
        click.echo(name, err=True)
    if len(names) > ASKED_ABOUT_MAX:
        click.echo(f"and {len(names) - ASKED_ABOUT_MAX} more", err=True)


def _question(move: Move, ids: Sequence[str]) -> str:
    what = f"the key of {ids[0]}" if len(ids) == 1 else show_number_of(len(ids), "key")
    return f"{move.verb.capitalize()} {what}?"


def _expect(options: GlobalOptions, keyring: Keyring, id_: str, fingerprint: Fingerprint, *, dry_run: bool) -> None:
    if not dry_run:
        keyring.expect(id_, fingerprint, time.time_ns())
    if options.json:
        write_json({"act": "expected", "id": id_, "fingerprint": fingerprint, "dry_run": dry_run})
    elif not options.quiet:
        click.echo(f"{id_}  {'would be' if dry_run else 'will be'} accepted when it asks with this key")


def _tell(options: GlobalOptions, move: Move, found: Sequence[Key], expected: Sequence[str], *, dry_run: bool) -> None:
    if options.json:
        told: dict[str, Any] = {"act": move.act.value, "keys": [facts(key) for key in found], "dry_run": dry_run}
        write_json(told | ({"expected": expected} if expected else {}))
    elif not options.quiet:
        for key in found:
            if dry_run:
                click.echo(f"{key.id}  would be {move.done} ({key.state})")
            elif move.act is Act.DELETE:
                click.echo(f"{key.id}  deleted ({key.state})")
            else:
                click.echo(f"{key.id}  {state_of(key)}")
        for id_ in expected:
            click.echo(f"{id_}  {'would be ' if dry_run else ''}deleted (expected)")
