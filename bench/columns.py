"""Which buses are compared, by the name that `--only` takes."""

from __future__ import annotations

from importlib import import_module

from bench.peers.peer import Peer

PEERS = {
    "sylvite-none": "sylvite.SylviteNone",
    "sylvite-written": "sylvite.SylviteWritten",
    "sylvite-synced": "sylvite.SylviteSynced",
    "salt": "salt.Salt",
    "nats": "nats.Nats",
    "jetstream": "nats.JetStream",
    "jetstream-always": "nats.JetStreamAlways",
    "redis": "redis.Redis",
    "redis-streams": "redis.RedisStreams",
    "redis-streams-always": "redis.RedisStreamsAlways",
    "mosquitto-0": "mosquitto.Mosquitto",
    "mosquitto-1": "mosquitto.MosquittoOnce",
    "zeromq": "zeromq.ZeroMQ",
}
NAMES = {"names-written": "names.SylviteNamesWritten", "names": "names.SylviteNames", "names-salt": "names.SaltNames"}
"""Those of bench.names: Salt's names, ours and its own."""
OURS = ("sylvite-none", "sylvite-written", "sylvite-synced")
OURS_BY_NAMES = ("names-written", "names")
ONE_EACH = (
    "sylvite-synced", "salt", "nats", "jetstream", "redis", "redis-streams", "mosquitto-1", "zeromq",
)  # fmt: skip
"""The columns of what does not depend on a level."""


def peer_class(name: str) -> type[Peer]:
    module, _, kind = {**PEERS, **NAMES}[name].partition(".")
    found: type[Peer] = getattr(import_module(f"bench.peers.{module}"), kind)
    return found


def chosen(words: str) -> list[str]:
    """Return the peers that `--only` means: names, or what they begin with.  Raises ValueError."""
    names: list[str] = []
    for word in words.split(","):
        found = [name for name in PEERS if name == word] or [name for name in PEERS if name.startswith(word)]
        if not found or not word:
            raise ValueError(f"no peer is called {word!r}; there are {', '.join(PEERS)}")
        names += found
    return [name for name in PEERS if name in names]
