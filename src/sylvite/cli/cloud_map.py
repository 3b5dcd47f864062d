"""`sylvite cloud map`: the machines of a map, those that are not there yet; several at a time, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sylvite.cli.cloud import config_option, opened, said, show_steps, state_option
from sylvite.cli.command import Example, GlobalOptions, command, pass_options
from sylvite.cli.exit_codes import DONE, INTERNAL, exit_code_of
from sylvite.cli.output import write_json
from sylvite.cli.template import printable
from sylvite.errors import ConnectionLost, InvalidInput, SylviteError

if TYPE_CHECKING:
    from sylvite.cloud.cloud import Cloud
    from sylvite.cloud.machine import Machine
    from sylvite.cloud.maps import Mapped

EXAMPLES = (
    Example("sylvite cloud map web.map --dry-run", "Which machines are there, and which would be created?"),
    Example("sylvite cloud map web.map -P 4", "Create those that are not there, four at a time"),
)
PARALLEL_MAX = 64


@command("map", examples=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--dry-run", is_flag=True, help="Only look which are there.")
@click.option(
    "-P", "--parallel", type=click.IntRange(1, PARALLEL_MAX), default=1, metavar="N", help="So many at a time [1]."
)
@click.option("--part", is_flag=True, hidden=True)
@config_option
@state_option
@pass_options
def map_(
    options: GlobalOptions,
    file: Path,
    names: tuple[str, ...],
    parallel: int,
    config_dir: Path | None,
    state_dir: Path | None,
    *,
    dry_run: bool,
    part: bool,
) -> int:
    """Create the machines of a map, those that are not there yet.

    FILE names machines below their profiles, as salt-cloud has it; NAME... are those of them that are meant, else all. What
    is checked without a provider is checked of all of them before the first is begun. With --parallel a machine that
    fails keeps none of the others.
    """
    from sylvite.cloud.maps import read_map

    machines = _chosen(read_map(file), names, file)
    if part:
        options.json = False
        with opened(options, config_dir, state_dir, mapped=machines, progress=show_steps(options)) as cloud:
            done = [_create(cloud, each) for each in machines]
        write_json(done)
        return _code_of(done)
    with opened(options, config_dir, state_dir, bus=None, mapped=machines) as cloud:
        there = cloud.there([(each.name, each.key) for each in machines])
    wanted = [each for each in machines if each.name not in there]
    found = [_shown(there[each.name]) | {"is_there": True} for each in machines if each.name in there]
    if dry_run:
        planned = [{"name": each.name, "profile": each.profile, "is_there": False} for each in wanted]
        return _tell(options, [*found, *planned], dry_run=True)
    if parallel > 1 and len(wanted) > 1:
        places = (("--config-dir", config_dir), ("--state-dir", state_dir))
        words = [word for name, value in places if value is not None for word in (name, str(value))]
        if options.socket is not None:
            words += ["--socket", options.socket]
        words += ["--quiet"] * (-options.verbosity if options.quiet else int(options.json))
        try:
            done = asyncio.run(_in_parallel([str(file), *words], wanted, parallel))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # SIGTERM means the same.
    elif wanted:
        with opened(options, config_dir, state_dir, mapped=machines, progress=show_steps(options)) as cloud:
            done = _one_by_one(cloud, wanted)
    else:
        done = []
    return _tell(options, [*found, *done])


def _chosen(machines: list[Mapped], names: Sequence[str], file: Path) -> list[Mapped]:
    known = {each.name for each in machines}
    for name in names:
        if name not in known:
            raise InvalidInput(f"{printable(name)} is not in {printable(str(file))}")
    return [each for each in machines if not names or each.name in names]


def _create(cloud: Cloud, machine: Mapped) -> dict[str, Any]:
    try:
        created = _shown(cloud.create(machine.name, machine.key))
        # A driver may call it otherwise, as libcloud's dummy does.
        return created | {"name": machine.name, "profile": machine.profile, "is_there": False}
    except SylviteError as error:
        click.echo(f"sylvite: {machine.name}: {said(error)}", err=True)
        failed: dict[str, Any] = {"code": error.code, "message": said(error)}
        return {"name": machine.name, "error": failed, "is_lost": isinstance(error, ConnectionLost)}


def _one_by_one(cloud: Cloud, machines: Sequence[Mapped]) -> list[dict[str, Any]]:
    done: list[dict[str, Any]] = []
    for number, machine in enumerate(machines):
        done.append(_create(cloud, machine))
        if done[-1].get("is_lost"):
            # Without the bus nothing could be told: no more machines are begun.
            if left := ", ".join(each.name for each in machines[number + 1 :]):
                click.echo(f"sylvite: not begun: {left}", err=True)
            break
    return done


async def _in_parallel(words: Sequence[str], machines: Sequence[Mapped], parallel: int) -> list[dict[str, Any]]:
    """Have each machine created by a process of its own: drivers, and what was begun, belong to one alone."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    room = asyncio.Semaphore(parallel)

    async def create(machine: Mapped) -> dict[str, Any]:
        async with room:
            return await _part([*words, machine.name], machine.name)

    return list(await asyncio.gather(*map(create, machines)))


async def _part(words: Sequence[str], name: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sylvite", "cloud", "map", "--part", *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        said_, _ = await process.communicate()
    except asyncio.CancelledError:
        # It tells what became of its machine before it ends; Ctrl-C it has heard by itself.
        if process.returncode is None:
            process.terminate()
        await process.wait()
        raise
    try:
        (found,) = json.loads(said_)
    except ValueError:
        reason = f"the process that was to create it has ended with exit code {process.returncode}"
        return {"name": name, "error": {"code": "error", "message": reason}}
    return found


def _shown(machine: Machine) -> dict[str, Any]:
    return dict(machine.facts())


def _code_of(done: Sequence[dict[str, Any]]) -> int:
    codes = [exit_code_of(one["error"]["code"]) or INTERNAL for one in done if "error" in one]
    return codes[0] if codes else DONE


def _tell(options: GlobalOptions, done: Sequence[dict[str, Any]], *, dry_run: bool = False) -> int:
    shown = [{name: value for name, value in one.items() if name != "is_lost"} for one in done]
    if options.json:
        write_json(shown)
        return _code_of(done)
    for one in shown:
        if "error" in one:
            continue  # It was said when it happened.
        if dry_run and not one["is_there"]:
            click.echo(f"{one['name']} would be created: {printable(one['profile'])}")
            continue
        addresses = ", ".join((*one["public_ips"], *one["private_ips"])) or "no address"
        what = "is there" if one["is_there"] else "is created"
        click.echo(
            f"{one['name']} {what}: {printable(one['id'])} at {printable(one['provider'])}, {printable(addresses)}"
        )
    return _code_of(done)
