"""`salt-key`: the keys of minions, with the options and the words of Salt's program.

What it does is done by our wheel functions; `sylvite keys` is our own program for the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sylvite.compat.command_lines import OUTPUTTERS, Option, UsageError, configuration, read_options
from sylvite.compat.config import client_config
from sylvite.compat.exceptions import SaltConfigurationError
from sylvite.errors import SylviteError
from sylvite.functions.arguments import Arguments
from sylvite.functions.execute import call_function

Functions = Callable[..., Any]
"""Calls a wheel function: its name, then its arguments by name."""
Lists = Mapping[str, Sequence[str]]

FAILED = 1
_TITLES = {
    "minions": "Accepted Keys:", "minions_denied": "Denied Keys:", "minions_pre": "Unaccepted Keys:", "minions_rejected": "Rejected Keys:",
    "minions_revoked": "Revoked Keys:",
}  # fmt: skip
_STATES = {
    "minions_pre": "unaccepted",
    "minions_rejected": "rejected",
    "minions": "accepted",
    "minions_denied": "denied",
}
_ALWAYS = ("minions", "minions_denied", "minions_pre", "minions_rejected")
_WORDS = {
    "acc": "minions",
    "pre": "minions_pre",
    "un": "minions_pre",
    "rej": "minions_rejected",
    "den": "minions_denied",
}


def _value(names: str, becomes: str) -> Option:
    return Option(names, becomes, has_value=True)


_OPTIONS = (
    _value("-c --config-dir", "config"), _value("--out --output", "out"), _value("-l --list", "list"), Option("-L --list-all", "list_all"),
    _value("-a --accept", "accept"), Option("-A --accept-all", "accept_all"), _value("-r --reject", "reject"),
    Option("-R --reject-all", "reject_all"), _value("-d --delete", "delete"), Option("-D --delete-all", "delete_all"),
    _value("-p --print", "key_str"), Option("-P --print-all", "key_str_all"), _value("-f --finger", "finger"),
    Option("-F --finger-all", "finger_all"), Option("-y --yes", "yes"), Option("-q --quiet", "quiet"),
    Option("--include-all", "include_all"), Option("--include-accepted", "include_accepted"),
    Option("--include-rejected", "include_rejected"), Option("--include-denied", "include_denied"),
    Option("--no-color --no-colour", ""), Option("--force-color --force-colour", ""), _value("--log-level", ""),
    _value("--out-indent --output-indent", ""), Option("--preserve-minions", ""), _value("--log-file", ""),
    _value("--log-file-level", ""), _value("--rotate-aes-key", ""), _value("--saltfile", ""),
)  # fmt: skip


class Wanted(NamedTuple):
    """`action`: of a wheel function.  `given`: the options, by name."""

    action: str
    match: str
    given: Mapping[str, str]

    def has(self, name: str) -> bool:
        return name in self.given


class Move(NamedTuple):
    """`done`: what a key is then.  `takes`: the lists that it is for, and the options for more of them."""

    done: str
    takes: tuple[str, ...]
    more: Mapping[str, str]
    usual: bool = True


_MOVES = {
    "accept": Move("accepted", ("minions_pre",), {"include_rejected": "minions_rejected"}),
    "reject": Move("rejected", ("minions_pre",), {"include_accepted": "minions"}),
    "delete": Move("deleted", tuple(_STATES), {}, usual=False),
}


def run_key_program(typed: Sequence[str]) -> int:
    """Do what the command line of `salt-key` says; return the exit code.

    Raises:
        UsageError: it cannot be read.
    """
    wanted = _read(typed)
    # The clients load much: not for those who have mistyped.
    from sylvite.compat.clients import WheelClient

    try:
        with WheelClient(
            client_config(configuration("master", wanted.given.get("config")) or "/etc/salt/master")
        ) as client:

            def call(name: str, **given: Any) -> Any:
                return call_function(f"key.{name}", client.functions.find(f"key.{name}"), Arguments([], given))

            return _act(wanted, call)
    except (SylviteError, SaltConfigurationError) as error:
        sys.stderr.write(f"[ERROR   ] {error}\n")
        return FAILED


def _read(typed: Sequence[str]) -> Wanted:
    given: dict[str, str] = {}
    for word, option, value in read_options(_OPTIONS, typed):
        if option is None:
            raise UsageError(f"unexpected argument {word!r}")
        if option.becomes:
            given[option.becomes] = value
    if (out := given.get("out")) is not None and out not in OUTPUTTERS:
        del given["out"]
        sys.stderr.write(f"[ERROR   ] Invalid outputter {out} specified, fall back to nested\n")
    for action in ("accept", "reject", "delete", "key_str", "finger"):
        if action in given:
            return Wanted(action, given[action], given)
        if f"{action}_all" in given:
            return Wanted(action, "*", given)
    return Wanted("list", _list_named(given["list"]) if "list" in given else "all", given)


def _list_named(word: str) -> str:
    found = next((name for start, name in _WORDS.items() if word.startswith(start)), None)
    if found is None and not (word and "all".startswith(word)):
        raise UsageError(f"{word!r} is not a valid argument to '--list'")
    return found or "all"


def _act(wanted: Wanted, call: Functions) -> int:
    if wanted.action in _MOVES:
        return _move(wanted, _MOVES[wanted.action], call)
    if wanted.action == "list":
        lists: Lists = call("list_all")
        names = _ALWAYS if wanted.match == "all" else (wanted.match,)
        extra = [name for name in ("minions_revoked",) if wanted.match == "all" and lists.get(name)]
        _write(wanted, {name: list(lists.get(name, ())) for name in (*names, *extra)}, lambda found: _lines(found))
        return 0
    values: dict[str, dict[str, str]] = call(wanted.action, match=wanted.match)
    _write(wanted, values, lambda found: _details(found))
    return 0


def _write(wanted: Wanted, found: Mapping[str, Any], lines: Callable[[Mapping[str, Any]], list[str]]) -> None:
    if wanted.has("quiet") or wanted.given.get("out") == "quiet":
        return
    if wanted.given.get("out") in ("json", "yaml"):
        from sylvite.compat import json, yaml

        text = json.dumps(found, indent=4) if wanted.given["out"] == "json" else yaml.safe_dump(dict(found)).rstrip()
        sys.stdout.write(f"{text}\n")
        return
    sys.stdout.write("".join(f"{line}\n" for line in lines(found)))


def _lines(found: Mapping[str, Sequence[str]]) -> list[str]:
    return [line for name, ids in found.items() for line in (_TITLES[name], *sorted(ids))]


def _details(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    lines: list[str] = []
    for name, values in found.items():
        lines.append(_TITLES.get(name, f"{name}:"))
        lines += [f"{id_}:  {value}" for id_, value in sorted(values.items())]
    return lines


def _move(wanted: Wanted, move: Move, call: Functions) -> int:
    more = [option for option in move.more if wanted.has(option) or wanted.has("include_all")]
    takes = (*move.takes, *(move.more[option] for option in more))
    lists: Lists = call("name_match", match=wanted.match)
    found = {name: list(lists[name]) for name in takes if lists.get(name)}
    if not found:
        states = " or ".join(_STATES[name] for name in takes) if move.usual else "unaccepted"
        sys.stdout.write(f"The key glob {wanted.match!r} does not match any {states} keys.\n")
        return 0
    if not wanted.has("quiet"):
        sys.stdout.write(
            "".join(f"{line}\n" for line in (f"The following keys are going to be {move.done}:", *_lines(found)))
        )
    if not wanted.has("yes") and not _confirmed(usual=move.usual):
        return 0
    options = {} if wanted.action == "delete" else dict.fromkeys(more, True)
    call(wanted.action, match=wanted.match, **options)
    if not wanted.has("quiet"):
        ids = sorted(id_ for names in found.values() for id_ in names)
        sys.stdout.write("".join(f"Key for minion {id_} {move.done}.\n" for id_ in ids))
    return 0


def _confirmed(*, usual: bool) -> bool:
    sys.stdout.write(f"Proceed? [{'n/Y' if usual else 'N/y'}] ")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        return False
    answer = line.strip().lower()
    return answer.startswith("y") if answer else usual
