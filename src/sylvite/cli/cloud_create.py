"""`sylvite cloud create`: machines from a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.cloud import config_option, opened, said, show_steps, state_option
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.exit_codes import DONE, exit_code_of
from sylvite.cli.output import write_json
from sylvite.cli.template import printable
from sylvite.errors import ConnectionLost, SylviteError

if TYPE_CHECKING:
    from sylvite.cloud.cloud import Cloud

EXAMPLES = (
    Example("sylvite cloud create small web1 web2", "Two machines"),
    Example("sylvite cloud create small web1 --dry-run", "Is everything right that can be checked here?"),
)


@command("create", examples=EXAMPLES)
@click.argument("profile")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--dry-run", is_flag=True, help="Only check what can be checked without asking the provider.")
@config_option
@state_option
@pass_options
def create(
    options: GlobalOptions,
    profile: str,
    names: tuple[str, ...],
    config_dir: Path | None,
    state_dir: Path | None,
    *,
    dry_run: bool,
) -> int:
    """Create machines from a profile.

    One after the other, each step an event: creating, requesting, querying, [tagging], [waiting_for_ssh, deploying, deploy_script], created. Where one fails there is an event `failed` that says whether a machine is left at the provider; the others are still made.
    """
    names = tuple(dict.fromkeys(names))
    if dry_run:
        with opened(options, config_dir, state_dir, bus=False) as cloud:
            found = [_checked(cloud, name, profile) for name in names]
        if options.json:
            write_json(found)
        else:
            for one in found:
                click.echo(f"{one['name']} would be created at {printable(one['provider'])}{_plan(one)}")
        return DONE
    with opened(options, config_dir, state_dir, progress=show_steps(options)) as cloud:
        for name in names:
            cloud.check_create(name, profile)
        done, code = _create_all(options, cloud, names, profile)
    if options.json:
        write_json(done)
    return code


def _create_all(
    options: GlobalOptions, cloud: Cloud, names: tuple[str, ...], profile: str
) -> tuple[list[dict[str, Any]], int]:
    done: list[dict[str, Any]] = []
    code = DONE
    for number, name in enumerate(names):
        try:
            machine = cloud.create(name, profile)
        except SylviteError as error:
            if len(names) == 1:
                raise
            code = code or exit_code_of(error.code)
            done.append({"name": name, "error": {"code": error.code, "message": said(error)}})
            click.echo(f"sylvite: {name}: {said(error)}", err=True)
            if isinstance(error, ConnectionLost):
                # Without the bus nothing could be told: no more machines are begun.
                left = ", ".join(names[number + 1 :])
                if left:
                    click.echo(f"sylvite: not begun: {left}", err=True)
                break
            continue
        done.append(machine.facts() | {"profile": profile})
        if not options.json:
            addresses = ", ".join((*machine.public_ips, *machine.private_ips)) or "no address"
            click.echo(
                f"{name} is created: {printable(machine.id)} at {printable(machine.provider)}, {printable(addresses)}"
            )
    return done, code


def _checked(cloud: Cloud, name: str, profile: str) -> dict[str, Any]:
    found = cloud.check_create(name, profile)
    machine = found.machine
    return {
        "name": name, "profile": found.name, "provider": found.provider.name, "driver": found.provider.driver,
        "size": machine.size, "image": machine.image, "location": machine.location,
        "script": machine.script if machine.deploys else None, "dry_run": True,
    }  # fmt: skip


def _plan(found: dict[str, Any]) -> str:
    parts = [
        f"{key} {printable(str(found[key]))}"
        for key in ("size", "image", "location", "script")
        if found[key] is not None
    ]
    return f": {', '.join(parts)}" if parts else ""
