"""Router: from a tag to the subscriptions that want it, looked up once for each tag."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

ROUTES_MAX = 65_536

K = TypeVar("K", bound=Hashable)


class Router(Generic[K]):
    """Keys in the order in which they were added.  A change of keys forgets all routes."""

    def __init__(self) -> None:
        self._order: dict[K, int] = {}
        self._added = 0
        self._prefixes: dict[int, dict[str, list[K]]] = {}
        self._prefixes_of: dict[K, tuple[str, ...]] = {}
        self._matchers: dict[K, Callable[[str], bool]] = {}
        self._routes: dict[str, tuple[K, ...]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: K, matches: Callable[[str], bool], prefixes: tuple[str, ...] | None = None) -> None:
        """Route to `key` the tags that match.

        `prefixes`: the same said as beginnings of tags, where it can be: then a tag never seen costs one look-up for
        each length of beginning, and not one match for each subscription.
        """
        assert key not in self._order
        self._order[key] = self._added
        self._added += 1
        if prefixes is None:
            self._matchers[key] = matches
        else:
            self._prefixes_of[key] = prefixes
            for prefix in prefixes:
                self._prefixes.setdefault(len(prefix), {}).setdefault(prefix, []).append(key)
        self._routes.clear()

    def remove(self, key: K) -> None:
        """Forget a key; one that is not there is no mistake."""
        if self._order.pop(key, None) is None:
            return
        self._matchers.pop(key, None)
        for prefix in self._prefixes_of.pop(key, ()):
            keys = self._prefixes[len(prefix)][prefix]
            keys.remove(key)
            if not keys:
                del self._prefixes[len(prefix)][prefix]
                if not self._prefixes[len(prefix)]:
                    del self._prefixes[len(prefix)]
        self._routes.clear()

    def route(self, tag: str) -> tuple[K, ...]:
        """Return the keys whose subscriptions want this tag."""
        found = self._routes.get(tag)
        if found is None:
            found = self._find(tag)
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            self._routes[tag] = found
        return found

    def _find(self, tag: str) -> tuple[K, ...]:
        found: set[K] = {key for key, matches in self._matchers.items() if matches(tag)}
        for length, by_prefix in self._prefixes.items():
            found.update(by_prefix.get(tag[:length], ()))
        return tuple(sorted(found, key=self._order.__getitem__))
