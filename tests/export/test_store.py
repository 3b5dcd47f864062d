"""The file of webhooks: what is kept of them, what is dead, and its limits."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from sylvite.errors import InvalidInput, InvalidSetting
from sylvite.export import store as module
from sylvite.export.settings import Webhook, WebhookSettings
from sylvite.export.store import NoSuchWebhook, State, WebhookStore
from tests.api.hooking import OLDER, STANDARD

SETTINGS = WebhookSettings(url="https://a.test/", tags=("a/*",), where="data.a > 1", give_up_s=60.0)
HOOK = Webhook("a", SETTINGS, (STANDARD, OLDER))


@pytest.fixture
def store(tmp_path: Path) -> Generator[WebhookStore]:
    with WebhookStore(tmp_path) as found:
        yield found


def bury(store: WebhookStore, event: str, body: bytes = b"{}", name: str = "a") -> bool:
    return store.bury(name, event, "a/b", body, attempts=3, first_ns=1, now_ns=2, reason="it answers 500")


def test_what_was_added_is_there_with_its_secrets(store: WebhookStore, tmp_path: Path) -> None:
    store.add(HOOK, 5)
    with WebhookStore(tmp_path) as other:
        (found,) = other.added()
    assert found == (HOOK, 5)
    assert (tmp_path / module.FILE).stat().st_mode & 0o077 == 0


def test_one_of_a_name(store: WebhookStore) -> None:
    store.add(HOOK, 5)
    with pytest.raises(InvalidInput, match="already"):
        store.add(HOOK, 6)
    with pytest.raises(NoSuchWebhook):
        store.remove("b")


def test_removed_it_leaves_nothing_and_begins_anew(store: WebhookStore) -> None:
    store.add(HOOK, 5)
    bury(store, "e1")
    assert store.remove("a") == 1
    # What was posting a moment ago may still say how it ended.
    store.end("a", "gone")
    store.add(HOOK, 6)
    assert (store.states(), store.dead("a")) == ({}, [])


def test_how_it_does(store: WebhookStore) -> None:
    store.failed("a", "e1", 2, 7, "no answer")
    assert store.states() == {"a": State("", "e1", 2, 7, "no answer")}
    store.taken("a")
    assert store.states() == {}
    store.end("a", "gone")
    assert store.states()["a"].ended == "gone"
    store.begin("a")
    assert store.states() == {}


def test_a_dead_letter_is_one_however_often_it_is_buried(store: WebhookStore) -> None:
    """A kill between this and the cursor buries it again."""
    assert bury(store, "e1")
    assert bury(store, "e1")
    assert bury(store, "e2")
    assert bury(store, "e1", name="b")
    assert [letter.event for letter in store.dead("a")] == ["e1", "e2"]
    assert dict(store.count_dead()) == {"a": 2, "b": 1}
    store.drop_dead(store.dead("a")[0].id)
    assert [letter.event for letter in store.dead()] == ["e2", "e1"]


def test_nothing_is_thrown_away_to_make_room(store: WebhookStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEAD_MAX", 2)
    assert [bury(store, f"e{number}") for number in range(3)] == [True, True, False]
    monkeypatch.setattr(module, "DEAD_BYTES_MAX", 10)
    assert [bury(store, f"e{number}", b"x" * 6, name="b") for number in range(2)] == [True, False]


def test_what_others_have_changed_is_seen(store: WebhookStore, tmp_path: Path) -> None:
    assert store.has_changed()
    assert not store.has_changed()
    with WebhookStore(tmp_path) as other:
        other.add(HOOK, 5)
    assert store.has_changed()


def test_settings_that_cannot_be() -> None:
    with pytest.raises(InvalidSetting):
        WebhookSettings(url="https://a.test/", timeout_s=0.0).checked()
