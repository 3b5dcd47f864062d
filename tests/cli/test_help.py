"""Help: every command has a summary and examples, and asking for it imports little."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from sylvite.cli import main
from sylvite.cli.command import Command, LazyGroup


def commands(group: LazyGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, click.Command]]:
    """Yield the path, the summary in the group's list, and the command itself."""
    context = click.Context(group)
    for name, (_, summary) in group.lazy.items():
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), summary, command
        if isinstance(command, LazyGroup):
            yield from commands(command, (*path, name))


def root() -> LazyGroup:
    assert isinstance(main.sylvite, LazyGroup)
    return main.sylvite


ALL = list(commands(root()))


@pytest.mark.parametrize(("path", "summary", "command"), ALL, ids=[" ".join(path) for path, _, _ in ALL])
def test_the_list_says_what_the_command_says_of_itself(
    path: tuple[str, ...], summary: str, command: click.Command
) -> None:
    """Summaries are written twice, because the list must not import the commands."""
    assert (command.help or "").split("\n")[0] == summary
    assert command.name == path[-1]


@pytest.mark.parametrize(
    ("path", "command"), [(path, command) for path, _, command in ALL if isinstance(command, Command)]
)
def test_every_command_has_examples_of_itself(path: tuple[str, ...], command: Command) -> None:
    assert command.examples
    for example in command.examples:
        words = shlex.split(example.line)
        assert any(words[at : at + 1 + len(path)] == ["sylvite", *path] for at in range(len(words))) or (
            f"$(sylvite {' '.join(path)}" in example.line
        )


@pytest.mark.parametrize("path", [(), *(path for path, _, _ in ALL)], ids=" ".join)
def test_help_of_every_command(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: " + " ".join(("sylvite", *path)) in shown
    assert "--socket" in shown


def test_examples_stand_in_help_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Never wrapped, so that they survive copy and paste."""
    from sylvite.cli.tail import EXAMPLES

    main.main(["tail", "--help"])
    shown = capsys.readouterr().out.splitlines()
    assert {example.line for example in EXAMPLES} <= {line.strip() for line in shown}


def test_the_list_of_commands_imports_none_of_them() -> None:
    program = "import sys; from sylvite.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not {"sylvite.cli.tail", "sylvite.cli.log", "sylvite.cli.doctor", "yaml"} & set(done.stderr.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    assert "_SYLVITE_COMPLETE" in capsys.readouterr().out


def test_completion_completes_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the script asks of the program at each press of the key."""
    monkeypatch.setenv("_SYLVITE_COMPLETE", "bash_complete")
    for words, expected in (
        ("sylvite cur", "cursors"),
        ("sylvite tail --unt", "--until"),
        ("sylvite log ver", "verify"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert main.main([]) == 0
        assert f"plain,{expected}" in capsys.readouterr().out
