"""From a tag to those who want it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sylvite.core import router as router_module
from sylvite.core.pattern import Filter
from sylvite.core.router import Router

TEXTS = st.text("ab/", max_size=3)
FILTERS = st.builds(
    Filter,
    startswith=st.lists(TEXTS, max_size=3).map(tuple),
    endswith=st.lists(TEXTS, max_size=1).map(tuple),
    exact=st.lists(TEXTS, max_size=2).map(tuple),
)


def naive(filter_: Filter, tag: str) -> bool:
    wanted = [tag.startswith(text) for text in filter_.startswith]
    wanted += [tag.endswith(text) for text in filter_.endswith]
    wanted += [tag == text for text in filter_.exact]
    return any(wanted) or not (filter_.startswith or filter_.endswith or filter_.exact)


@given(
    changes=st.lists(st.tuples(st.integers(0, 9), st.none() | FILTERS), max_size=25),
    tags=st.lists(st.text("ab/", min_size=1, max_size=4), min_size=1, max_size=6),
)
@settings(deadline=None, max_examples=120)
def test_a_router_agrees_with_asking_everyone(changes: list[tuple[int, Filter | None]], tags: list[str]) -> None:
    """After each addition and removal, the keys are those whose filter matches, in the order they were added."""
    router: Router[int] = Router()
    there: dict[int, Filter] = {}
    for key, filter_ in changes:
        if filter_ is None or key in there:
            router.remove(key)
            there.pop(key, None)
        else:
            router.add(key, filter_.matcher(), filter_.prefixes())
            there[key] = filter_
        assert len(router) == len(there)
        for tag in tags:
            assert router.route(tag) == tuple(key for key, wanted in there.items() if naive(wanted, tag))


def test_prefixes_are_looked_up_and_not_matched() -> None:
    """A tag never seen costs no match for those who said what they want by its beginning."""
    router: Router[str] = Router()

    def fails(tag: str) -> bool:
        raise AssertionError(tag)

    router.add("a", fails, ("salt/job/", "salt/job/"))
    router.add("b", fails, ("salt/",))
    assert router.route("salt/job/1") == ("a", "b")
    assert router.route("salt/key") == ("b",)
    router.remove("a")
    assert router.route("salt/job/1") == ("b",)
    router.remove("b")
    router.remove("b")
    assert router.route("salt/job/1") == ()


def test_a_tag_is_matched_once_until_the_keys_change() -> None:
    asked: list[str] = []

    def wants(tag: str) -> bool:
        asked.append(tag)
        return True

    router: Router[int] = Router()
    router.add(1, wants)
    assert [router.route("a"), router.route("a")] == [(1,), (1,)]
    assert asked == ["a"]
    router.add(2, lambda tag: False)
    assert router.route("a") == (1,)
    assert asked == ["a", "a"]


def test_routes_are_forgotten_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags that never come again cost no memory for good."""
    monkeypatch.setattr(router_module, "ROUTES_MAX", 3)
    asked: list[str] = []

    def wants(tag: str) -> bool:
        asked.append(tag)
        return True

    router: Router[int] = Router()
    router.add(1, wants)
    for tag in ("a", "b", "c", "a", "b", "c"):
        router.route(tag)
    assert asked == ["a", "b", "c"]
    router.route("d")
    router.route("a")
    assert asked == ["a", "b", "c", "d", "a"]
