"""Two masters and the stream between them: what is published on one is on the other, once and in order."""

from __future__ import annotations

from pathlib import Path

from sylvite.client.sync_client import Client
from sylvite.cluster.dev import DevCluster
from sylvite.core.event import Event
from tests.cluster.masters import Master

WAIT_S = 60.0


def take(client: Client, count: int, *patterns: str, since: str = "oldest") -> list[Event]:
    """Return so many events that match, from the oldest on."""
    found: list[Event] = []
    with client.subscribe(*patterns, since=since) as events:
        while len(found) < count:
            event = events.next(WAIT_S)
            assert event is not None, f"only {len(found)} of {count} have come"
            found.append(event)
    return found


def test_what_one_publishes_the_other_has(nats: DevCluster, tmp_path: Path) -> None:
    with (
        Master(tmp_path / "mars", nats, "mars") as mars,
        Master(tmp_path / "venus", nats, "venus") as venus,
        Client.connect(mars.socket) as on_mars,
        Client.connect(venus.socket) as on_venus,
    ):
        for number in range(10):
            on_mars.publish("t/mars", {"number": number})
        on_venus.publish("t/venus", {"number": 0})
        events = take(on_venus, 10, "t/mars")
        assert [event.data["number"] for event in events] == list(range(10))
        assert {event.sender for event in events} == {f"{on_mars.welcome.sender}@mars"}
        (back,) = take(on_mars, 1, "t/venus")
        assert back.sender == f"{on_venus.welcome.sender}@venus"
