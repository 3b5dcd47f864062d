"""`sylvite cloud providers` and `profiles`: what the configuration has."""

from __future__ import annotations

from pathlib import Path

import click

from sylvite.cli.cloud import config_option, settings_in
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.output import table, write_json
from sylvite.cli.template import printable

PROVIDERS_EXAMPLES = (Example("sylvite cloud providers", "Where machines can be made"),)
PROFILES_EXAMPLES = (
    Example("sylvite cloud profiles", "What machines can be made"),
    Example("sylvite cloud profiles --json", "The same for programs; what is secret is shown as ***"),
)


@command("providers", examples=PROVIDERS_EXAMPLES)
@config_option
@pass_options
def providers(options: GlobalOptions, config_dir: Path | None) -> None:
    """List the providers in the configuration.

    Nothing is asked of them. Where libcloud is installed, their arguments are checked against its drivers.
    """
    from sylvite.cloud.driver import check_arguments, driver_class
    from sylvite.cloud.errors import LibraryMissing

    settings = settings_in(config_dir)
    try:
        for provider in settings.providers.values():
            check_arguments(driver_class(provider), provider)
    except LibraryMissing as error:
        click.echo(f"sylvite: {error}", err=True)
    used = {
        name: [one.name for one in settings.profiles.values() if one.provider.name == name]
        for name in settings.providers
    }
    if options.json:
        write_json(
            [
                {"name": one.name, "driver": one.driver, "profiles": used[one.name]}
                for one in settings.providers.values()
            ]
        )
        return
    _show(
        [(one.name, one.driver, ", ".join(used[one.name]) or "-") for one in settings.providers.values()],
        ("NAME", "DRIVER", "PROFILES"), f"no providers in {settings.folder}",
    )  # fmt: skip


@command("profiles", examples=PROFILES_EXAMPLES)
@config_option
@pass_options
def profiles(options: GlobalOptions, config_dir: Path | None) -> None:
    """List the profiles in the configuration."""
    from sylvite.cloud.secret import Redactor

    settings = settings_in(config_dir)
    found = list(settings.profiles.values())
    if options.json:
        hide = Redactor()
        write_json(
            [
                {
                    **hide.data(one.written),
                    "name": one.name,
                    "provider": one.provider.name,
                    "driver": one.provider.driver,
                    "deploys": one.machine.deploys,
                }
                for one in found
            ]
        )
        return
    rows = [
        (
            one.name, one.provider.name, *(str(value) if value is not None else "-" for value in
            (one.machine.size, one.machine.image, one.machine.location)), (one.machine.script or "-") if one.machine.deploys else "-",
        )
        for one in found
    ]  # fmt: skip
    _show(rows, ("NAME", "PROVIDER", "SIZE", "IMAGE", "LOCATION", "DEPLOYS"), f"no profiles in {settings.folder}")


def _show(rows: list[tuple[str, ...]], header: tuple[str, ...], nothing: str) -> None:
    if not rows:
        click.echo(nothing, err=True)
        return
    for line in table([tuple(printable(cell) for cell in row) for row in rows], header):
        click.echo(line)
