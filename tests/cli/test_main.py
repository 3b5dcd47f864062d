"""Every error ends as one line, one JSON object, and one exit code."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable

import click
import pytest

from sylvite import errors
from sylvite.cli import exit_codes, main
from sylvite.cli.command import Command, GlobalOptions, LazyGroup
from sylvite.cli.exit_codes import EXIT_CODES
from sylvite.core.event import Gap
from sylvite.errors import SylviteError


def codes_of(kind: type[SylviteError]) -> set[str]:
    return {kind.code}.union(*(codes_of(child) for child in kind.__subclasses__()))


def test_every_error_has_an_exit_code() -> None:
    """Those of the command line and the broker too: each class in the tree, once."""
    import sylvite.api.app
    import sylvite.auth.keyring
    import sylvite.auth.rollover
    import sylvite.broker.server
    import sylvite.cli.archive
    import sylvite.cli.cluster_leave
    import sylvite.cli.keys_bus
    import sylvite.cli.publish_lines
    import sylvite.cloud.errors
    import sylvite.cluster.carried
    import sylvite.export.store
    import sylvite.functions.errors
    import sylvite.functions.key_lists
    import sylvite.functions.low
    import sylvite.functions.orchestration

    assert sylvite.api.app.NotFound.code in EXIT_CODES
    assert sylvite.auth.rollover.NoRollover.code in EXIT_CODES
    assert sylvite.cli.cluster_leave.NotAllSent.code in EXIT_CODES
    assert sylvite.cluster.carried.Forged.code in EXIT_CODES
    assert sylvite.export.store.NotTaken.code in EXIT_CODES
    assert sylvite.functions.key_lists.UnknownList.code in EXIT_CODES
    assert sylvite.functions.low.InvalidLow.code in EXIT_CODES
    assert sylvite.functions.orchestration.InvalidOrchestration.code in EXIT_CODES
    assert sylvite.auth.keyring.KeyInUse.code in EXIT_CODES
    assert sylvite.broker.server.InternalFailure.code in EXIT_CODES
    assert sylvite.cli.keys_bus.NotAnnounced.code in EXIT_CODES
    assert sylvite.cli.archive.BadArchive.code in EXIT_CODES
    assert sylvite.cli.publish_lines.BadLine.code in EXIT_CODES
    assert sylvite.cloud.errors.CloudError.code in EXIT_CODES
    assert sylvite.functions.errors.FunctionFailed.code in EXIT_CODES
    # Other tests may define errors of their own; ours live in sylvite.
    ours = {kind.code for kind in all_kinds(SylviteError) if kind.__module__.startswith("sylvite.")}
    assert ours == set(EXIT_CODES)


def all_kinds(kind: type[SylviteError]) -> list[type[SylviteError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in all_kinds(child))]


def test_exit_codes_are_the_documented_ones() -> None:
    assert set(EXIT_CODES.values()) <= {1, 2, 69, 70, 74, 75, 77, 78, 124, 130, 255}
    assert exit_codes.exit_code_of("a_code_of_a_newer_broker") == 1


RAISED: list[tuple[Callable[[], BaseException], int, str]] = [
    (lambda: errors.BrokerNotReachable("/x/bus.sock", "refused"), 69, "broker_not_reachable"),
    (lambda: errors.ConnectionLost("gone"), 69, "connection_lost"),
    (lambda: errors.NotAllowed("no"), 77, "not_allowed"),
    (lambda: errors.DiskFull("full"), 75, "no_space"),
    (lambda: errors.Overloaded("busy"), 75, "overloaded"),
    (lambda: errors.InvalidSetting("a", 1, "is wrong"), 78, "invalid_setting"),
    (lambda: errors.InvalidTag("", "empty"), 2, "invalid_tag"),
    (lambda: errors.EventTooBig(2, 1), 2, "event_too_big"),
    (lambda: errors.OffsetGone(5, 120), 1, "offset_gone"),
    (lambda: errors.EventsMissed(Gap(1, 2, "retention", 1)), 1, "events_missed"),
    (lambda: errors.AckTimeout("late"), 124, "ack_timeout"),
    (lambda: errors.WaitTimeout("late"), 124, "wait_timeout"),
    (lambda: errors.LogFailed("disk"), 74, "log_failed"),
    (lambda: PermissionError(errno.EACCES, "Permission denied", "/x"), 74, "system"),
    (lambda: OSError(errno.ENOSPC, "No space left on device"), 75, "system"),
    (lambda: ZeroDivisionError("oops"), 70, "internal"),
    (lambda: click.UsageError("wrong"), 2, "usage"),
    (KeyboardInterrupt, 130, ""),
    (click.Abort, 130, ""),
    (BrokenPipeError, 141, ""),
]


class Raising:
    """Stands in for the tree of commands: one command that raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException]) -> None:
        def fail() -> None:
            raise make()

        def silence() -> None:
            pass  # The real one closes stdout, which pytest needs.

        command = Command("fail", callback=fail)
        group = LazyGroup("sylvite", lazy={"fail": ("tests.cli.test_main:command", "")})
        monkeypatch.setitem(globals(), "command", command)
        monkeypatch.setattr(main, "sylvite", group)
        monkeypatch.setattr(main, "_silence_stdout", silence)


@pytest.mark.parametrize(("make", "exit_code", "code"), RAISED)
def test_errors_end_with_one_line_and_their_exit_code(
    make: Callable[[], BaseException],
    exit_code: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Raising(monkeypatch, make)
    assert main.main(["fail"]) == exit_code
    shown = capsys.readouterr()
    assert shown.out == ""
    if code:
        assert shown.err.startswith("sylvite: ")
        assert shown.err.count("\n") == 1
    else:
        assert shown.err == ""


@pytest.mark.parametrize(("make", "exit_code", "code"), [raised for raised in RAISED if raised[2]])
def test_with_json_an_error_is_one_object(
    make: Callable[[], BaseException],
    exit_code: int,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Raising(monkeypatch, make)
    assert main.main(["fail", "--json"]) == exit_code
    shown = json.loads(capsys.readouterr().err)
    assert set(shown) == {"error"}
    assert shown["error"]["code"] == code
    assert shown["error"]["message"]


def test_json_errors_carry_their_facts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Raising(monkeypatch, lambda: errors.OffsetGone(5, 120))
    main.main(["--json", "fail"])
    error = json.loads(capsys.readouterr().err)["error"]
    assert error == {
        "code": "offset_gone",
        "message": "offset 5 is gone; the log now starts at 120",
        "asked": 5,
        "oldest": 120,
    }


def test_debug_shows_where_a_mistake_of_ours_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And only --debug does."""
    Raising(monkeypatch, lambda: ZeroDivisionError("oops"))
    main.main(["fail", "--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["publsh"], "Did you mean 'publish'?"),
        (["tail", "--sinec", "2h"], "--since"),
        (["log", "verfy"], "Did you mean 'verify'?"),
        (["publish"], "Missing argument 'TAG'"),
        (["publish", "t", "--ack", "maybe"], "is not one of 'none', 'written', 'synced'"),
        (["publish", "t", "{a: 1}", "{b: 2}"], "one DATA too many"),
        (["publish", "t", "5"], "must be a map"),
        (["publish", "t", "n=1", "--lines"], "leave DATA and NAME=VALUE out"),
        (["publish", "t", "--wait", "soon"], "is not a duration"),
        (["publish", "t", "--cause", "x"], "is not an offset"),
        (["tail", "--since", "whenever"], "is not a time"),
        (["tail", "--since", "oldest"], "is a place in the log, not a time; write --from oldest"),
        (["wait", "x", "--since", "oldest"], "is not a time"),
        (["tail", "--until", "@x"], "is not an offset"),
        (["tail", "--from", "somewhere"], "is not a place"),
        (["tail", "--from", "oldest", "--since", "2h"], "give one of them"),
        (["tail", "--from", "cursor:a", "-n", "3"], "leave -n out"),
        (["tail", "-n", "-1"], "-1"),
        (["tail", "-o", "yaml"], "is not a format"),
        (["tail", "-o", "template={"], "without its other half"),
        (["tail", "-o", "tag", "--fields", "a"], "--fields goes with"),
        (["tail", "--highlight", "("], "is no regular expression"),
        (["tail", "--gaps", "maybe"], "is not one of"),
        (["tail", "--color", "red"], "is not one of"),
        (["get"], "Missing argument"),
        (["get", "x"], "is not an offset"),
        (["wait"], "Missing argument"),
        (["broker", "--segment", "big"], "is not a size"),
        (["broker", "--tcp", "x"], "is not an address"),
        (["broker", "--socket-mode", "999"], "is not a file mode"),
        (["cursors", "seek", "a", "there"], "is not a place"),
        (["log", "prune", "--dir", "x"], "say --before what"),
        (["log", "import", "x"], "Missing option '--dir'"),
        (["completion", "tcsh"], "is not one of"),
    ],
)
def test_a_wrong_command_line_is_said_in_one_line(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what is wrong, and where help is; before a broker is looked for."""
    assert main.main(["--socket", "/nowhere/bus.sock", *arguments]) == 2
    shown = capsys.readouterr()
    assert part in shown.err
    assert shown.err.startswith("sylvite: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_json_is_heard_even_where_the_command_line_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["tail", "--nonsense", "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


@pytest.mark.parametrize("place", ["before", "after"])
def test_global_options_are_taken_before_and_after_the_command(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[GlobalOptions] = []

    @click.pass_context
    def remember(context: click.Context) -> None:
        seen.append(context.find_object(GlobalOptions) or GlobalOptions())

    command = Command("fail", callback=remember)
    monkeypatch.setitem(globals(), "command", command)
    monkeypatch.setattr(main, "sylvite", LazyGroup("sylvite", lazy={"fail": ("tests.cli.test_main:command", "")}))
    options = ["--socket", "/a", "--json", "--color", "never", "-vv"]
    assert main.main([*options, "fail"] if place == "before" else ["fail", *options]) == 0
    (found,) = seen
    assert (found.socket, found.json, found.color, found.verbosity) == ("/a", True, "never", 2)


def test_a_reader_that_goes_away_ends_it_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter's own flush at the end must not find the closed pipe either."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        assert main.main(["--help"]) == 141
        stdout.write("what is left over goes nowhere")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from sylvite.version import __version__

    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sylvite {__version__}\n"
