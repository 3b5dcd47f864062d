"""Both clients with one face, so that one suite runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sylvite import AsyncClient, AsyncPublisher, AsyncSubscription, Client, Event, Position, Published
from sylvite.errors import AckUnknown
from sylvite.wire.messages import Welcome

DEADLINE_S = 30.0
"""For every wait; a test that works does not come near it."""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class BlockingPublisher:
    """An AsyncPublisher, each call run to its end."""

    def __init__(self, publisher: AsyncPublisher, run: Run) -> None:
        self._publisher, self._run = publisher, run

    def __enter__(self) -> BlockingPublisher:
        self._run(self._publisher.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._publisher.__aexit__(kind, error, trace))

    @property
    def published(self) -> int:
        return self._publisher.published

    @property
    def acknowledged(self) -> int:
        return self._publisher.acknowledged

    @property
    def refused(self) -> int:
        return self._publisher.refused

    def publish(self, tag: str, data: Mapping[str, Any], cause: Event | int | None = None) -> None:
        self._run(self._publisher.publish(tag, data, cause))

    def flush(self) -> None:
        self._run(self._publisher.flush())


class BlockingSubscription:
    """An AsyncSubscription, each call run to its end."""

    def __init__(self, subscription: AsyncSubscription, run: Run) -> None:
        self._subscription, self._run = subscription, run

    def __enter__(self) -> BlockingSubscription:
        self._run(self._subscription.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._subscription.__aexit__(kind, error, trace))

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self._run(self._subscription.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def position(self) -> Position | None:
        return self._subscription.position

    @property
    def gaps(self) -> int:
        return self._subscription.gaps

    @property
    def end(self) -> int:
        return self._subscription.end

    @property
    def ended(self) -> bool:
        return self._subscription.ended

    @property
    def inner(self) -> AsyncSubscription:
        return self._subscription

    def has_more(self) -> bool:
        return self._subscription.has_more()

    def next(self, timeout_s: float | None = None) -> Event | None:
        return self._run(self._subscription.next(timeout_s))

    def ack(self, event: Event) -> None:
        self._run(self._subscription.ack(event))

    def close(self) -> None:
        self._run(self._subscription.close())


class BlockingClient:
    """An AsyncClient with a loop of its own, each call run to its end; between calls the loop stands still."""

    def __init__(self, path: Path, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._run: Run = self._runner.run
        try:
            self._client: AsyncClient = self._run(self._connected(path, options))
        except BaseException:
            self._runner.close()
            raise

    @staticmethod
    async def _connected(path: Path, options: dict[str, Any]) -> AsyncClient:
        return await AsyncClient.connect(path, **options)

    def __enter__(self) -> BlockingClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def welcome(self) -> Welcome:
        return self._client.welcome

    @property
    def dropped(self) -> int:
        return self._client.dropped

    def close(self) -> None:
        self._run(self._client.close())

    def end(self) -> None:
        """Close the loop too; nothing can be called after it."""
        self.close()
        self._runner.close()

    def publish(self, tag: str, data: Mapping[str, Any] | None = None, **options: Any) -> Published:
        return self._run(self._client.publish(tag, data, **options))

    def retry(self, error: AckUnknown, **options: Any) -> Published:
        return self._run(self._client.retry(error, **options))

    def publisher(self, **options: Any) -> BlockingPublisher:
        return BlockingPublisher(self._client.publisher(**options), self._run)

    def publish_many(self, events: Iterable[tuple[str, Mapping[str, Any]]], **options: Any) -> int:
        return self._run(self._client.publish_many(events, **options))

    def subscribe(self, *patterns: str, **options: Any) -> BlockingSubscription:
        return BlockingSubscription(self._run(self._client.subscribe(*patterns, **options)), self._run)

    def next_of(
        self, subscriptions: Sequence[BlockingSubscription], timeout_s: float | None = None
    ) -> tuple[BlockingSubscription, Event] | None:
        inner = [each.inner for each in subscriptions]
        found = self._run(self._client.next_of(inner, timeout_s))
        return None if found is None else (subscriptions[inner.index(found[0])], found[1])

    def wait(self, *patterns: str, **options: Any) -> Event:
        return self._run(self._client.wait(*patterns, **options))

    def get(self, offset: int, **options: Any) -> Event:
        return self._run(self._client.get(offset, **options))

    def request(self, tag: str, data: Mapping[str, Any] | None = None, *, reply: str, **options: Any) -> Event:
        return self._run(self._client.request(tag, data, reply=reply, **options))

    def ask(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return self._run(self._client.ask(verb, **arguments))


Bus = Client | BlockingClient


class Connections:
    """Makes clients of one kind (`sync` or `async`), and closes them all in the end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._clients: list[Bus] = []

    def __call__(self, path: Path, **options: Any) -> Bus:
        client = Client.connect(path, **options) if self.kind == "sync" else BlockingClient(path, **options)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            if isinstance(client, BlockingClient):
                client.end()
            else:
                client.close()


def read(subscription: Any, count: int) -> list[Event]:
    """Return the next `count` events.  Raises AssertionError: one did not come."""
    events: list[Event] = []
    while len(events) < count:
        event = subscription.next(DEADLINE_S)
        assert event is not None, f"only {len(events)} of {count} events came"
        events.append(event)
    return events
