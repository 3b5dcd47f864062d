"""`sylvite webhooks dead`, `replay` and `test`: what was not taken, and trying it."""

from __future__ import annotations

import asyncio
import secrets
import time

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.output import table, write_json
from sylvite.cli.template import local_time, printable
from sylvite.cli.webhooks import WebhookPlace, find_webhook, webhooks_options
from sylvite.errors import InvalidInput

DEAD_EXAMPLES = (
    Example("sylvite webhooks dead", "Of all webhooks"),
    Example("sylvite webhooks dead billing --forget -y", "Give them up"),
)


@command("dead", examples=DEAD_EXAMPLES)
@click.argument("name", required=False)
@click.option("--forget", is_flag=True, help="Give them up.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@webhooks_options
@pass_options
def dead(options: GlobalOptions, place: WebhookPlace, name: str | None, *, forget: bool, yes: bool) -> None:
    """Show the events that were not taken in time.

    Each is kept as it is posted, also when the log has it no more. With --json the body is shown too.
    """
    import msgspec

    from sylvite.export.store import WebhookStore

    with WebhookStore(place.folder) as store:
        letters = store.dead(name)
        if forget and letters:
            confirm(f"Forget {len(letters)} dead events?", yes=yes)
            for letter in letters:
                store.drop_dead(letter.id)
    if options.json:
        write_json([{**msgspec.structs.asdict(letter), "body": msgspec.Raw(letter.body)} for letter in letters])
        return
    if forget:
        if not options.quiet:
            click.echo(f"{len(letters)} forgotten")
        return
    if not letters:
        click.echo("no dead events", err=True)
        return
    rows = [
        (
            str(letter.id), letter.name, printable(letter.tag), local_time(letter.dead_ns)[:19], str(letter.attempts),
            printable(letter.reason),
        )
        for letter in letters
    ]  # fmt: skip
    click.echo("\n".join(table(rows, ("ID", "WEBHOOK", "TAG", "DEAD SINCE", "ATTEMPTS", "REASON"))))


@command("replay", examples=(Example("sylvite webhooks replay billing", "All of one, oldest first", exit_code=1),))
@click.argument("name")
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@webhooks_options
@pass_options
def replay(options: GlobalOptions, place: WebhookPlace, name: str, ids: tuple[int, ...]) -> None:
    """Post dead events once more; what is taken is dead no more.

    All of the webhook, or those with these ids, oldest first, until one is not taken.
    """
    from sylvite.export.sending import Letter, post_letter, poster_of
    from sylvite.export.store import NotTaken, WebhookStore

    with WebhookStore(place.folder) as store:
        webhook = find_webhook(store, place, name)
        letters = store.dead(name)
        if unknown := set(ids) - {letter.id for letter in letters}:
            raise InvalidInput(f"webhook {name!r} has no dead event {min(unknown)}")
        wanted = [letter for letter in letters if not ids or letter.id in ids]
        poster = poster_of(webhook)
        for letter in wanted:
            outcome = asyncio.run(post_letter(poster, webhook, Letter(letter.event, letter.tag, letter.body)))
            if not outcome.is_taken:
                raise NotTaken(name, outcome.reason)
            store.drop_dead(letter.id)
            if options.json:
                write_json({"id": letter.id, "event": letter.event, "status": outcome.status})
    if not options.json and not options.quiet:
        click.echo(f"{len(wanted)} taken")


@command("test", examples=(Example("sylvite webhooks test billing", "Is it there, and does it take it?", exit_code=1),))
@click.argument("name")
@webhooks_options
@pass_options
def test(options: GlobalOptions, place: WebhookPlace, name: str) -> None:
    """Post an event for a test, and say what came of it.

    Its tag is webhooks/test. It is posted by this command, signed as any other, and not tried again.
    """
    import msgspec

    from sylvite.core.event import format_stamp
    from sylvite.export.sending import Letter, post_letter, poster_of
    from sylvite.export.store import NotTaken, WebhookStore

    with WebhookStore(place.folder) as store:
        webhook = find_webhook(store, place, name)
    tag = "webhooks/test"
    body = msgspec.json.encode({"stamp": format_stamp(time.time_ns()), "tag": tag, "data": {"webhook": name}})
    letter = Letter(f"test_{secrets.token_hex(8)}", tag, body)
    outcome = asyncio.run(post_letter(poster_of(webhook), webhook, letter))
    if not outcome.is_taken:
        raise NotTaken(name, outcome.reason)
    if options.json:
        write_json({"name": name, "event": letter.id, "status": outcome.status})
    elif not options.quiet:
        click.echo(f"{name} has taken it: {outcome.status}")
