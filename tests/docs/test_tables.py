"""The tables of the pages, against the code that they tell of."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast, get_args

import msgspec
import pytest
import yaml

import sylvite
from sylvite import Client
from sylvite.broker.server import HELLO_WITHIN_S
from sylvite.broker.settings import BrokerSettings, Limits
from sylvite.broker.verbs import VERBS
from sylvite.cli import exit_codes, main
from sylvite.cli.place import parse_place
from sylvite.client import publisher
from sylvite.client.subscription import AckMode
from sylvite.config import read_config
from sylvite.core import block, environment, event, grammar, pattern, predicate, tag
from sylvite.core.duration import parse_bytes, parse_duration_s
from sylvite.core.level import Level
from sylvite.core.pattern import Filter
from sylvite.errors import SylviteError
from sylvite.eventlog import sources
from sylvite.testing.broker import BrokerProcess
from sylvite.wire import frame, messages, session
from tests.docs.blocks import PROJECT, blocks, table_under
from tests.docs.messages import messages_of, shown_messages, speakers

DOCS = PROJECT / "docs"
SOURCE = PROJECT / "src" / "sylvite"
OPERATIONS, PROTOCOL, PYTHON, CLI = (DOCS / f"{name}.md" for name in ("operations", "protocol", "python", "cli"))


def words(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


# -- operations.md ---------------------------------------------------------------------------------------------------


def keys(kind: type[msgspec.Struct], path: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys(field.type, f"{path}{field.name}.")
        else:
            yield path + field.name


def flat(found: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from flat(cast(dict[str, Any], value), f"{path}{name}.")
        else:
            yield path + name


def test_the_configuration_that_is_shown_is_the_default_and_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every key there is, with the value that it has without a file."""
    shown = next(block.text for block in blocks(OPERATIONS) if block.argument == "broker.yaml")
    path = tmp_path_factory.mktemp("config") / "broker.yaml"
    path.write_text(shown)
    assert read_config(path, BrokerSettings) == BrokerSettings()
    assert set(flat(yaml.safe_load(shown))) == set(keys(BrokerSettings))


def test_exit_codes() -> None:
    rows = table_under(OPERATIONS, "Exit codes")
    assert [int(row[0]) for row in rows] == sorted(
        value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)
    )
    shown = {int(code): set(words(cell)) - {"verify", "doctor"} for code, _, cell in rows}
    expected: dict[int, set[str]] = defaultdict(set)
    for error, code in exit_codes.EXIT_CODES.items():
        expected[code].add(error)
    assert {code: found for code, found in shown.items() if found} == expected


def test_exit_codes_in_the_help_of_the_program() -> None:
    shown = set(re.findall(r"\b\d+\b", str(main.sylvite.help)))
    assert shown == {row[0] for row in table_under(OPERATIONS, "Exit codes")}


def test_events_of_the_broker() -> None:
    """Those that its source publishes; notes of recovery are published as `log/…`."""
    published = set[str]()
    for path in (SOURCE / "broker").glob("*.py"):
        published |= set(re.findall(r"publish_own\(\s*\"([^\"]+)\"", path.read_text()))
    recovery = (SOURCE / "eventlog" / "recovery.py").read_text()
    published |= {f"log/{kind}" for kind in re.findall(r"Note\(\"(\w+)\"", recovery)}
    shown = {words(row[0])[0] for row in table_under(OPERATIONS, "Watch")}
    assert shown == {f"sylvite/{name}" for name in published}


def test_levels() -> None:
    for path in (OPERATIONS, DOCS / "log-format.md"):
        heading = "Levels" if path == OPERATIONS else "Acknowledgement"
        names = [words(row[0])[0] for row in table_under(path, heading)]
        assert names == [level.name.lower() for level in Level]


# -- protocol.md -----------------------------------------------------------------------------------------------------


def test_messages() -> None:
    assert shown_messages(PROTOCOL) == messages_of(messages.KINDS)


def test_who_says_what() -> None:
    for name, shown, said in speakers(PROTOCOL, {"client": session.CLIENT_SAYS, "broker": session.BROKER_SAYS}):
        # A broker says no as well, in place of Welcome.
        assert said == shown, name


def test_states() -> None:
    for state, client, broker in table_under(PROTOCOL, "States"):
        for cell, table in ((client, session.CLIENT_SAYS), (broker, session.BROKER_SAYS)):
            legal = table[session.State[state.upper()]]
            shown: dict[str, str] = {}
            for group in cell.split("; "):
                what, _, then = group.partition(" → ")
                for name in what.split(", "):
                    shown[name] = then.upper() or state.upper()
            expected = {kind.__name__: following.name for kind, following in legal.items()}
            assert shown == (expected or {"nothing": state.upper()})


def test_verbs() -> None:
    shown = table_under(PROTOCOL, "Verbs")
    assert [words(row[0])[0] for row in shown] == list(VERBS)
    for name, arguments, answers in shown:
        verb = VERBS[words(name)[0]]
        fields = [field.name for field in msgspec.structs.fields(verb.arguments)]
        assert re.findall(r"\b[a-z_]+\b", re.sub(r"\([^)]*\)", "", arguments)) == fields
        assert ("(owner only)" in answers) == verb.owner_only


def test_ways_to_match() -> None:
    """Of the filter in the protocol, the arguments of the client, and --match."""
    ways = [name for name in Filter.__struct_fields__ if name not in ("exclude", "where")]
    assert [words(row[0])[0] for row in table_under(PYTHON, "Which events")] == ways


def test_limits() -> None:
    limits = Limits()
    log = BrokerSettings().log
    expected = {
        "data of one event": limits.event_bytes,
        "maps, lists and extension values in one event": event.CONTAINERS_MAX,
        "tag": tag.TAG_BYTES_MAX,
        "events in a block": block.EVENTS_MAX,
        "frame": frame.FRAME_BYTES_MAX,
        "frame before the greeting": frame.GREETING_BYTES_MAX,
        "Hello": HELLO_WITHIN_S,
        "patterns of a filter": pattern.PATTERNS_MAX,
        "characters of a pattern": pattern.PATTERN_CHARACTERS_MAX,
        "steps of the patterns of a filter": pattern.STEPS_MAX,
        "predicate": predicate.SOURCE_BYTES_MAX,
        "parts of a predicate": grammar.NODES_MAX,
        "depth of a predicate": grammar.DEPTH_MAX,
        "steps of the patterns of a predicate": grammar.PATTERN_STEPS_MAX,
        "steps of a predicate on one event": environment.STEPS_MAX,
        "connections": limits.connections,
        "connections of one user": limits.connections_per_user,
        "subscriptions of one connection": limits.subscriptions_per_connection,
        "cursors of one user": limits.cursors_per_user,
        "name of a cursor": 128,
        "written and not synced": limits.unsynced_bytes,
        "deliveries waiting for one socket": limits.socket_bytes,
        "all that waits for one socket": limits.answer_bytes,
        "publishers remembered": sources.SOURCES_MAX,
        "runs remembered of one publisher": sources.RUNS_PER_SOURCE_MAX,
        "runs remembered of all": sources.RUNS_MAX,
        "segment": log.segment_bytes,
    }
    shown = {row[0]: row[1] for row in table_under(PROTOCOL, "Limits")}
    assert set(shown) == set(expected)
    for what, limit in expected.items():
        text = shown[what].replace(",", "")
        if text.endswith(" s"):
            assert parse_duration_s(text) == limit
        else:
            assert parse_bytes(re.sub(r" (bytes|characters)$", "", text)) == limit, what


# -- python.md and cli.md --------------------------------------------------------------------------------------------


def test_functions_and_names_of_predicates() -> None:
    private: Any = grammar
    names = [word for row in table_under(PYTHON, "Conditions") for word in words(row[0])]
    assert set(names) == set(private._NAMES)
    content = PYTHON.read_text()
    functions = re.findall(r"^\| `(\w+)\(", content, re.MULTILINE)
    assert set(private._FUNCTIONS) <= set(functions)


def test_reasons_of_gaps() -> None:
    """Those that are made anywhere."""
    made = {
        reason for path in SOURCE.glob("**/*.py") for reason in re.findall(r"\bGap\([^\n]*?\"(\w+)\"", path.read_text())
    }
    assert {words(row[0])[0] for row in table_under(PYTHON, "Gaps")} == made


def test_names_in_the_page_on_python_are_public() -> None:
    """Errors in the table can be imported from the package."""
    for row in table_under(PYTHON, "Errors"):
        for name in words(row[0]):
            if name != "ValueError":
                assert issubclass(getattr(sylvite, name), SylviteError)


def test_every_command_has_its_place() -> None:
    headings = re.findall(r"^## ([\w-]+)$", CLI.read_text(), re.MULTILINE)
    assert set(main.COMMANDS) <= set(headings)


def test_places() -> None:
    rows = table_under(CLI, "tail")
    assert rows
    content = CLI.read_text()
    for text in ("oldest", "newest", "@184467", "time:2h", "cursor:billing"):
        assert f"`{text}`" in content
        parse_place(text)


def test_ways_of_acknowledging() -> None:
    for mode in get_args(AckMode):
        assert f'`ack="{mode}"`' in PYTHON.read_text()
    assert parse_bytes("4MiB") == publisher.WINDOW_BYTES


# -- decisions/ ------------------------------------------------------------------------------------------------------


def test_every_dependency_has_a_page() -> None:
    """Of the base install, the extras and the tools."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    listed += [name for extra in project["project"]["optional-dependencies"].values() for name in extra]
    listed += [name for group in project["dependency-groups"].values() for name in group]
    pages = "\n".join(path.read_text() for path in (DOCS / "decisions").glob("0*.md"))
    for name in {re.split(r"[<>=\[;]", entry)[0] for entry in listed}:
        assert name in pages, name


def test_every_decision_is_listed_and_has_its_parts() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text()
    for path in (DOCS / "decisions").glob("0*.md"):
        content = path.read_text()
        assert path.name in listed
        assert content.startswith(f"# {path.name[:4]}: ")
        for part in ("Context", "Choice", "What it costs"):
            assert f"**{part}.**" in content, path.name


# -- log-format.md ---------------------------------------------------------------------------------------------------


def test_files_of_a_log(sylvite_broker: BrokerProcess) -> None:
    """After two starts, with a cursor that has moved twice: nothing that the page does not name."""
    for _ in range(2):
        with Client.connect(sylvite_broker.socket) as bus, bus.subscribe(cursor="reader") as subscription:
            bus.publish("myco/one", {})
            subscription.next(5)
        sylvite_broker.stop()
        sylvite_broker.start()
    shown = [name for row in table_under(DOCS / "log-format.md", "Log format") for name in words(row[0])]
    patterns = {re.sub(r"<base, 20 digits>|…", r"*", name).rstrip("/") for name in shown}
    found = {path.name for path in (sylvite_broker.folder / "log").iterdir()}
    assert {name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)} == set()
    assert {"LOG", "lock", "cursors", "cursors.previous"} <= found & patterns
