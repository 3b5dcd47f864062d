"""`sylvite keys list` and `show`."""

from __future__ import annotations

import fnmatch
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import Key, NoSuchKey, State
from sylvite.auth.keys import Fingerprint
from sylvite.cli.amounts import show_age, show_number_of
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.keys_folder import keys_options, open_keyring
from sylvite.cli.output import table, write_json
from sylvite.cli.template import local_time, printable

LIST_EXAMPLES = (
    Example("sylvite keys list", "All keys"),
    Example("sylvite keys list 'web*' --state pending", "Who waits, of the web servers"),
)
SHOW_EXAMPLES = (Example("sylvite keys show web1", "All that is known of one"),)
ORDER = (State.PENDING, State.DENIED, State.ACCEPTED, State.REJECTED, State.REVOKED)
"""What somebody should look at comes first."""
NANOSECONDS = 1_000_000_000
SHORT_PAIRS = 8


@command("list", examples=LIST_EXAMPLES)
@click.argument("globs", nargs=-1, metavar="[GLOB ...]")
@click.option("--state", "states", multiple=True, type=click.Choice([state.value for state in State]), metavar="STATE",
              help="Only these: pending, denied, accepted, rejected, revoked.")  # fmt: skip
@keys_options
@pass_options
def list_(options: GlobalOptions, globs: tuple[str, ...], states: tuple[str, ...], folder: Path) -> None:
    """List keys, those that wait first.

    GLOB is a shell pattern for ids. The fingerprints are cut; `finger` shows them whole. `expected` is what will be
    accepted when it asks.
    """
    with open_keyring(folder) as keyring:
        found = [key for key in keyring.all_keys() if is_wanted(key.id, globs) and (not states or key.state in states)]
        expected = {} if states else {id_: key for id_, key in keyring.expected().items() if is_wanted(id_, globs)}
        tokens = {} if states else {id_: until for id_, until in valid_tokens(keyring).items() if is_wanted(id_, globs)}
        due = keyring.due_count()
    found.sort(key=lambda key: ORDER.index(key.state))
    if options.json:
        write_json({
            "keys": [facts(key) for key in found],
            "expected": [{"id": id_, "fingerprint": fingerprint} for id_, fingerprint in expected.items()],
            "tokens": [{"id": id_, "until_ns": until_ns} for id_, until_ns in tokens.items()],
            "not_announced": due,
        })  # fmt: skip
        return
    _show(found, expected, tokens)
    _tell(options, found, due)


def _show(found: Sequence[Key], expected: dict[str, Fingerprint], tokens: dict[str, int]) -> None:
    now_ns = time.time_ns()
    rows = [
        (state_of(key), key.id, shorten(key.fingerprint), _age(now_ns, key.changed_ns), printable(key.address) or "-")
        for key in found
    ]
    rows += [("expected", id_, shorten(fingerprint), "-", "-") for id_, fingerprint in expected.items()]
    rows += [("token", id_, f"until {local_time(until_ns)[:19]}", "-", "-") for id_, until_ns in tokens.items()]
    if rows:
        for line in table(rows, ("STATE", "ID", "FINGERPRINT", "SINCE", "ADDRESS")):
            click.echo(line)
    else:
        click.echo("no keys", err=True)


def _tell(options: GlobalOptions, found: Sequence[Key], due: int) -> None:
    """Say on stderr what a long list does not: how many of each, and what is left to do."""
    if sys.stdout.isatty() and len(found) > 1 and not options.quiet:
        counts = Counter(key.state for key in found)
        each = ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state])
        click.echo(f"{show_number_of(len(found), 'key')}: {each}", err=True)
    if due and not options.quiet:
        click.echo(f"{show_number_of(due, 'change')} not announced on the bus yet", err=True)


@command("show", examples=SHOW_EXAMPLES)
@click.argument("id_", metavar="ID")
@keys_options
@pass_options
def show(options: GlobalOptions, id_: str, folder: Path) -> None:
    """Show all that is known of a minion's keys."""
    with open_keyring(folder) as keyring:
        found = keyring.all_keys(id_)
        expected, until_ns = keyring.expected().get(id_), valid_tokens(keyring).get(id_)
        epoch = keyring.epoch(id_)
    if not found and expected is None and until_ns is None:
        raise NoSuchKey(f"nothing is known of {id_!a}; `sylvite keys list` shows who is known")
    if options.json:
        write_json({
            "id": id_, "epoch": epoch, "keys": [facts(key) for key in found], "expected": expected,
            "token_until_ns": until_ns,
        })  # fmt: skip
        return
    click.echo(f"id           {id_}\nepoch        {epoch}")
    if expected is not None:
        click.echo(f"expected     {expected}")
    if until_ns is not None:
        click.echo(f"token        until {local_time(until_ns)}")
    for key in found:
        click.echo()
        for title, text in (
            ("state", state_of(key)),
            ("fingerprint", key.fingerprint),
            ("address", printable(key.address) or "-"),
            ("asked first", local_time(key.made_ns)),
            ("seen", local_time(key.seen_ns)),
            ("changed", local_time(key.changed_ns)),
        ):
            click.echo(f"{title:13}{text}")
        click.echo(key.public.pem)


def is_wanted(id_: str, globs: Sequence[str]) -> bool:
    return not globs or any(fnmatch.fnmatchcase(id_, glob) for glob in globs)


def valid_tokens(keyring: Keyring) -> dict[str, int]:
    """Return until when there is a token, by id: without those whose time is over, and which nobody has swept out yet."""
    now_ns = time.time_ns()
    return {id_: until_ns for id_, until_ns in keyring.tokens().items() if now_ns < until_ns}


def state_of(key: Key) -> str:
    waits = key.state is State.ACCEPTED and not key.counts
    return f"{key.state}, not announced" if waits else key.state.value


def shorten(fingerprint: Fingerprint) -> str:
    return f"{fingerprint[: 3 * SHORT_PAIRS - 1]}…"


def facts(key: Key) -> dict[str, Any]:
    """Return a record for JSON."""
    return {
        "id": key.id, "state": key.state.value, "counts": key.counts, "epoch": key.epoch, "fingerprint": key.fingerprint,
        "pub": key.public.pem, "address": key.address, "made_ns": key.made_ns, "seen_ns": key.seen_ns,
        "changed_ns": key.changed_ns,
    }  # fmt: skip


def _age(now_ns: int, then_ns: int) -> str:
    return show_age(max(0.0, (now_ns - then_ns) / NANOSECONDS))
