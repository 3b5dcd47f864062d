"""`sylvite webhooks add`, `remove` and `enable`."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.confirm import confirm
from sylvite.cli.connect import connect
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.webhooks import WebhookPlace, are_posted, find_webhook, webhooks_options
from sylvite.errors import ConnectionLost, CursorInUse, InvalidInput, NoSuchCursor

if TYPE_CHECKING:
    from sylvite.client.sync_client import Client
    from sylvite.export.settings import Webhook

SECRET_BYTES = 32
LETS_GO_S = 10.0
ADD_EXAMPLES = (
    Example("sylvite webhooks add billing https://billing.example.com/hook -t 'myco/order/*'", "From now on"),
    Example("sylvite webhooks add dev http://127.0.0.1:9000/ --allow-http --allow-network 127.0.0.0/8", "To a program of this machine"),
)  # fmt: skip


@command("add", examples=ADD_EXAMPLES)
@click.argument("name")
@click.argument("url")
@click.option("-t", "--tag", "tags", multiple=True, metavar="PATTERN", help="Which events, such as myco/* [all].")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Which of them not.")
@click.option("--where", metavar="CONDITION", help="And only those that fit, such as data.retcode != 0.")
@click.option("--timeout", type=DURATION, default=15.0, metavar="TIME", help="How long an answer may take [15s].")
@click.option(
    "--give-up", type=DURATION, default=86_400.0, metavar="TIME", help="How long an event is tried before it is dead [1d]."
)  # fmt: skip
@click.option("--allow-http", is_flag=True, help="Let events travel in the clear.")
@click.option(
    "--allow-network", "networks", multiple=True, metavar="NETWORK", help="A private network that it may be in."
)
@click.option("--ca", "ca_file", type=click.Path(path_type=Path), metavar="FILE", help="Believe these certificates.")
@click.option(
    "--secret-file", type=click.Path(path_type=Path), metavar="FILE", help="Sign with what is there [a new secret]."
)
@webhooks_options
@pass_options
def add(
    options: GlobalOptions,
    place: WebhookPlace,
    name: str,
    url: str,
    tags: tuple[str, ...],
    exclude: tuple[str, ...],
    where: str | None,
    timeout: float,
    give_up: float,
    *,
    allow_http: bool,
    networks: tuple[str, ...],
    ca_file: Path | None,
    secret_file: Path | None,
) -> None:
    """Post events to a URL from now on.

    Each is signed as Standard Webhooks says; the secret is shown this once, and belongs to the receiver. docs/webhooks.md
    shows how he checks it.
    """
    from sylvite.auth.webhooks import PREFIX, Secret
    from sylvite.client.subscription import read_filter
    from sylvite.daemons.secret_files import read_secrets
    from sylvite.export.sending import poster_of
    from sylvite.export.settings import NAME, Webhook, WebhookSettings
    from sylvite.export.store import WebhookStore

    if not re.fullmatch(NAME, name):
        raise InvalidInput(f"{name[:80]!r} is no name of a webhook: 1 to 64 letters, digits, dashes and underscores")
    if name in place.configured:
        raise InvalidInput(f"there is a webhook {name!r} already, in the master's file")
    settings = WebhookSettings(
        url=url, tags=tags, exclude=exclude, where=where, timeout_s=timeout, give_up_s=give_up, allow_http=allow_http,
        allow_networks=networks, ca_file=None if ca_file is None else str(ca_file.absolute()),
    ).checked()  # fmt: skip
    read_filter(tags, where=where, exclude=exclude)
    made = PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    kept = (Secret(made),) if secret_file is None else read_secrets(secret_file, "standard", "secret-file")
    webhook = Webhook(name, settings, kept)
    poster_of(webhook)
    with WebhookStore(place.folder) as store:
        store.add(webhook, time.time_ns())
        is_marked = _mark(options, webhook)
        is_run = are_posted(store)
    if options.json:
        write_json({"name": name, "url": url, "secret": None if secret_file is not None else made, "runs": is_run})
        return
    if secret_file is None:
        click.echo(made)
    if not options.quiet:
        click.echo(_next_step(name, is_marked=is_marked, is_run=is_run), err=True)


def _mark(options: GlobalOptions, webhook: Webhook) -> bool:
    """Keep its place in the log, so that what comes before it runs is posted too; return whether there is a broker."""
    try:
        with (
            connect(options) as client,
            client.subscribe(cursor=webhook.cursor, since="newest", ack="manual") as events,
        ):
            if events.end:
                events.ack(events.end - 1)
    except ConnectionLost:
        return False
    return True


def _next_step(name: str, *, is_marked: bool, is_run: bool) -> str:
    since = "from now on" if is_marked else "from when that runs and the broker does"
    if is_run:
        return f"{name} is posted to, {since}; `sylvite webhooks test {name}` tries it"
    return f"{name} is kept; `sylvite webhooks run` posts to it, or a master once it reads its configuration again (SIGHUP), {since}"


@command("remove", examples=(Example("sylvite webhooks remove billing -y", "And forget what is dead", exit_code=1),))
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@webhooks_options
@pass_options
def remove(options: GlobalOptions, place: WebhookPlace, name: str, *, yes: bool) -> None:
    """Post no more, and forget what is dead.

    One of the master's file is taken out there.
    """
    from sylvite.export.store import WebhookStore

    if name in place.configured:
        raise InvalidInput(f"webhook {name!r} is in the master's file; take it out there")
    with WebhookStore(place.folder) as store:
        webhook = find_webhook(store, place, name)
        confirm(f"Remove webhook {name!r}, and {store.count_dead().get(name, 0)} dead events?", yes=yes)
        forgotten = store.remove(name)
    with contextlib.suppress(ConnectionLost, NoSuchCursor), connect(options) as client:
        _forget_place(client, webhook)
    if options.json:
        write_json({"name": name, "removed": True, "dead": forgotten})
    elif not options.quiet:
        click.echo(f"{name} is removed")


def _forget_place(client: Client, webhook: Webhook) -> None:
    """Raises NoSuchCursor, CursorInUse."""
    until_s = time.monotonic() + LETS_GO_S
    while True:
        try:
            client.ask("cursor_delete", name=webhook.cursor)
            return
        except CursorInUse:
            # Who posts sees within a moment that it is removed, and lets it go.
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)


@command("enable", examples=(Example("sylvite webhooks enable billing", "Its receiver is back", exit_code=1),))
@click.argument("name")
@webhooks_options
@pass_options
def enable(options: GlobalOptions, place: WebhookPlace, name: str) -> None:
    """Let a webhook that has ended post again.

    It goes on where it was: what came meanwhile is in the log.
    """
    from sylvite.export.store import WebhookStore

    with WebhookStore(place.folder) as store:
        find_webhook(store, place, name)
        store.begin(name)
    if options.json:
        write_json({"name": name, "enabled": True})
    elif not options.quiet:
        click.echo(f"{name} is posted to again")
