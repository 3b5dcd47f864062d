"""`sylvite run`: run a runner, and tell the bus of it.  `sylvite wheel` does the same with wheel functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from sylvite.cli import exit_codes
from sylvite.cli.call_options import (
    Shown,
    answer_error,
    call_options,
    log_to_stderr,
    names_of,
    read_node,
    shown,
    write_docs,
)
from sylvite.cli.command import Example, Function, GlobalOptions, command, pass_options
from sylvite.cli.output import write_json
from sylvite.cli.outputters import OUTPUTTERS

if TYPE_CHECKING:
    from sylvite.functions.clients import TaskClient
    from sylvite.functions.task import Task

EXAMPLES = (
    Example("sylvite run state.event pretty=True", "Watch the bus", endless=True),
    Example("sylvite run state.event 'salt/minion/*/start' count=3 quiet=True", "Wait for three events", endless=True),
    Example("""sylvite run event.send my/custom/event '{"foo": "bar"}'""", "Fire an event"),
    Example("sylvite run --async test.sleep 1", "Do not wait for it: events say what came of it"),
    Example("sylvite run -d state.event", "What a runner says of itself"),
)


class Call(NamedTuple):
    """What the command line says."""

    function: str | None
    arguments: tuple[str, ...]
    config: Path | None
    module_dirs: tuple[str, ...]
    out: str | None
    out_indent: int | None
    no_parse: str
    doc: bool
    asynchronous: bool
    jid: str | None


def task_options(command: Function) -> Function:
    """Give a command the arguments and options of runs; it gets them as a `Call`."""

    def run(options: GlobalOptions, **given: Any) -> Any:
        return command(options, Call(**given))

    run.__doc__, run.__name__ = command.__doc__, command.__name__
    decorated: Callable[..., Any] = pass_options(run)
    for decorate in (
        click.option("--async", "asynchronous", is_flag=True, help="Do not wait for it; stderr says its tag."),
        click.option("--jid", metavar="JID", help="The job id of the run [one of this moment]."),
        call_options,
        click.argument("arguments", nargs=-1, metavar="[ARG ...] [NAME=VALUE ...]"),
        click.argument("function", required=False),
    ):
        decorated = decorate(decorated)
    return decorated


@command("run", examples=EXAMPLES)
@task_options
def run(options: GlobalOptions, call: Call) -> int:
    """Run a runner in this process, as `salt-run` does.

    It has the options of this machine's master. The bus is told: `salt/run/JID/new` before it, `salt/run/JID/ret` with what it returned behind it.
    ARG and VALUE are read as in `sylvite call`. Exit code 255: there is no such runner; 1: it cannot be called so, or failed.
    """
    from sylvite.functions.clients import RunnerClient

    return run_kind(options, call, RunnerClient, {"runner_dirs": call.module_dirs})


def run_kind(
    options: GlobalOptions, call: Call, client_of: type[TaskClient], folders: dict[str, tuple[str, ...]]
) -> int:
    """Run what a command line asks for.  `folders`: more of them, by option."""
    from sylvite.functions.arguments import parse_arguments
    from sylvite.functions.signatures import docs_of

    log_to_stderr(options)
    found = read_node(options, "master", call.config, folders)
    name = call.function
    if name is None and not call.doc:
        path = click.get_current_context().command_path
        raise click.UsageError(f"Missing argument 'FUNCTION'; `{path} -d` shows which there are")
    with client_of({**found.opts, "__cli": "salt-run"}, bus=found.bus) as client:
        if call.doc or name is None:
            write_docs(options, docs_of(client.functions, [name] if name is not None else []))
            return exit_codes.DONE
        given = parse_arguments(call.arguments, no_parse=list(names_of(call.no_parse)))
        task = client.task(name, given, jid=call.jid)
        return _start(options, client, task) if call.asynchronous else _run(options, call, client, task)


def _run(options: GlobalOptions, call: Call, client: TaskClient, task: Task) -> int:
    from sylvite.functions.ending import ended_by_term
    from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments

    result = shown(options, call.out, call.out_indent)

    def show_progress(tag: str, data: dict[str, Any]) -> None:
        if tag == "progress" and not options.quiet:
            _write(result, data.get("message", data.get("data", data)) if "outputter" not in data else data)

    try:
        with ended_by_term():
            outcome = client.run(task, show_progress)
    except (FunctionNotAvailable, InvalidArguments, FunctionFailed) as error:
        cause = error.__cause__ or error
        notes: list[str] = getattr(cause, "__notes__", [])
        said = "; ".join((str(cause), *notes))
        failure = f"Exception occurred in {task.kind.word} {task.name}: {type(cause).__name__}: {said}"
        return answer_error(options, error, failure)
    if not options.quiet:
        _write(result, outcome.value)
    value: object = outcome.value
    is_of_steps = isinstance(value, dict) and "retcode" in value
    return exit_codes.NO if is_of_steps and not outcome.success else exit_codes.DONE


def _write(result: Shown, value: Any) -> None:
    """Write what a run returned; where it says with which outputter, the data in it."""
    if isinstance(value, dict) and {"outputter", "data"} <= value.keys():
        said = cast("dict[str, Any]", value)
        result.write(said["data"], usual=said["outputter"] if said["outputter"] in OUTPUTTERS else "nested")
    else:
        result.write(value)


def _start(options: GlobalOptions, client: TaskClient, task: Task) -> int:
    ticket = client.start(task)
    if options.json:
        write_json(ticket)
    elif not options.quiet:
        # Salt's words, on the stream that it has them on.
        sys.stderr.write(
            "[WARNING ] Running in asynchronous mode. Results of this execution may be collected by attaching to the master "
            "event bus or by examining the master job cache, if configured. This execution is running under tag "
            f"{ticket['tag']}\n"
        )
    return exit_codes.DONE
