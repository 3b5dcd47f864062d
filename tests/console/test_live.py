"""Live events in a real browser: they come, are filtered, wait while it pauses, and none is lost or doubled by a cut."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from sylvite import Client
from tests.console.browser import WITHIN_MS, Visit
from tests.console.site import Console
from tests.daemons.nodes import part_of

ALL_ROWS = """async () => {
  const list = document.querySelector(".list");
  const found = new Map();
  list.scrollTop = 0;
  for (;;) {
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    for (const row of list.querySelectorAll(".row")) found.set(Number(row.getAttribute("aria-posinset")), row.textContent);
    if (list.scrollTop + list.clientHeight >= list.scrollHeight - 1) break;
    list.scrollTop += list.clientHeight / 2;
  }
  list.scrollTop = 0;
  return [...found].sort(([one], [other]) => one - other).map(([, text]) => text);
}"""


@pytest.fixture(autouse=True)
def patient() -> None:
    expect.set_options(timeout=WITHIN_MS)


def live(visit: Visit, tag: str = "", where: str = "", start: str = "10s") -> Page:
    page = visit.go(f"live?tag={tag}&where={where}&from={start}")
    expect(page.get_by_text("Live ·")).to_be_visible()
    return page


def has_seen(page: Page, count: int) -> None:
    expect(page.get_by_text(f"· {count:,} event")).to_be_visible()


def numbers(page: Page) -> list[int]:
    """Return the numbers of all events in the list, the oldest first."""
    texts: list[str] = page.evaluate(ALL_ROWS)
    return [int(found[1]) for text in reversed(texts) if (found := re.search(r"\bn=(\d+)", text))]


def test_events_come_while_another_process_publishes(visit: Visit, console: Console) -> None:
    page = live(visit, "come/")
    expect(page.get_by_text("No event fits yet")).to_be_visible()
    console.publish("come/a", 30, host="web1")
    has_seen(page, 30)
    assert numbers(page) == list(range(30))
    page.locator(".row", has_text="n=29").click()
    detail = page.get_by_role("region", name="Event")
    expect(detail.get_by_role("heading", name="come/a")).to_be_visible()
    expect(detail.get_by_label("Data as JSON")).to_contain_text('"n": 29')


def test_the_filter_is_taken_as_it_is_typed(visit: Visit, console: Console) -> None:
    """By tag and by condition; one that cannot be read is explained, and the next is taken."""
    page = live(visit, "typed/", start="5m")
    console.publish("typed/one/a", 4)
    console.publish("typed/two/b", 2)
    has_seen(page, 6)
    page.get_by_label("Tag").fill("typed/*/b nothing/")
    has_seen(page, 2)
    page.get_by_label("Tag").fill("typed/")
    page.get_by_label("Condition").fill("data.n ==")
    expect(page.get_by_role("alert")).to_contain_text("data.n ==")
    page.get_by_label("Condition").fill("data.n == 1")
    has_seen(page, 2)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert "where=data.n+%3D%3D+1" in page.url, "the address can be kept"
    page.reload()
    has_seen(page, 2)


def test_a_pause_holds_the_list_and_goes_on_collecting(visit: Visit, console: Console) -> None:
    page = live(visit, "pause/")
    console.publish("pause/a", 3)
    has_seen(page, 3)
    page.get_by_role("button", name="Pause").click()
    console.publish("pause/b", 5)
    has_seen(page, 8)
    expect(page.locator(".row")).to_have_count(3)
    page.get_by_role("button", name="5 new").click()
    expect(page.locator(".row")).to_have_count(8)
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "false")


def test_who_reads_further_down_stays_there(visit: Visit, console: Console) -> None:
    page = live(visit, "read/")
    console.publish("read/a", 80)
    has_seen(page, 80)
    page.evaluate("document.querySelector('.list').scrollTop = 1120")
    row = page.locator(".row", has_text="n=30").first
    before = row.bounding_box()
    console.publish("read/b", 10)
    expect(page.get_by_role("button", name="10 new")).to_be_visible()
    assert row.bounding_box() == before
    page.get_by_role("button", name="10 new").click()
    expect(page.locator(".row").first).to_contain_text("read/b")


class Publishing(threading.Thread):
    """Publishes numbers, without a pause and without a loss, until it is told to stop."""

    def __init__(self, console: Console, tag: str) -> None:
        super().__init__()
        self._console, self._tag = console, tag
        self._stopping = threading.Event()
        self.count = 0

    def run(self) -> None:
        with Client.connect(self._console.site.bus) as bus:
            while not self._stopping.is_set():
                bus.publish(self._tag, {"n": self.count}, timeout_s=30)
                self.count += 1
                self._stopping.wait(0.02)

    def stop(self) -> int:
        self._stopping.set()
        self.join()
        return self.count


@pytest.mark.parametrize("part", ["broker", "api"])
def test_none_is_lost_or_doubled_when_a_part_is_killed(visit: Visit, console: Console, part: str) -> None:
    """The broker is started again while events are published; and so is the interface, which cuts the stream."""
    page = live(visit, f"killed/{part}")
    publishing = Publishing(console, f"killed/{part}")
    publishing.start()
    try:
        expect(page.locator(".row", has_text="n=5").first).to_be_visible()
        before = part_of(console.master, part)
        os.kill(before, signal.SIGKILL)
        if part == "api":
            expect(page.get_by_text("It goes on behind the last event")).to_be_visible()
        _until(page, lambda: part_of(console.master, part) != before)
        at = publishing.count
        _until(page, lambda: publishing.count > at + 10)
    finally:
        count = publishing.stop()
    has_seen(page, count)
    expect(page.get_by_text("Live ·")).to_be_visible()
    expect(page.get_by_text("Broker answers")).to_be_visible()
    assert numbers(page) == list(range(count))


def _until(page: Page, holds: Callable[[], bool]) -> None:
    """Wait, with the browser going on, until something holds."""
    for _ in range(WITHIN_MS // 50):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it does not happen")


def test_of_more_than_can_be_read_it_shows_a_sample_and_says_so(visit: Visit, console: Console) -> None:
    """All are counted; the page stays small, and answers while they come."""
    page = live(visit, "many/", start="5m")
    console.publish("many/a", 20_000, text="x" * 100)
    has_seen(page, 20_000)
    expect(page.get_by_text("the list has a sample")).to_be_visible()
    expect(page.locator(".skipped").first).to_be_visible()
    shown = len(numbers(page))
    assert 500 < shown <= 5000
    assert page.evaluate("document.querySelectorAll('*').length") < 1500
    page.get_by_label("Condition").fill("data.n == 19999")
    expect(page.locator(".row")).to_have_count(1)
    expect(page.get_by_text("the list has a sample")).to_be_hidden()


WATCH_FRAMES = """() => {
  window.frames_ms = [];
  let before = performance.now();
  const look = (now) => { window.frames_ms.push(now - before); before = now; requestAnimationFrame(look); };
  requestAnimationFrame(look);
}"""
RATE, FLOOD_S = 5000, 4
GAP_MS, GAP_MS_BUSY = 200, 3000
"""Between two frames: on a machine that does nothing else, and on one that may be busy."""


def flood(visit: Visit, console: Console, tag: str) -> float:
    """Publish 5,000 events a second for a while, look at the page meanwhile; return the longest time without a frame, in ms."""
    page = live(visit, tag)
    page.evaluate(WATCH_FRAMES)
    step = RATE // 20
    with console.bus() as bus:
        began = time.monotonic()
        for number in range(FLOOD_S * 20):
            bus.publish_many([(tag, {"n": number * step + n, "text": "x" * 100}) for n in range(step)])
            page.wait_for_timeout(max(0.0, began + (number + 1) / 20 - time.monotonic()) * 1000)
    has_seen(page, RATE * FLOOD_S)
    frames_ms: list[float] = page.evaluate("window.frames_ms")
    assert len(frames_ms) > FLOOD_S
    return max(frames_ms)


def test_the_page_stays_usable_while_thousands_come_each_second(visit: Visit, console: Console) -> None:
    assert flood(visit, console, "flood/busy") < GAP_MS_BUSY


@pytest.mark.long
def test_no_frame_is_long_in_coming_while_thousands_come_each_second(visit: Visit, console: Console) -> None:
    assert flood(visit, console, "flood/quiet") < GAP_MS


def test_what_events_say_is_text(visit: Visit, console: Console) -> None:
    """Nothing of a tag or of data is ever markup: what would run is shown as it is written."""
    page = live(visit, "evil/")
    evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    with console.bus() as bus:
        bus.publish(f"evil/{evil}", {evil: evil, "id": evil})
    page.locator(".row", has_text="evil/").click()
    expect(page.get_by_role("region", name="Event").get_by_role("heading", level=2)).to_have_text(f"evil/{evil}")
    page.get_by_role("link", name="This minion").click()
    expect(page.locator(".row", has_text="evil/")).to_be_visible()
    assert "run" not in page.title()
    assert page.locator("main img, main script").count() == 0


def test_a_large_event_is_fetched_when_it_is_looked_at(visit: Visit, console: Console) -> None:
    page = live(visit, "large/")
    with console.bus() as bus:
        bus.publish("large/a", {"text": "y" * 200_000, "number": 2**63})
    page.locator(".row", has_text="(large)").click()
    expect(page.get_by_label("Data as JSON")).to_contain_text(f'"number": {2**63}')


def test_everything_by_keyboard(visit: Visit, console: Console) -> None:
    page = live(visit, "keyed/")
    console.publish("keyed/a", 5)
    has_seen(page, 5)
    page.keyboard.press("/")
    expect(page.get_by_label("Tag")).to_be_focused()
    for _ in range(5):
        page.keyboard.press("Tab")
    listbox = page.get_by_role("listbox", name="Events, the newest first")
    expect(listbox).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True).and_(page.locator(".row"))).to_contain_text("n=3")
    page.keyboard.press("j")
    expect(page.get_by_label("Data as JSON")).to_contain_text('"n": 2')
    page.keyboard.press("k")
    expect(page.get_by_label("Data as JSON")).to_contain_text('"n": 3')
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(listbox).to_be_focused()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Shortcuts")
    dialog.get_by_label("Shortcuts are on").uncheck()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Tag")).not_to_be_focused()


GAPS = "".join(
    f"{line}\n"
    for line in (
        '{"gap":{"first":0,"next":7,"reason":"retention","count":7,"detail":""}}',
        '{"offset":7,"epoch":"00000000000000aa","stamp":"2026-11-29T07:00:00.000000Z","tag":"old/a","sender":"uid:0","source":"1/0","data":{"n":7}}',
        '{"gap":{"first":8,"next":8,"reason":"reset","count":null,"detail":""}}',
    )
)


def test_what_is_missing_stands_in_the_list(visit: Visit) -> None:
    """As the interface says it: events that retention took, and a log that is another one."""
    page = visit.page
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(content_type="application/x-ndjson", body=GAPS)
        else:
            route.continue_()

    page.route("**/v1/events/stream?**", answer)
    live(visit, "old/")
    expect(page.get_by_text("7 events are missing here: retention took them.")).to_be_visible()
    expect(page.get_by_text("The log is another one from here on").first).to_be_visible()
    expect(page.locator(".row", has_text="old/a")).to_be_visible()
    page.locator(".row.gap").last.click()
    expect(page.get_by_role("region", name="Event")).to_contain_text("@6")
    assert asked[1].endswith("after=00000000000000aa.7"), "it goes on behind the last event"


def test_a_page_that_nobody_looks_at_rests_and_then_goes_on(visit: Visit, console: Console) -> None:
    """It is one of few connections; what came meanwhile is all there afterwards."""
    page = visit.page
    page.clock.install()
    live(visit, "rest/")
    console.publish("rest/a", 3)
    has_seen(page, 3)
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden}); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, arg=True)
    page.clock.fast_forward(61_000)
    expect(page.get_by_text("Resting while this page is hidden")).to_be_visible()
    console.publish("rest/b", 4)
    page.evaluate(hide, arg=False)
    has_seen(page, 7)
    assert numbers(page) == [0, 1, 2, 0, 1, 2, 3]
