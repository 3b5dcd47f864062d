"""Lint: the settings of NATS servers against those that keep our promises.  Decides; looks at nothing itself.

Each rule says what is wrong and what to do.  What could not be seen is said too: silence is no proof.
Source: spec of nats-server's advisories of 2026, and what Jepsen found in 2.12.1 (docs/cluster.md, "Why these settings").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec
from nats.js import api

from sylvite.cluster import clock, leases, positions, shared
from sylvite.cluster.connection import what_is_wrong_with_version
from sylvite.cluster.facts import ALWAYS, USUAL_STORE, ServerFacts
from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import AS_WE_MAKE_IT, stream_config, wrong_settings
from sylvite.core.batch import BATCH_BYTES_MAX

PAYLOAD_BYTES_MIN = BATCH_BYTES_MAX + 64 * 1024
"""The largest batch of events, and what stands around it."""

STREAMS = 4
"""The log, the bucket of leases, and that of what the masters share."""

State = Literal["ok", "warn", "FAIL"]


class Finding(msgspec.Struct, frozen=True):
    """`rule`: which one found it.  `where`: a server, a stream; empty for all of it."""

    rule: str
    state: State
    where: str
    text: str
    cure: str = ""


Found = Iterator[tuple[State, str, str]]
Rule = Callable[[ServerFacts], Found]


def lint_servers(servers: Sequence[ServerFacts]) -> list[Finding]:
    """Return what is wrong with each of the servers."""
    return [
        Finding(name, state, facts.name, text, cure)
        for facts in servers
        for name, rule in RULES.items()
        for state, text, cure in rule(facts)
    ]


def _version(facts: ServerFacts) -> Found:
    if facts.version is not None and (reason := what_is_wrong_with_version(facts.version)):
        yield "FAIL", f"nats-server {facts.version} {reason}", "update it: known holes are closed in later ones"


def _jetstream(facts: ServerFacts) -> Found:
    if facts.jetstream is False:
        yield "FAIL", "it has no JetStream", "add `jetstream { store_dir: ..., sync_interval: always }`"


def _sync(facts: ServerFacts) -> Found:
    if facts.sync_s is not None and facts.sync_s != ALWAYS:
        text = f"what it acknowledges may be in memory alone for {facts.sync_s:g} s: a power cut loses it"
        yield "FAIL", text, "set `jetstream { sync_interval: always }`"


def _store(facts: ServerFacts) -> Found:
    if facts.store is not None and facts.store.startswith(USUAL_STORE):
        yield "FAIL", f"it keeps its streams in {facts.store}, which a restart of the machine empties", "set store_dir"


def _auth(facts: ServerFacts) -> Found:
    if facts.auth is False:
        yield (
            "FAIL",
            "it lets in whoever connects",
            "give each master a user: `accounts { ... users: [ { nkey: U... } ] }`",
        )
    if facts.no_auth_user:
        yield "FAIL", "no_auth_user lets in who has no credentials (CVE-2026-58253)", "remove no_auth_user"
    if facts.verify_and_map:
        yield "FAIL", "verify_and_map takes names out of certificates (CVE-2026-33248)", "use nkeys or JWTs"


def _tls(facts: ServerFacts) -> Found:
    if facts.tls is False and facts.clients is not None and facts.clients.is_open:
        yield "FAIL", f"masters are spoken to in clear, at {facts.clients}", "add `tls { cert_file, key_file }`"


def _routes(facts: ServerFacts) -> Found:
    if facts.routes is None:
        return
    if facts.route_auth is False:
        yield "FAIL", f"any server may join, at {facts.routes}", "add `cluster { authorization { user, password } }`"
    if facts.route_tls is False and facts.routes.is_open:
        yield "FAIL", f"servers speak to each other in clear, at {facts.routes}", "add `cluster { tls { ... verify } }`"


def _monitoring(facts: ServerFacts) -> Found:
    for listening in facts.monitoring or ():
        if listening.is_open:
            text = f"its monitoring page, at {listening}, shows users and connections to everybody"
            yield "FAIL", text, "let it listen on 127.0.0.1, or remove it"


def _listeners(facts: ServerFacts) -> Found:
    for name, listening in (facts.extra or {}).items():
        text = (
            f"it listens for {name}, at {listening}; nothing here needs that, and these had most of the holes of 2026"
        )
        yield "FAIL", text, f"remove `{name}`"


def _files(facts: ServerFacts) -> Found:
    for path in facts.open_files or ():
        yield "FAIL", f"{path} can be read by others", f"chmod go-rwx {path}"


def _payload(facts: ServerFacts) -> Found:
    if facts.payload_bytes_max is not None and facts.payload_bytes_max < PAYLOAD_BYTES_MIN:
        text = f"messages have at most {facts.payload_bytes_max} bytes: the largest batch of events does not fit"
        yield "FAIL", text, "set `max_payload: 8MB`"


def _clock(facts: ServerFacts) -> Found:
    if facts.clock_apart_s is not None and abs(facts.clock_apart_s) > clock.WARN_S:
        state: State = "FAIL" if abs(facts.clock_apart_s) > clock.MAX_S else "warn"
        yield (
            state,
            f"its clock and ours are {abs(facts.clock_apart_s):.1f} s apart",
            "run chrony or another NTP client",
        )


RULES: dict[str, Rule] = {
    "version": _version,
    "jetstream": _jetstream,
    "sync": _sync,
    "store": _store,
    "auth": _auth,
    "tls": _tls,
    "routes": _routes,
    "monitoring": _monitoring,
    "listeners": _listeners,
    "files": _files,
    "payload": _payload,
    "clock": _clock,
}
SEEN_BY: dict[str, tuple[str, ...]] = {
    "sync": ("sync_s",),
    "tls": ("clients",),
    "routes": ("route_tls", "route_auth"),
    "monitoring": ("monitoring",),
    "listeners": ("extra",),
    "files": ("open_files",),
    "auth": ("no_auth_user", "verify_and_map"),
}
"""Rules that need what not every source shows: the facts without which they are silent."""


def unseen(facts: ServerFacts) -> list[str]:
    """Return the rules that had too little to look at, with nothing said of them otherwise."""
    return [name for name, needed in SEEN_BY.items() if any(getattr(facts, fact) is None for fact in needed)]


def lint_group(servers: int, with_jetstream: int, replicas: int, leader: str | None) -> list[Finding]:
    """Return what is wrong with all of them together.  `leader`: who leads JetStream; None where that was not seen."""
    found: list[Finding] = []
    if with_jetstream < replicas:
        text = f"{with_jetstream} server{'s' * (with_jetstream != 1)} with JetStream; each event is to be on {replicas}"
        found.append(Finding("replicas", "FAIL", "", text, "add servers, or set replicas of the option cluster"))
    if replicas < 3:
        found.append(
            Finding("replicas", "warn", "", f"replicas: {replicas} survives the loss of no server", "use three servers")
        )
    if servers > 1 and servers % 2 == 0:
        text = f"{servers} servers survive the loss of no more than {servers - 1} would"
        found.append(Finding("replicas", "warn", "", text, "use an odd number of them"))
    if leader == "":
        found.append(
            Finding(
                "leader",
                "FAIL",
                "",
                "nobody leads JetStream",
                "look whether most of the servers run and reach each other",
            )
        )
    return found


def lint_room(settings: ClusterSettings, servers: Sequence[ServerFacts]) -> list[Finding]:
    """Return which servers have too little room: they keep the place of a whole stream free before it is made."""
    wanted = _wanted_bytes(settings)
    return [
        Finding(
            "store",
            "FAIL",
            facts.name,
            f"it keeps at most {facts.store_bytes_max} bytes, less than keep_bytes and the two buckets want ({wanted}): "
            "not all of them can be made",
            "raise max_file_store, or set keep_bytes of the option cluster lower",
        )
        for facts in servers
        if facts.store_bytes_max is not None and facts.store_bytes_max < wanted
    ]


def _wanted_bytes(settings: ClusterSettings) -> int:
    return (settings.keep_bytes or 0) + leases.BYTES_MAX + shared.BYTES_MAX + positions.BYTES_MAX


def lint_account(settings: ClusterSettings, limits: api.AccountLimits) -> list[Finding]:
    """Return in what the account of a master has too little."""
    found: list[Finding] = []
    if 0 <= limits.max_streams < STREAMS:
        text = f"it may have {limits.max_streams} streams; the log and the three buckets are {STREAMS}"
        found.append(Finding("account", "FAIL", "the account", text, f"let it have {STREAMS}"))
    for room, wanted in (
        (limits.max_storage, _wanted_bytes(settings)),
        (limits.storage_max_stream_bytes, max(settings.keep_bytes or 0, shared.BYTES_MAX)),
    ):
        if room > 0 and (settings.keep_bytes is None or room < wanted):
            text = f"it may keep {room} bytes, and keep_bytes and the buckets want {wanted}: not all can be made"
            found.append(Finding("account", "FAIL", "the account", text, "give it more, or set keep_bytes lower"))
            break
    return found


def lint_stream(settings: ClusterSettings, config: api.StreamConfig) -> list[Finding]:
    """Return in what the stream that is there is not as it should be."""
    name, wanted = config.name or "", stream_config(settings)
    found = [Finding("stream", "FAIL", name, text, AS_WE_MAKE_IT) for text in wrong_settings(settings, config)]
    for what, has, wants in (
        ("keep_s", config.max_age, wanted.max_age),
        ("keep_bytes", config.max_bytes, wanted.max_bytes),
        ("messages", config.max_msgs, wanted.max_msgs),
    ):
        if _is_less(has, wants):
            text = f"it keeps less than it should ({what}: {has:g}): a master that is away for long misses events"
            found.append(Finding("stream", "warn", name, text, "raise it, or set the option cluster lower"))
    return found


def _is_less(has: float | None, wants: float | None) -> bool:
    """Compare two limits, of which 0, -1 and None are none."""
    return bool(has and has > 0 and not (wants and 0 < wants <= has))
