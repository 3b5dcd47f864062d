"""Targets of the languages of jobs: which minions a job is for, on what minions say of themselves; and job ids."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sylvite.errors import InvalidJid, InvalidTarget
from sylvite.jobs.jid import parse_jid, write_jid
from sylvite.jobs.targets import TARGET_TYPES, parse_target
from tests.fuzz.mutate import change_text
from tests.fuzz.target import Target

NODEGROUPS: Mapping[str, str | Sequence[str]] = {
    "web": "L@web1,web2", "list": ["web1", "G@os:Debian"], "deep": "N@web and not N@list", "loop": "N@back", "back": "N@loop or a",
    "wide": " or ".join(["N@deep"] * 20), "wider": " or ".join(["N@wide"] * 20), "wrong": "and", "empty": "",
}  # fmt: skip
MINIONS: Sequence[tuple[str, Mapping[str, Any]]] = (
    (
        "web1",
        {
            "os": "Debian",
            "roles": ["web", {"db": ["x", "y"]}],
            "ipv4": ["10.0.0.1", 5, None],
            "ipv6": "::1",
            "n": 1.5,
            "t": True,
        },
    ),
    (
        "a" * 192,
        {"os": {"os": {"os": ["a" * 3000] * 50}}, "roles": "a" * 5000, "ipv4": "999.0.0.1", "url": "http://a:80"},
    ),
    (
        "db-1.example.org",
        {"roles": [[["web"]] * 20] * 20, "os": None, "ipv4": {}, "deep": {"a": {"a": {"a": {"a": "a"}}}}},
    ),
    ("é", {}),
)
TEXTS = (
    "glob web*", "glob [a-z]?[!x]", "pcre web[0-9]+$", "list web1,db1", "grain os:Deb*", "grain roles:db:x", "grain_pcre os:(a|b)",
    "grain url:http://*", "ipcidr 10.0.0.0/8", "ipcidr ::1", "nodegroup deep", "nodegroup wide", "pillar a:b",
    "compound web* and G@os:Debian or E@db.*", "compound not ( N@web or L@a,b )", "compound G|@url|http* and P!@os!D.*",
    "compound ( ( a or b ) and not not c )", "compound S@10.0.0.0/8 or N@list", "compound N@wide and P@os:a.*b",
)  # fmt: skip
WORDS = (
    " and ", " or ", " not ", " ( ", " ) ", "(", ")", "G@", "P@", "E@", "L@", "S@", "N@", "I@", "R@", "X@", "@", ":", "|", ",", "*", "?", "[", "]", " ",
    "os:", "roles:", "deep:a:a:a:", "web", "wider", "loop", "back", "wrong", ".*", "(a+)+", "(a|a)*", "a{9,}", "\\1", "(?=a)", "AND", "\t", "\n", "\0",
    "::/0", "0.0.0.0/0", "1/1", "é", "\ud800", "pcre ", "grain ", "grain_pcre ", "compound ", "nodegroup ", "ipcidr ", "list ", "a" * 300, "not " * 20,
)  # fmt: skip
JIDS = ("20261123224730771814", "20261123224730771814_4711", "00000000000000000000", "99991231235959999999", "req")


def run_target(raw: bytes) -> None:
    """A target that is taken says yes or no of every minion, in its time; what a minion is sent says the same."""
    tgt_type, _, text = raw.decode("utf-8", "replace").partition(" ")
    target = parse_target(text, tgt_type, nodegroups=NODEGROUPS)
    assert tgt_type in TARGET_TYPES
    sent = parse_target(target.tgt, target.tgt_type)
    for minion, grains in MINIONS:
        found = target.matches(minion, grains)
        assert isinstance(found, bool)
        assert sent.matches(minion, grains) is found


def run_jid(raw: bytes) -> None:
    """A jid that is taken is the moment that it is written as."""
    text = raw.decode("utf-8", "replace")
    assert text.startswith(write_jid(parse_jid(text).stamp))


def _change_target(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """Change it by words; or put two of them together, so that more of them can be read."""
    text = raw.decode("utf-8", "replace")
    if rng.random() < 0.3:
        first, second = (rng.choice(TEXTS).partition(" ")[2] for _ in range(2))
        frame = rng.choice(("{} and {}", "( {} ) or not ( {} )", "not {} and N@web or {}", "{} {}", "( {} and {} )"))
        text = f"compound {frame.format(first, second)}"
    if rng.random() < 0.8:
        text = change_text(rng, text, WORDS, [other.decode("utf-8", "replace") for other in others[:5]])
    return text.encode("utf-8", "replace")


def _change_jid(rng: random.Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    del others
    words = ("0", "9", "_", "-", " ", "\n", "٣", "13", "32", "60", "_1", "../", "é")
    return change_text(rng, raw.decode("utf-8", "replace"), words).encode("utf-8", "replace")


def _targets() -> Mapping[str, bytes]:
    return {f"{number:02d}": text.encode() for number, text in enumerate(TEXTS)}


def _jids() -> Mapping[str, bytes]:
    return {f"{number:02d}": text.encode() for number, text in enumerate(JIDS)}


TARGETS: dict[str, Target] = {
    "targets": Target(run_target, (InvalidTarget,), _targets, _change_target, 20),
    "jids": Target(run_jid, (InvalidJid,), _jids, _change_jid, 2),
}
