"""`sylvite cloud`: machines at providers, each step of theirs an event."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.command import Function, GlobalOptions, LazyGroup
from sylvite.cli.connect import connect
from sylvite.cli.template import printable
from sylvite.cloud.files import STATE_VARIABLE, SYSTEM_STATE, state_folder
from sylvite.errors import AckUnknown, SylviteError

if TYPE_CHECKING:
    from sylvite.cloud.cloud import Cloud
    from sylvite.cloud.maps import Mapped
    from sylvite.cloud.settings import CloudSettings

SYSTEM_CONFIG = "/etc/sylvite"


@click.group(
    "cloud",
    cls=LazyGroup,
    lazy={
        "providers": ("sylvite.cli.cloud_settings:providers", "List the providers in the configuration."),
        "profiles": ("sylvite.cli.cloud_settings:profiles", "List the profiles in the configuration."),
        "create": ("sylvite.cli.cloud_create:create", "Create machines from a profile."),
        "map": ("sylvite.cli.cloud_map:map_", "Create the machines of a map, those that are not there yet."),
        "list": ("sylvite.cli.cloud_list:list_", "List the machines at the providers, and what is unfinished."),
        "destroy": ("sylvite.cli.cloud_destroy:destroy", "Destroy machines."),
        "action": ("sylvite.cli.cloud_action:action", "Start, stop or reboot machines."),
    },
)
def cloud() -> None:
    """Create, list and destroy machines at cloud providers, each step an event.

    Providers and profiles are files as salt-cloud has them: cloud.providers.d/*.conf and cloud.profiles.d/*.conf.
    """


def config_option(function: Function) -> Function:
    """Add --config-dir."""
    return click.option(
        "--config-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        envvar="SYLVITE_CONFIG_DIR",
        help=f"Folder of the configuration [SYLVITE_CONFIG_DIR, else {SYSTEM_CONFIG}].",
    )(function)


def state_option(function: Function) -> Function:
    """Add --state-dir."""
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=f"Folder for what is unfinished [{STATE_VARIABLE}, else {SYSTEM_STATE}; of users, below their own state].",
    )(function)


def provider_option(function: Function) -> Function:
    """Add --provider."""
    return click.option(
        "--provider", "providers", multiple=True, metavar="NAME", help="Only at this provider; several are taken."
    )(function)


def settings_in(config_dir: Path | None, mapped: Sequence[Mapped] = ()) -> CloudSettings:
    """Read the configuration, and say what should be put right.  Raises InvalidSetting."""
    from sylvite.cloud.reading import read_settings

    settings = read_settings(config_dir or Path(SYSTEM_CONFIG), mapped=mapped)
    for warning in settings.warnings:
        click.echo(f"sylvite: {printable(warning)}", err=True)
    return settings


@contextmanager
def opened(
    options: GlobalOptions,
    config_dir: Path | None,
    state_dir: Path | None,
    *,
    bus: bool | None = True,
    mapped: Sequence[Mapped] = (),
    progress: Callable[[str, str], None] | None = None,
) -> Generator[Cloud]:
    """Open all that is needed to work with machines; first say what earlier runs could not say.

    `bus`: without it nothing may be published; None: it is needed where the configuration wants what has changed told.
    `mapped`: machines of a map.  `progress`: gets the tag and the text of each event.
    """
    from sylvite.cloud.cloud import Cloud
    from sylvite.functions.ending import ended_by_term

    settings = settings_in(config_dir, mapped)
    state = state_dir or state_folder()
    if not (settings.diff_cache_events if bus is None else bus):
        with Cloud(settings, state, _no_bus) as cloud:
            yield cloud
        return
    with connect(options) as client, ended_by_term():

        def publish(tag: str, data: dict[str, Any]) -> None:
            try:
                client.publish(tag, data)
            except AckUnknown as unknown:
                # The broker has gone away meanwhile, and may come back: the event is not taken twice.
                client.retry(unknown)
            if progress is not None:
                progress(tag, str(data["event"]))

        def show(line: str) -> None:
            click.echo(printable(line), err=True)

        with Cloud(settings, state, publish, on_output=show) as cloud:
            for one in cloud.tell_abandoned():
                click.echo(
                    f"sylvite: {one.name} at {one.provider} was left unfinished: see `sylvite cloud list`", err=True
                )
            yield cloud


def show_steps(options: GlobalOptions) -> Callable[[str, str], None]:
    """Return what shows each step on stderr, as it is told on the bus."""

    def show(tag: str, text: str) -> None:
        if not options.quiet and not options.json:
            name = tag.split("/")[2]
            click.echo(f"{printable(name)}: {printable(text)}", err=True)

    return show


def said(error: SylviteError) -> str:
    """Return the message of an error, with what was noted to it."""
    notes: list[str] = getattr(error, "__notes__", [])
    return printable("; ".join((str(error), *notes)))


def _no_bus(tag: str, data: dict[str, Any]) -> None:
    del data
    raise AssertionError(f"{tag} is published by a command that only reads")
