"""`sylvite webhooks list`: which there are, and how each does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from sylvite.cli.amounts import show_count
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.connect import connect
from sylvite.cli.output import table, write_json
from sylvite.cli.template import local_time, printable
from sylvite.cli.webhooks import WebhookPlace, are_posted, webhooks_options
from sylvite.errors import SylviteError

if TYPE_CHECKING:
    from sylvite.export.settings import Webhook
    from sylvite.export.store import State


@command("list", examples=(Example("sylvite webhooks list", "Who gets events, and who does not take them"),))
@webhooks_options
@pass_options
def list_(options: GlobalOptions, place: WebhookPlace) -> None:
    """List the webhooks, and how each does.

    BEHIND is how many events of the log are still before it, those that it does not want among them.
    """
    from sylvite.export.store import State, WebhookStore

    with WebhookStore(place.folder) as store:
        found = {each.webhook.name: each.webhook for each in store.added()} | dict(place.configured)
        states, dead, is_run = store.states(), store.count_dead(), are_posted(store)
    behind = _behind(options)
    if options.json:
        write_json(
            [_facts(found[name], states.get(name, State()), dead.get(name, 0), behind) for name in sorted(found)]
        )
        return
    if not found:
        click.echo("there are no webhooks; `sylvite webhooks add` makes one", err=True)
        return
    rows: list[tuple[str, ...]] = []
    for name, webhook in sorted(found.items()):
        is_behind = behind.get(webhook.cursor)
        rows.append(
            (
                name,
                _state_text(states.get(name, State())),
                "-" if is_behind is None else show_count(is_behind),
                show_count(dead.get(name, 0)),
                printable(webhook.settings.url),
                " ".join(map(printable, webhook.settings.tags)) or "all",
            )
        )
    click.echo("\n".join(table(rows, ("NAME", "STATE", "BEHIND", "DEAD", "URL", "TAGS"))))
    if not is_run and not options.quiet:
        click.echo("nothing posts to them at the moment: `sylvite webhooks run` does, or a master", err=True)


def _behind(options: GlobalOptions) -> Mapping[str, int]:
    """Return how far behind each cursor is; nothing where no broker answers."""
    with contextlib.suppress(SylviteError), connect(options) as client:
        return {cursor["name"]: cursor["behind"] for cursor in client.ask("cursors")["cursors"]}
    return {}


def _facts(webhook: Webhook, state: State, dead: int, behind: Mapping[str, int]) -> dict[str, object]:
    settings = webhook.settings
    return {
        "name": webhook.name, "url": settings.url, "tags": list(settings.tags), "where": settings.where,
        "ended": state.ended, "event": state.event, "attempts": state.attempts, "reason": state.reason,
        "behind": behind.get(webhook.cursor), "dead": dead,
    }  # fmt: skip


def _state_text(state: State) -> str:
    if state.ended:
        return f"ended: {printable(state.ended)}"
    if state.event:
        return f"fails since {local_time(state.first_ns)[:19]}: {printable(state.reason)}"
    return "ok"
