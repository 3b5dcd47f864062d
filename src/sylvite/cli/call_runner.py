"""`sylvite run`: run a runner, and tell the bus of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.call_options import (
    answer_error,
    call_options,
    log_to_stderr,
    names_of,
    read_node,
    shown,
    write_docs,
)
from sylvite.cli.command import Example, GlobalOptions, command, pass_options

EXAMPLES = (
    Example("sylvite run state.event pretty=True", "Watch the bus", endless=True),
    Example("sylvite run state.event 'salt/minion/*/start' count=3 quiet=True", "Wait for three events", endless=True),
    Example("""sylvite run event.send my/custom/event '{"foo": "bar"}'""", "Fire an event"),
    Example("sylvite run -d state.event", "What a runner says of itself"),
)


@command("run", examples=EXAMPLES)
@click.argument("function", required=False)
@click.argument("arguments", nargs=-1, metavar="[ARG ...] [NAME=VALUE ...]")
@call_options
@pass_options
def run(
    options: GlobalOptions,
    function: str | None,
    arguments: tuple[str, ...],
    config: Path | None,
    module_dirs: tuple[str, ...],
    out: str | None,
    out_indent: int | None,
    no_parse: str,
    *,
    doc: bool,
) -> int:
    """Run a runner in this process, as `salt-run` does.

    The bus is told: `salt/run/JID/new` before it, `salt/run/JID/ret` with what it returned behind it. ARG and VALUE are
    read as in `sylvite call`. Exit code 255: there is no such runner; 1: it cannot be called so, or failed.
    """
    from sylvite.functions.arguments import parse_arguments
    from sylvite.functions.context import Context
    from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
    from sylvite.functions.grains_file import grains_of
    from sylvite.functions.library import Library
    from sylvite.functions.signatures import docs_of
    from sylvite.functions.task import RUNNER, Task, calling_user, run_task
    from sylvite.jobs.jid import JidMaker

    log_to_stderr(options)
    found = read_node(options, "master", config, {"runner_dirs": module_dirs})
    opts = {**found.opts, "__cli": "salt-run"}
    if function is None and not doc:
        raise click.UsageError("Missing argument 'FUNCTION'; `sylvite run -d` shows which there are")
    result = shown(options, out, out_indent)

    def show_progress(tag: str, data: dict[str, Any]) -> None:
        if tag == "progress" and not options.quiet:
            result.write(data.get("message", data.get("data", data)))

    with found.bus as bus:
        library = Library(Context(opts, grains_of(opts), bus))
        if doc or function is None:
            write_docs(options, docs_of(library.runners, [function] if function is not None else []))
            return exit_codes.DONE
        try:
            given = parse_arguments(arguments, no_parse=list(names_of(no_parse)))
            task = Task(RUNNER, function, given, JidMaker().make(time.time_ns()), calling_user())
            outcome = run_task(library, task, show_progress)
        except (FunctionNotAvailable, InvalidArguments, FunctionFailed) as error:
            cause = error.__cause__ or error
            failure = f"Exception occurred in runner {function}: {type(cause).__name__}: {cause}"
            return answer_error(options, error, failure)
    if not options.quiet:
        result.write(outcome.value)
    return exit_codes.DONE
