"""How the console looks, and to whom: themes, a phone, a screen reader; and what it is made of."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.console.browser import PHONE, WITHIN_MS, Visit
from tests.console.conftest import Visits
from tests.console.site import Console

PLACES = (
    "live", "history", "timeline", "timeline?minion=alpha", "timeline?event=0", "minions", "minions?id=alpha", "keys",
    "jobs", "consumers", "log", "tokens", "nowhere",
)  # fmt: skip
AXE = resources.files("axe_playwright_python") / "axe.min.js"
NARROWEST = 320
SCRIPT_BYTES_MAX = 150_000
SETTLED = "() => !document.body.textContent.includes('Looking…') && !document.body.textContent.includes('Connecting…')"


@pytest.fixture(autouse=True)
def patient() -> None:
    expect.set_options(timeout=WITHIN_MS)


def show(visit: Visit, place: str) -> Page:
    page = visit.go(place)
    page.wait_for_function(SETTLED)
    return page


def findings(page: Page, *, colors_alone: bool) -> list[str]:
    """Return what axe finds that is serious or worse, with where it is."""
    page.evaluate(AXE.read_text())
    options = {"resultTypes": ["violations"], **({"runOnly": ["color-contrast"]} if colors_alone else {})}
    found: dict[str, Any] = page.evaluate("(options) => axe.run(options)", options)
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(visits: Visits, console: Console, scheme: str) -> None:
    console.publish("looks/a", 5)
    visit = visits(color_scheme=scheme)
    visit.page.goto("console")
    expect(visit.page.get_by_label("Token")).to_be_visible()
    colors_alone = scheme == "dark"
    found = {"login": findings(visit.page, colors_alone=colors_alone)}
    visit.enter(console.link())
    for place in PLACES:
        page = show(visit, place)
        if place == "live":
            page.locator(".row").first.click()
        if place == "keys":
            page.get_by_role("button", name="Revoke alpha").click()
        found[place] = findings(page, colors_alone=colors_alone)
        if place == "keys":
            page.keyboard.press("Escape")
    assert {place: each for place, each in found.items() if each} == {}


def test_a_phone_shows_all_of_it_without_scrolling_sideways(visits: Visits, console: Console) -> None:
    """Down to the narrowest."""
    width = NARROWEST
    visit = visits(viewport={**PHONE, "width": width}, has_touch=True, is_mobile=True)
    visit.enter(console.link())
    console.publish("looks/phone", 3, text="long " * 50)
    for place in PLACES:
        page = show(visit, place)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, place
        beyond = page.evaluate("""(width) => [...document.querySelectorAll("main button, main input, main select")]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > width + 1).map((each) => each.outerHTML)""", width)  # fmt: skip
        assert beyond == [], place
    page = show(visit, "live?tag=looks/")
    page.locator(".row").first.tap()
    expect(page.get_by_role("region", name="Event")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Close").tap()
    expect(page.get_by_role("listbox")).to_be_in_viewport()


def test_the_theme_is_the_system_s_until_it_is_switched(visits: Visits, console: Console) -> None:
    visit = visits(color_scheme="dark")
    page = visit.enter(console.link())
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: system").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark


def test_it_is_small() -> None:
    static = resources.files("sylvite.console") / "static"
    sizes = {file.name: len(file.read_bytes()) for file in static.iterdir()}
    assert sum(size for name, size in sizes.items() if name.endswith(".js")) < SCRIPT_BYTES_MAX
    assert sum(sizes.values()) < SCRIPT_BYTES_MAX + 50_000


def test_nothing_in_it_is_of_elsewhere_or_reads_texts_as_markup() -> None:
    for file in (resources.files("sylvite.console") / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        for word in (
            "http://",
            "https://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
        ):
            assert word not in text, (file.name, word)
