"""The command lines of Salt's programs, as those of `sylvite`: what is typed behind `salt-call` becomes words for `sylvite call`.

    salt-call     sylvite call            salt-key      answered by `key_program`
    salt-run      sylvite run             salt-master   sylvite master
    salt          sylvite jobs run        salt-minion   sylvite minion
                                          salt-api      sylvite api

Options stand anywhere among the arguments, long ones may have their value behind `=`, short ones at once behind them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from sylvite.compat.defaults import SALT_FOLDER

OUTPUTTERS = ("nested", "json", "yaml", "raw", "pprint", "txt", "quiet")


class UsageError(Exception):
    """What was typed cannot be used; the message is for the one who has typed it."""


class Option(NamedTuple):
    """`names`: as they are typed.  `becomes`: a word of `sylvite`, in front of the value; empty where it has no meaning here.

    `everywhere`: the word stands before the command.
    """

    names: str
    becomes: str = ""
    has_value: bool = False
    everywhere: bool = False


def _value(names: str, becomes: str = "") -> Option:
    return Option(names, becomes, has_value=True)


_COMMON = (
    _value("-c --config-dir"), _value("--out --output", "--out"), _value("--out-indent --output-indent", "--out-indent"),
    _value("-l --log-level"), _value("--log-file"), _value("--log-file-level"), _value("--saltfile"),
    _value("--state-output --state_output"), _value("--state-verbose --state_verbose"),
    Option("--no-color --no-colour", "--color=never", everywhere=True),
    Option("--force-color --force-colour", "--color=always", everywhere=True),
)  # fmt: skip
_CALL = (
    Option("--local", "--local"), _value("--id", "--id"), Option("-g --grains", "--grains"),
    _value("-m --module-dirs", "--module-dirs"), Option("-d --doc --documentation", "--doc"),
    Option("--retcode-passthrough", "--retcode-passthrough"), Option("--no-return-event", "--no-return-event"),
    _value("--no-parse", "--no-parse"), Option("--skip-grains"), Option("--refresh-grains-cache"), _value("-t --timeout"),
)  # fmt: skip
_RUN = (
    Option("--async", "--async"), _value("--jid", "--jid"), Option("-d --doc --documentation", "--doc"),
    Option("--quiet", "--quiet", everywhere=True), _value("--no-parse", "--no-parse"), Option("--skip-grains"),
    _value("-t --timeout"),
)  # fmt: skip
_JOBS = (
    Option("-E --pcre", "--pcre"), Option("-L --list", "--list"), Option("-G --grain", "--grain"),
    Option("-P --grain-pcre", "--grain-pcre"), Option("-C --compound", "--compound"), Option("-N --nodegroup", "--nodegroup"),
    Option("-S --ipcidr", "--ipcidr"), _value("--delimiter", "--delimiter"), _value("-t --timeout", "--timeout"),
    Option("--async", "--async"), _value("-b --batch --batch-size", "--batch"), _value("--batch-wait", "--batch-wait"),
    Option("--failhard", "--failhard"), _value("--subset", "--subset"), Option("--show-jid", "--show-jid"),
    _value("--no-parse", "--no-parse"), _value("--args-separator", "--args-separator"), _value("--metadata", "--metadata"),
    Option("--start-event", "--start-event"), Option("-s --static"), Option("-p --progress"), Option("--hide-timeout"),
    Option("-v --verbose", "--show-jid"), Option("--hard-crash"), _value("--gather-job-timeout"),
)  # fmt: skip


_DAEMON = (
    _value("-l --log-level", "--log-level"), _value("--log-file", "--log-file"),
    Option("-d --daemon"), _value("-u --user"), _value("--pid-file"), Option("--disable-keepalive"),
)  # fmt: skip


class Program(NamedTuple):
    """`node`: whose configuration it reads."""

    command: tuple[str, ...]
    node: Literal["master", "minion"]
    options: tuple[Option, ...]
    config_word: str = "--config"


PROGRAMS: Mapping[str, Program] = {
    "salt": Program(("jobs", "run"), "master", (*_COMMON, *_JOBS)),
    "salt-call": Program(("call",), "minion", (*_COMMON, *_CALL)),
    "salt-run": Program(("run",), "master", (*_COMMON, *_RUN)),
    "salt-master": Program(("master",), "master", (*_COMMON, *_DAEMON)),
    "salt-minion": Program(("minion",), "minion", (*_COMMON, *_DAEMON)),
    "salt-api": Program(("api",), "master", (*_COMMON, *_DAEMON), "--master"),
}

DAEMONS = ("salt-master", "salt-minion", "salt-api")


class Translated(NamedTuple):
    """`words`: for `sylvite`.  `notes`: what to say on stderr.  `ends_with`: other exit codes than those of `sylvite`."""

    words: list[str]
    notes: list[str]
    ends_with: Mapping[int, int]


def translate(name: str, typed: Sequence[str]) -> Translated:
    """Return what a command line of Salt's means.

    Raises:
        UsageError: an option that there is not, or without its value.
    """
    program = PROGRAMS[name]
    before, options, arguments, notes = list[str](), list[str](), list[str](), list[str]()
    folder: str | None = None
    for word, option, value in read_options(program.options, typed):
        if option is None:
            arguments.append(word)
        elif option.names.startswith("-c "):
            folder = value
        elif option.becomes == "--out" and value not in OUTPUTTERS:
            notes.append(f"[ERROR   ] Invalid outputter {value} specified, fall back to nested")
        elif option.becomes:
            (before if option.everywhere else options).append(option.becomes)
            if option.has_value:
                options.append(value)
    config = configuration(program.node, folder)
    options += [program.config_word, config] if config is not None else []
    # Missing functions: `salt-run` says so and ends as if all were well (spec 6.3).
    ends_with = {255: 0, 130: 1} if name == "salt-run" else {130: 0}
    return Translated([*before, *program.command, *options, "--", *arguments], notes, ends_with)


def read_options(options: Sequence[Option], typed: Sequence[str]) -> Iterator[tuple[str, Option | None, str]]:
    """Yield each word that is an argument, and each option with its value.

    Raises:
        UsageError: an option that there is not, or without its value.
    """
    known = {name: option for option in options for name in option.names.split()}
    words = iter(typed)
    for word in words:
        if word == "--":
            yield from ((rest, None, "") for rest in words)
            return
        if not word.startswith("-") or word == "-":
            yield word, None, ""
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        option = known.get(name)
        if option is None:
            raise UsageError(f"no such option: {name}")
        if not option.has_value:
            if equals:
                raise UsageError(f"{name} option does not take a value")
        elif not equals:
            following = next(words, None)
            if following is None:
                raise UsageError(f"{name} option requires 1 argument")
            value = following
        yield name, option, value


def configuration(node: str, folder: str | None = None) -> str | None:
    """Return the file of a node that counts; None where Sylvite's own does.

    `folder`: what was typed behind `-c`, else $SALT_CONFIG_DIR; without either Salt's own, where it has a file there.
    """
    named = folder or os.environ.get(f"SALT_{node.upper()}_CONFIG") or os.environ.get("SALT_CONFIG_DIR")
    if named is not None:
        # Daemons leave the folder that they were started in.
        path = os.path.abspath(named)
        return os.path.join(path, node) if os.path.isdir(path) else path
    usual = os.path.join(SALT_FOLDER, node)
    return usual if os.path.isfile(usual) else None
