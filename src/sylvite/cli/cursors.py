"""`sylvite cursors`: the durable places of named readers."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from sylvite.cli.amounts import show_age, show_count
from sylvite.cli.command import Example, GlobalOptions, LazyGroup, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.connect import connect
from sylvite.cli.option_types import PLACE
from sylvite.cli.output import table, write_json
from sylvite.cli.place import Place
from sylvite.cli.template import local_time, printable
from sylvite.client.facts import CursorFacts
from sylvite.errors import NoSuchCursor

LIST_EXAMPLES = (Example("sylvite cursors list", "Who reads, and how far behind each is"),)
SHOW_EXAMPLES = (Example("sylvite cursors show billing", "One of them"),)
SEEK_EXAMPLES = (
    Example("sylvite cursors seek billing @0 --dry-run", "Where would it go?"),
    Example("sylvite cursors seek billing time:2h -y", "Let it read the last two hours again"),
)
DELETE_EXAMPLES = (
    Example("sylvite cursors delete billing --dry-run", "What would be forgotten?"),
    Example("sylvite cursors delete billing -y", "Forget it"),
)
NANOSECONDS = 1_000_000_000


@click.group(
    "cursors",
    cls=LazyGroup,
    lazy={
        "list": ("sylvite.cli.cursors:list_", "List the cursors."),
        "show": ("sylvite.cli.cursors:show", "Show one cursor."),
        "seek": ("sylvite.cli.cursors:seek", "Move a cursor to another place."),
        "delete": ("sylvite.cli.cursors:delete", "Delete a cursor."),
    },
)
def cursors() -> None:
    """Look after durable cursors: list, show, seek, delete."""


@command("list", examples=LIST_EXAMPLES)
@pass_options
def list_(options: GlobalOptions) -> None:
    """List the cursors.

    Only one's own, for those who do not run the broker.
    """
    found = _all(options)
    if options.json:
        write_json(found)
        return
    if not found:
        click.echo("no cursors", err=True)
        return
    rows = [
        (
            printable(cursor.name),
            printable(cursor.owner),
            f"@{cursor.offset}",
            show_count(cursor.behind),
            show_age(max(0.0, (time.time_ns() - cursor.moved_ns) / NANOSECONDS)),
            _state(cursor),
        )
        for cursor in found
    ]
    for line in table(rows, ("NAME", "OWNER", "OFFSET", "BEHIND", "MOVED", "STATE")):
        click.echo(line)


def _state(cursor: CursorFacts) -> str:
    state = "in use" if cursor.in_use else "idle"
    return f"{state}, {show_count(cursor.missed)} events lost to retention" if cursor.missed else state


@command("show", examples=SHOW_EXAMPLES)
@click.argument("name")
@pass_options
def show(options: GlobalOptions, name: str) -> None:
    """Show one cursor."""
    cursor = _named(_all(options), name)
    if options.json:
        write_json(cursor)
        return
    for title, text in (
        ("name", printable(cursor.name)),
        ("owner", printable(cursor.owner)),
        ("offset", f"@{cursor.offset}"),
        ("behind", f"{show_count(cursor.behind)} events"),
        ("moved", local_time(cursor.moved_ns)),
        ("state", _state(cursor)),
    ):
        click.echo(f"{title:8}{text}")


@command("seek", examples=SEEK_EXAMPLES)
@click.argument("name")
@click.argument("place", type=PLACE)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_options
def seek(options: GlobalOptions, name: str, place: Place, *, dry_run: bool, yes: bool) -> None:
    """Move a cursor to another place.

    PLACE is oldest, newest, @OFFSET, time:TIME, or cursor:NAME for where another one is. The reader gets again what lies behind that place, or never gets what lies before it. It must not be in use.
    """
    with connect(options) as client:
        known = _read(client.ask("cursors"))
        cursor = _named(known, name)
        start = [place.at, place.value, 0]
        if place.at == "cursor":
            start = ["offset", _named(known, place.name).offset, 0]
        if dry_run:
            _tell(options, {"name": name, "from": cursor.offset, "to": place_text(place), "dry_run": True})
            return
        confirm(f"Move cursor {name!r} from @{cursor.offset} to {place_text(place)}?", yes=yes)
        moved = client.ask("cursor_seek", name=name, to=start)
    _tell(options, moved)


@command("delete", examples=DELETE_EXAMPLES)
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_options
def delete(options: GlobalOptions, name: str, *, dry_run: bool, yes: bool) -> None:
    """Delete a cursor.

    A reader that comes back by this name starts anew. It must not be in use.
    """
    with connect(options) as client:
        cursor = _named(_read(client.ask("cursors")), name)
        if dry_run:
            _tell(options, {"name": name, "offset": cursor.offset, "dry_run": True})
            return
        confirm(f"Delete cursor {name!r}, which is at @{cursor.offset}?", yes=yes)
        deleted = client.ask("cursor_delete", name=name)
    _tell(options, deleted)


def place_text(place: Place) -> str:
    """Return a place as it is written on the command line."""
    match place.at:
        case "offset":
            return f"@{place.value}"
        case "time":
            return local_time(place.value)
        case "cursor":
            return f"cursor:{place.name}"
        case _:
            return place.at


def _tell(options: GlobalOptions, facts: dict[str, Any]) -> None:
    if options.json:
        write_json(facts)
    elif not options.quiet:
        name = printable(facts["name"])
        wanted = "would be" if facts.get("dry_run") else "is"
        if "to" in facts:
            to = facts["to"]
            click.echo(f"{name} {wanted} moved from @{facts['from']} to {to if isinstance(to, str) else f'@{to}'}")
        else:
            click.echo(f"{name} {wanted} deleted; it was at @{facts['offset']}")


def _all(options: GlobalOptions) -> list[CursorFacts]:
    with connect(options) as client:
        return _read(client.ask("cursors"))


def _read(answer: dict[str, Any]) -> list[CursorFacts]:
    return msgspec.convert(answer["cursors"], list[CursorFacts])


def _named(known: list[CursorFacts], name: str) -> CursorFacts:
    for cursor in known:
        if cursor.name == name:
            return cursor
    raise NoSuchCursor(name)
