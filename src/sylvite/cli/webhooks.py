"""`sylvite webhooks`: events out, as signed requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from sylvite.cli.command import GlobalOptions, LazyGroup
from sylvite.cli.master_place import FoundMaster, data_folder, master_options

if TYPE_CHECKING:
    from sylvite.export.settings import Webhook
    from sylvite.export.store import WebhookStore


@click.group(
    "webhooks",
    cls=LazyGroup,
    lazy={
        "add": ("sylvite.cli.webhooks_add:add", "Post events to a URL from now on."),
        "list": ("sylvite.cli.webhooks_list:list_", "List the webhooks, and how each does."),
        "remove": ("sylvite.cli.webhooks_add:remove", "Post no more, and forget what is dead."),
        "enable": ("sylvite.cli.webhooks_add:enable", "Let a webhook that has ended post again."),
        "test": ("sylvite.cli.webhooks_dead:test", "Post an event for a test, and say what came of it."),
        "dead": ("sylvite.cli.webhooks_dead:dead", "Show the events that were not taken in time."),
        "replay": ("sylvite.cli.webhooks_dead:replay", "Post dead events once more; what is taken is dead no more."),
        "run": ("sylvite.cli.webhooks_run:run", "Post the events of all webhooks, until SIGTERM or Ctrl-C."),
    },
)
def webhooks() -> None:
    """Look after webhooks: events that are posted to URLs."""


class WebhookPlace(NamedTuple):
    """`configured`: the webhooks of the master's file, where that is known."""

    folder: Path
    configured: Mapping[str, Webhook]


def _place(options: GlobalOptions, found: FoundMaster) -> WebhookPlace:
    from sylvite.daemons.webhooks import read_webhook_out

    wanted = {} if found.configured is None else found.configured.webhooks_out
    configured = {name: read_webhook_out(name, settings) for name, settings in wanted.items()}
    return WebhookPlace(data_folder(options, found), configured)


webhooks_options = master_options("place", _place)
"""Add --dir and --config; the command gets `place`."""


def find_webhook(store: WebhookStore, place: WebhookPlace, name: str) -> Webhook:
    """Raises NoSuchWebhook."""
    from sylvite.export.store import NoSuchWebhook

    found = {each.webhook.name: each.webhook for each in store.added()} | dict(place.configured)
    if name not in found:
        raise NoSuchWebhook(name)
    return found[name]


def are_posted(store: WebhookStore) -> bool:
    """Say whether a process posts to the webhooks at the moment."""
    from sylvite.errors import JobStoreInUse
    from sylvite.jobs.database import WriteLock

    try:
        WriteLock(store.path).release()
    except JobStoreInUse:
        return True
    return False
