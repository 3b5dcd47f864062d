"""The program: the tree of commands, and how every error ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from sylvite.cli import exit_codes
from sylvite.cli.command import GlobalOptions, LazyGroup
from sylvite.errors import SylviteError

COMMANDS = {
    "publish": ("sylvite.cli.publish:publish", "Publish an event, or one for each line of input."),
    "tail": ("sylvite.cli.tail:tail", "Show events: the last ones, a stretch of history, or live."),
    "get": ("sylvite.cli.get:get", "Show single events, whole."),
    "wait": ("sylvite.cli.wait:wait", "Wait for events that match, and show them."),
    "master": (
        "sylvite.cli.master:master",
        "Run a master until SIGTERM or Ctrl-C: a broker, and the link that minions connect to.",
    ),
    "minion": (
        "sylvite.cli.minion:minion",
        "Run a minion until SIGTERM or Ctrl-C: its bus, and the way to its master.",
    ),
    "link": ("sylvite.cli.link:link", "Let minions in, and bring their events onto the bus, until SIGTERM or Ctrl-C."),
    "call": ("sylvite.cli.call:call", "Run an execution function in this process, as `salt-call` does."),
    "run": ("sylvite.cli.call_runner:run", "Run a runner in this process, as `salt-run` does."),
    "wheel": (
        "sylvite.cli.wheel:wheel",
        "Run a wheel function in this process: it looks after the keys and minions of a master.",
    ),
    "salt-sockets": (
        "sylvite.cli.salt_sockets:salt_sockets",
        "Let programs written for Salt's event bus attach, until SIGTERM or Ctrl-C.",
    ),
    "jobs": (
        "sylvite.cli.jobs:jobs",
        "Run functions on minions, and look after what runs and what came of it.",
    ),
    "presence": ("sylvite.cli.presence:presence", "Show which minions are connected to the master."),
    "bridge": ("sylvite.cli.bridge:bridge", "Copy other buses into ours: salt."),
    "broker": ("sylvite.cli.broker:broker", "Run a broker until SIGTERM or Ctrl-C."),
    "log": ("sylvite.cli.log:log", "Look after the event log: status, verify, export, import, prune, segments."),
    "cursors": ("sylvite.cli.cursors:cursors", "Look after durable cursors: list, show, seek, delete."),
    "keys": ("sylvite.cli.keys:keys", "Look after keys: which minions are let in."),
    "config": ("sylvite.cli.config:config", "Look at the configuration of master and minion: check, show, explain."),
    "cloud": ("sylvite.cli.cloud:cloud", "Create, list and destroy machines at cloud providers, each step an event."),
    "cluster": (
        "sylvite.cli.cluster:cluster",
        "Look after what several masters share: dev, check, join, status, groups, reseed, leave, bridge.",
    ),
    "api": ("sylvite.cli.api:api", "Serve a bus over HTTP until SIGTERM or Ctrl-C."),
    "console": ("sylvite.cli.console:console", "Make a link into the console, which counts once."),
    "certificate": (
        "sylvite.cli.certificate:certificate",
        "Make a key and a certificate for `sylvite api`, signed by itself.",
    ),
    "webhooks": ("sylvite.cli.webhooks:webhooks", "Look after webhooks: events that are posted to URLs."),
    "tokens": ("sylvite.cli.tokens:tokens", "Look after tokens: who may use the bus over HTTP."),
    "status": ("sylvite.cli.status:status", "Show how the broker is doing."),
    "top": ("sylvite.cli.top:top", "Show, live, what the bus carries, who reads, and who is connected."),
    "doctor": ("sylvite.cli.doctor:doctor", "Check this node, with a cure for each thing that is wrong."),
    "completion": ("sylvite.cli.completion:completion", "Print the completion script for a shell."),
}
PROGRAM = "sylvite"
COMPLETE_VARIABLE = "_SYLVITE_COMPLETE"


def _show_version(context: click.Context, _: click.Parameter, value: object) -> None:
    if value and not context.resilient_parsing:
        from sylvite.version import __version__

        click.echo(f"sylvite {__version__}")
        context.exit()


@click.group(PROGRAM, cls=LazyGroup, lazy=COMMANDS)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def sylvite() -> None:
    """Sylvite: an event bus that forgets nothing.

    Exit codes: 0 done; 1 the answer is no; 2 command line; 69 no broker; 70 internal error; 74 disk; 75 try again;
    77 not allowed; 78 configuration; 124 time-out; 130 interrupted; 141 output closed;
    255 no such function.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with `arguments` (else those of the process) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = GlobalOptions()
    if COMPLETE_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(sylvite, {}, PROGRAM, COMPLETE_VARIABLE, os.environ[COMPLETE_VARIABLE])
    try:
        code = _run(given, options)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return exit_codes.PIPE_CLOSED
    return code


def _run(arguments: list[str], options: GlobalOptions) -> int:
    try:
        with sylvite.make_context(PROGRAM, arguments, obj=options) as context:
            result = sylvite.invoke(context)
            return result if isinstance(result, int) else exit_codes.DONE
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except (KeyboardInterrupt, click.Abort):
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        hint = f"see `{error.ctx.command_path} --help`" if error.ctx is not None else None
        # What was given after the command may not have been read yet.
        options.json = options.json or "--json" in arguments
        return _report(options, "usage", error.format_message(), exit_codes.USAGE, hint)
    except SylviteError as error:
        if options.debug:
            _show_traceback()
        return _report(options, error.code, _message(error), exit_codes.exit_code_of(error.code), facts=vars(error))
    except OSError as error:
        if options.debug:
            _show_traceback()
        where = f"{error.filename}: " if error.filename is not None else ""
        code = exit_codes.TRY_AGAIN if error.errno in (errno.ENOSPC, errno.EDQUOT) else exit_codes.DISK_FAILED
        return _report(options, "system", f"{where}{error.strerror or error}", code)
    except Exception as error:  # noqa: BLE001 - the top of the program: a mistake of ours becomes one line
        if options.debug:
            _show_traceback()
        hint = "this is a bug: please report it with what --debug shows"
        return _report(options, "internal", f"internal error: {error!r}", exit_codes.INTERNAL, hint)


def _message(error: SylviteError) -> str:
    notes: list[str] = getattr(error, "__notes__", [])
    return "; ".join((str(error), *notes))


def _report(
    options: GlobalOptions,
    code: str,
    message: str,
    exit_code: int,
    hint: str | None = None,
    facts: dict[str, Any] | None = None,
) -> int:
    """Say on stderr what went wrong: one line, or with --json one object."""
    if options.json:
        import msgspec

        error: dict[str, Any] = {"code": code, "message": message}
        plain = (str, int, float, bool)
        error |= {name: value for name, value in (facts or {}).items() if isinstance(value, plain)}
        if hint is not None:
            error["hint"] = hint
        line = msgspec.json.encode({"error": error}).decode()
    else:
        line = f"{PROGRAM}: {message}" + (f" ({hint})" if hint is not None else "")
    with contextlib.suppress(OSError):  # stderr is gone: there is nobody left to tell.
        click.echo(line, err=True)
    return exit_code


def _show_traceback() -> None:
    import traceback

    traceback.print_exc()


def _silence_stdout() -> None:
    # The interpreter flushes stdout once more at its end; into the closed pipe that would print an error.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
