"""Make the pictures of docs/console.md: `.venv/bin/python -m tests.console.pictures`.

A real master with a minion and some made-up life on its bus, looked at with Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from sylvite import Client
from tests.console import browser as chromium
from tests.console import site as sites
from tests.console.browser import PHONE, Visit
from tests.console.site import Console

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BYTES_MAX = 150_000
DESK = {"width": 1000, "height": 560}


def live_a_little(bus: Client) -> int:
    """Publish what a site may have; return the offset of an event with a cause and effects."""
    for number in range(24):
        # By and by, so that there is a rate to be shown.
        time.sleep(0.1 + 0.5 * (number % 5 == 0))
        host, version = f"web{number % 6 + 1}", f"1.4.{number // 6}"
        bus.publish("myco/deploy/start", {"host": host, "version": version})
        bus.publish(
            "myco/deploy/done", {"host": host, "version": version, "ok": number % 9 != 5, "took_s": 3 + number % 4}
        )
        if number % 4 == 0:
            bus.publish("salt/beacon/alpha/load/", {"id": "alpha", "1m": 0.4 + number / 20, "5m": 0.4})
    alarm = bus.publish("myco/alarm/disk", {"host": "web3", "used": "91%"}).offset
    ticket = bus.publish("myco/ticket/opened", {"ticket": 4711}, cause=alarm).offset
    bus.publish("myco/clean/start", {"host": "web3"}, cause=ticket)
    bus.publish("myco/page/sent", {"to": "on call"}, cause=ticket)
    return ticket


def open_live(visit: Visit) -> Page:
    page = visit.go("live?from=5m")
    page.locator(".row", has_text="myco/deploy/done").first.click()
    expect(page.get_by_label("Data as JSON")).to_be_visible()
    return page


def save(page: Page, name: str) -> None:
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    if size >= BYTES_MAX:
        raise SystemExit(f"{path} has {size} bytes; {BYTES_MAX} are allowed")
    sys.stdout.write(f"{path.name}  {size} bytes\n")


def take(browser: Browser, console: Console) -> None:
    with console.bus() as bus:
        ticket = live_a_little(bus)
    for scheme in ("light", "dark"):
        visit = Visit(browser, console.port, viewport=DESK, color_scheme=scheme)
        visit.enter(console.link())
        save(open_live(visit), f"console-{scheme}")
        if scheme == "light":
            with console.another_minion("web7"):
                page = visit.go("keys")
                page.get_by_role("button", name="Accept web7").click()
                expect(page.get_by_role("dialog")).to_be_visible()
                save(page, "console-keys")
            page = visit.go("jobs")
            page.get_by_label("Function").fill("grains.item")
            page.get_by_label("Arguments").fill("os\nkernel")
            page.get_by_role("button", name="Run").click()
            expect(page.locator("details", has_text="kernel")).to_be_visible()
            expect(page.get_by_text("grains.item", exact=True)).to_be_visible()
            save(page, "console-job")
        else:
            page = visit.go(f"timeline?event={ticket}")
            expect(page.locator(".node")).to_have_count(4)
            save(page, "console-chain")
        visit.close()
    visit = Visit(browser, console.port, viewport=PHONE, is_mobile=True, has_touch=True)
    visit.enter(console.link())
    page = visit.go("live?from=5m")
    expect(page.locator(".row").first).to_be_visible()
    save(page, "console-phone")
    visit.close()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="sylvite-") as folder,
        sites.running(Path(folder)) as console,
        chromium.running() as browser,
    ):
        take(browser, console)


if __name__ == "__main__":
    main()
