"""`sylvite call`: run an execution function, here and now."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from sylvite.functions.bus import LocalBus
    from sylvite.functions.execute import Outcome

EXAMPLES = (
    Example("sylvite call test.ping", "Whether functions run here"),
    Example(
        """sylvite call event.send myco/mytag/success '{success: True, message: "It works!"}'""",
        "Send an event to the master; without one, fire it on the bus of this node",
    ),
    Example("sylvite call event.send myco/mytag foo=Foo bar=Bar", "The same, by name"),
    Example("sylvite call --local event.send myco/mytag foo=Foo", "On the bus of this node alone"),
    Example("sylvite call grains.item os cpuarch --out json", "What is known of this machine, as JSON"),
    Example("sylvite call -m ./modules my_custom_module.do_something", "A function of your own", exit_code=255),
    Example("sylvite call -d event.send", "What a function says of itself"),
)


@command("call", examples=EXAMPLES)
@click.argument("function", required=False)
@click.argument("arguments", nargs=-1, metavar="[ARG ...] [NAME=VALUE ...]")
@call_options
@click.option("--local", is_flag=True, help="Have nothing to do with the master; nothing is sent up.")
@click.option("--no-return-event", is_flag=True, help="Do not tell the master what the function returned.")
@click.option("--id", "node", metavar="ID", help="The id of this node [of the configuration, else the machine's name].")
@click.option("-g", "--grains", is_flag=True, help="Show what is known of this machine.")
@click.option("--retcode-passthrough", is_flag=True, help="End with the return code that the function left.")
@pass_options
def call(
    options: GlobalOptions,
    function: str | None,
    arguments: tuple[str, ...],
    config: Path | None,
    module_dirs: tuple[str, ...],
    out: str | None,
    out_indent: int | None,
    no_parse: str,
    node: str | None,
    *,
    doc: bool,
    local: bool,
    no_return_event: bool,
    grains: bool,
    retcode_passthrough: bool,
) -> int:
    """Run an execution function in this process, as `salt-call` does.

    It has the options of this machine's minion, and its bus. ARG and VALUE are read as Salt reads them: numbers, true, null, [lists] and {maps},
    anything else is text. Exit code 255: there is no such function; 1: it cannot be called so, or failed.
    """
    # Here, so that the help of other commands need not wait for them.
    from sylvite.functions.arguments import parse_arguments
    from sylvite.functions.context import Context
    from sylvite.functions.errors import FunctionFailed, FunctionNotAvailable, InvalidArguments
    from sylvite.functions.execute import call as call_function
    from sylvite.functions.grains_file import grains_of
    from sylvite.functions.library import Library
    from sylvite.functions.opts import has_master
    from sylvite.functions.signatures import docs_of
    from sylvite.jobs.jid import JidMaker

    log_to_stderr(options)
    found = read_node(options, "minion", config, {"module_dirs": module_dirs})
    opts: dict[str, Any] = {**found.opts, "__cli": "salt-call"}
    if node is not None:
        opts["id"] = node
    if local or not found.is_there:
        opts |= {"file_client": "local", "local": local}
    known = grains_of(opts)
    result = shown(options, out, out_indent)
    if grains:
        result.write({"local": known})
        return exit_codes.DONE
    if function is None and not doc:
        raise click.UsageError("Missing argument 'FUNCTION'; `sylvite call sys.list_functions` shows which there are")
    publication = {
        "fun": function,
        "pid": os.getpid(),
        "jid": JidMaker().make(time.time_ns()),
        # What Salt's own functions look for, to know that nobody is waiting on a bus.
        "tgt": "salt-call",
    }
    with found.bus as bus:
        library = Library(Context(opts, known, bus, publication=publication))
        if doc or function is None:
            write_docs(options, docs_of(library.execution, [function] if function is not None else []))
            return exit_codes.DONE
        try:
            outcome = call_function(library, function, parse_arguments(arguments, no_parse=list(names_of(no_parse))))
        except (FunctionNotAvailable, InvalidArguments, FunctionFailed) as error:
            return answer_error(options, error, str(error))
        result.write({"local": outcome.value})
        if has_master(opts) and not no_return_event:
            _tell_master(bus, str(opts["id"]), function, arguments, outcome)
    return outcome.retcode if retcode_passthrough else exit_codes.DONE


def _tell_master(bus: LocalBus, id_: str, function: str, arguments: tuple[str, ...], outcome: Outcome) -> None:
    """Send the return up, as that of a job that the master gives a jid.  Where that fails it is said, and no failure."""
    from sylvite.core.known_tags import RETURN
    from sylvite.errors import SylviteError
    from sylvite.functions.returning import fire_return

    load: dict[str, Any] = {
        "cmd": "_return", "id": id_, "jid": "req", "fun": function, "fun_args": list(arguments),
        "return": outcome.value, "retcode": outcome.retcode, "arg": list(arguments), "tgt": id_, "tgt_type": "glob",
    }  # fmt: skip
    try:
        fire_return(bus, RETURN, load)
    except SylviteError as error:
        click.echo(f"sylvite: the master was not told what it returned: {error}", err=True)
