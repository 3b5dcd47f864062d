"""`sylvite jobs run`: run a function on minions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sylvite.cli import exit_codes
from sylvite.cli.call_options import log_to_stderr, names_of, shown
from sylvite.cli.command import Example, Function, GlobalOptions, command, pass_options
from sylvite.cli.jobs_place import place_options
from sylvite.cli.option_types import DURATION
from sylvite.cli.output import write_json
from sylvite.cli.outputters import OUTPUTTERS
from sylvite.errors import InvalidInput

if TYPE_CHECKING:
    from sylvite.jobs.client_core import MasterPlace
    from sylvite.jobs.local_client import LocalClient
    from sylvite.jobs.publishing import JobOptions, Publication
    from sylvite.jobs.returns import Returns

EXAMPLES = (
    Example("sylvite jobs run '*' test.ping", "Which minions answer", exit_code=2),
    Example("sylvite jobs run -G os:Debian test.arg a b=c", "On those whose grain says so", exit_code=2),
    Example("sylvite jobs run -C 'G@os:Debian and not db*' test.ping --out json", "On those that a condition fits", exit_code=2),
    Example("sylvite jobs run --async '*' test.sleep 60", "Do not wait; `jobs show` says what came of it", exit_code=2),
    Example("sylvite jobs run --batch 25% '*' test.ping", "On a quarter of them at a time", exit_code=2),
)  # fmt: skip
NOBODY = "No minions matched the target. No command was sent, no jid was assigned."
"""Salt's words, here and below."""
NO_RETURN = "ERROR: No return received"
FAILED = "ERROR: Minions returned with non-zero exit code"
TYPES = (
    ("-E", "--pcre", "pcre", "TARGET is a regular expression for ids."),
    ("-L", "--list", "list", "TARGET is a list of ids: web1,web2."),
    ("-G", "--grain", "grain", "TARGET is GRAIN:GLOB."),
    ("-P", "--grain-pcre", "grain_pcre", "TARGET is GRAIN:REGEX."),
    ("-C", "--compound", "compound", "TARGET joins conditions: 'web* and G@os:Debian'."),
    ("-N", "--nodegroup", "nodegroup", "TARGET is a name of the option nodegroups."),
    ("-S", "--ipcidr", "ipcidr", "TARGET is an address or a network."),
)


class Wanted(NamedTuple):
    """What the command line says."""

    target: str
    functions: str | list[str]
    arg: list[Any]
    timeout_s: float | None
    asynchronous: bool
    batch: str | None
    batch_wait: float
    failhard: bool
    subset: int | None
    show_jid: bool
    options: JobOptions


def _target_options(function: Function) -> Function:
    for short, long, name, about in reversed(TYPES):
        function = click.option(short, long, f"as_{name}", is_flag=True, help=about)(function)
    return function


@command("run", examples=EXAMPLES)
@click.argument("target")
@click.argument("function")
@click.argument("arguments", nargs=-1, metavar="[ARG ...] [NAME=VALUE ...]")
@_target_options
@click.option("--delimiter", default=":", metavar="SIGN", help="Between the parts of a grain [:].")
@click.option("-t", "--timeout", type=DURATION, metavar="TIME", help="Without news for so long, ask if it runs [5s].")
@click.option("--async", "asynchronous", is_flag=True, help="Do not wait; print the jid.")
@click.option("-b", "--batch", metavar="N", help="On so many minions at a time: 10, or 25%.")
@click.option("--batch-wait", type=DURATION, default=0.0, metavar="TIME", help="Wait so long before the next one [0].")
@click.option("--failhard", is_flag=True, help="End a batch with the first minion that fails.")
@click.option("--subset", type=click.IntRange(min=1), metavar="N", help="On so many of them, chosen by chance.")
@click.option(
    "--out", "out", type=click.Choice(OUTPUTTERS), metavar="FORMAT", help=", ".join(OUTPUTTERS) + " [nested]."
)
@click.option("--out-indent", type=int, metavar="N", help="Indent by N; JSON with -1 is one line.")
@click.option("--no-parse", metavar="NAMES", default="", help="Keywords whose values stay text: a,b.")
@click.option("--args-separator", default=",", metavar="WORD", help="Between the arguments of several functions [,].")
@click.option("--show-jid", is_flag=True, help="Print the jid too.")
@click.option("--start-event", is_flag=True, help="Have each minion publish an event when it begins.")
@click.option("--metadata", metavar="MAP", help="Keep this with the job; it comes back with each return.")
@place_options
@pass_options
def run(options: GlobalOptions, *, place: MasterPlace, out: str | None, out_indent: int | None, **given: Any) -> int:
    """Run a function on minions, and show what they return.

    TARGET is a shell pattern for ids, unless an option says otherwise. ARG and VALUE are read as in `sylvite call`. FUNCTION
    may be several, `test.ping,test.arg`; then `,` stands between the arguments of one and the next. Exit code 2: no minion
    matches; 1: one has failed, or has not answered.
    """
    from sylvite.jobs.local_client import LocalClient

    log_to_stderr(options)
    wanted = _read(given)
    with LocalClient.connect(place) as local:
        if wanted.subset is not None:
            wanted = _chosen(local, wanted, wanted.subset)
        if wanted.asynchronous:
            return _start(options, local, wanted)
        wanted.options["jid"] = jid = local.new_jid()
        with _interruption(jid):
            published, returns = _published(local, wanted)
            if not published.minions:
                return _nobody(published)
            with returns:
                _introduce(options, wanted, published, returns)
                write = shown(options, out, out_indent).write
                return _show(local, returns, lambda minion, value, own: _write(write, minion, value, own, out))


# -- What is wanted --------------------------------------------------------------------------------------------------


def _read(given: dict[str, Any]) -> Wanted:
    types = [name for _, _, name, _ in TYPES if given.pop(f"as_{name}")]
    if len(types) > 1:
        raise click.UsageError(f"a target is of one type, not {' and '.join(types)}")
    options: JobOptions = {"tgt_type": types[0] if types else "glob", "delimiter": given["delimiter"]}
    if given["start_event"]:
        options["start_event"] = True
    if given["metadata"] is not None:
        from sylvite.cli.values import parse_data

        options["metadata"] = parse_data(given["metadata"], "--metadata")
    if given["asynchronous"] and given["batch"] is not None:
        raise click.UsageError("--batch goes on while this command runs: it goes without --async")
    functions, arg = _read_call(
        given["function"], given["arguments"], given["args_separator"], list(names_of(given["no_parse"]))
    )
    return Wanted(
        given["target"], functions, arg, given["timeout"], given["asynchronous"], given["batch"], given["batch_wait"],
        given["failhard"], given["subset"], given["show_jid"], options,
    )  # fmt: skip


def _read_call(
    function: str, words: Sequence[str], separator: str, no_parse: Sequence[str]
) -> tuple[str | list[str], list[Any]]:
    """Return the functions, and their arguments as a job carries them."""
    from sylvite.functions.arguments import parse_arguments

    if "," not in function:
        return function, parse_arguments(words, no_parse=no_parse).packed()
    functions = function.split(",")
    groups: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            groups.append([])
        else:
            groups[-1].append(word)
    groups += [[] for _ in range(len(functions) - len(groups))]
    if len(groups) > len(functions):
        raise InvalidInput(f"there are arguments for {len(groups)} functions, and {len(functions)} functions")
    return functions, [parse_arguments(group, no_parse=no_parse).packed() for group in groups]


def _chosen(local: LocalClient, wanted: Wanted, subset: int) -> Wanted:
    if not isinstance(wanted.functions, str):
        raise click.UsageError("--subset is for one function: minions are asked whether they have it")
    chosen = local.choose_subset(wanted.target, wanted.functions, subset, timeout_s=wanted.timeout_s, **wanted.options)
    options: JobOptions = {**wanted.options, "tgt_type": "list"}
    return wanted._replace(target=",".join(chosen), options=options)


# -- Running it ------------------------------------------------------------------------------------------------------


def _start(options: GlobalOptions, local: LocalClient, wanted: Wanted) -> int:
    job = local.pub(wanted.target, wanted.functions, wanted.arg, **wanted.options)
    if not job:
        return _nobody(None)
    if options.json:
        write_json(job)
    else:
        click.echo(f"Executed command with job ID: {job['jid']}")
    return exit_codes.DONE


def _published(local: LocalClient, wanted: Wanted) -> tuple[Publication, Returns]:
    if wanted.batch is None:
        return local.start(wanted.target, wanted.functions, wanted.arg, timeout_s=wanted.timeout_s, **wanted.options)
    return local.start_batch(
        wanted.target, wanted.functions, wanted.arg, batch=wanted.batch, batch_wait_s=wanted.batch_wait,
        failhard=wanted.failhard, timeout_s=wanted.timeout_s, **wanted.options,
    )  # fmt: skip


def _nobody(published: Publication | None) -> int:
    click.echo(NOBODY)
    if published is not None:
        _name_missing(published)
    click.echo(NO_RETURN, err=True)
    return exit_codes.USAGE


def _name_missing(published: Publication) -> None:
    if published.missing:
        click.echo(f"no key is accepted for: {', '.join(published.missing)}", err=True)


def _introduce(options: GlobalOptions, wanted: Wanted, published: Publication, returns: Returns) -> None:
    stderr = options.json
    if options.verbose:
        text = f"Executing job with jid {published.jid}"
        click.echo(f"{text}\n{'-' * len(text)}\n", err=stderr)
    elif wanted.show_jid:
        click.echo(f"jid: {published.jid}", err=stderr)
    _name_missing(published)
    if wanted.batch is not None:
        for minion in returns.collecting.missing:
            if minion in published.away:
                click.echo(f"Minion {minion} did not respond. No job will be sent.", err=True)


@contextmanager
def _interruption(jid: str) -> Generator[None]:
    """Say at Ctrl-C that the job goes on without us."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            f"\nThis job's jid is: {jid}\nIt goes on: what minions return is kept, and `sylvite jobs show {jid}` shows it; "
            f"`sylvite jobs kill {jid}` ends it.",
            err=True,
        )
        raise


def _show(local: LocalClient, returns: Returns, write: Callable[[str, Any, str | None], None]) -> int:
    from sylvite.jobs.collecting import has_failed

    failed = False
    for each in returns:
        write(each.minion, each.data["return"], each.data.get("out"))
        failed = failed or has_failed(each.data)
    for minion, shown_ in local.shape_missing(returns).items():
        write(minion, shown_["ret"], None)
        failed = True
    if failed:
        click.echo(FAILED, err=True)
    return exit_codes.NO if failed else exit_codes.DONE


def _write(write: Callable[..., None], minion: str, value: Any, own: str | None, out: str | None) -> None:
    """Write one return; where nobody says how, as its function wants it."""
    usual = own if own in OUTPUTTERS and out is None else "nested"
    write({minion: value}, usual=usual)
    sys.stdout.flush()
