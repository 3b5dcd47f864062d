"""The pages of the console in a real browser, with a real master and minions behind them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.console.browser import WITHIN_MS, Visit
from tests.console.conftest import Visits
from tests.console.site import Console

PAGES = ("Live events", "History", "Time lines", "Minions", "Keys", "Jobs", "Consumers", "Log", "Tokens")


@pytest.fixture(autouse=True)
def patient() -> None:
    expect.set_options(timeout=WITHIN_MS)


def names(page: Page) -> list[str]:
    return page.get_by_role("navigation", name="Pages").get_by_role("link").all_text_contents()


def test_one_logs_in_with_a_token_and_out(visits: Visits, console: Console) -> None:
    visit = visits()
    page = visit.page
    page.goto("console")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    field.fill("syl1_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(re.compile("^This token does not count"))
    field.fill(console.token("events:read:myco/**", "status:read"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Live events")).to_be_visible()
    assert names(page) == ["Live events", "History", "Time lines", "Consumers"], "what its scopes allow"
    visit.go("keys")
    expect(page.get_by_text("This token may not see this page")).to_be_visible()
    expect(page.get_by_text("It needs the scope keys:read.")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
    assert visit.context.cookies() == []


def test_a_link_counts_once_and_says_so(visits: Visits, console: Console) -> None:
    code = console.link()
    first = visits().enter(code)
    assert "code=" not in first.url
    assert names(first) == list(PAGES)
    second = visits().page
    second.goto(f"console/login?code={code}")
    expect(second.get_by_text("This link does not count any more")).to_be_visible()


def test_who_is_revoked_is_told(visits: Visits, console: Console) -> None:
    page = visits().enter(console.link("events:read:**"))
    expect(page.get_by_text("Live ·")).to_be_visible()
    id_ = page.evaluate(
        "fetch('v1/whoami', {headers: {'X-Sylvite-Console': '1'}}).then((a) => a.json()).then((a) => a.id)"
    )
    console.sylvite("tokens", "revoke", id_, "--dir", str(console.site.data))
    expect(page.get_by_text("The session is over")).to_be_visible()


def test_a_key_is_accepted_with_its_fingerprint(visit: Visit, console: Console) -> None:
    page = visit.go("keys")
    with console.another_minion("newcomer"):
        row = page.get_by_role("region", name="Keys: pending").get_by_role("row", name="newcomer")
        expect(row).to_be_visible()
        fingerprint = console.sylvite(
            "keys", "finger", "--file", str(console.site.folder / "newcomer" / "pki" / "minion.pub")
        )
        expect(row).to_contain_text(fingerprint)
        row.get_by_role("button", name="Accept newcomer").click()
        dialog = page.get_by_role("dialog", name="Accept the key of newcomer?")
        expect(dialog).to_contain_text(fingerprint)
        dialog.get_by_role("button", name="Cancel").click()
        expect(row).to_be_visible()
        row.get_by_role("button", name="Accept newcomer").click()
        dialog.get_by_role("button", name=f"Accept {fingerprint[:11]}").click()
        expect(page.get_by_text("The key of newcomer is accepted.")).to_be_visible()
        expect(page.get_by_role("region", name="Keys: accepted").get_by_role("row", name="newcomer")).to_be_visible()
        visit.go("minions")
        expect(page.get_by_role("row", name=re.compile("newcomer here"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("newcomer away"))).to_be_visible()
    visit.go("keys")
    page.get_by_role("button", name="Delete newcomer").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("row", name="newcomer")).to_have_count(0)


def test_who_may_only_look_is_offered_no_more(visits: Visits, console: Console) -> None:
    visit = visits()
    page = visit.enter(console.link("keys:read", "jobs:read"))
    expect(page.get_by_role("heading", name="Keys", level=1)).to_be_visible()
    expect(page.get_by_role("row", name="alpha")).to_be_visible()
    assert page.get_by_role("button", name=re.compile("alpha")).count() == 0
    visit.go("jobs")
    expect(page.get_by_role("heading", name="Jobs", level=2)).to_be_visible()
    assert page.get_by_role("button", name="Run").count() == 0


def test_a_job_is_run_and_its_returns_come_in(visit: Visit) -> None:
    page = visit.go("jobs")
    page.get_by_label("Minions").fill("nobody")
    page.get_by_label("Function").fill("test.arg")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_have_text("No minion fits this target, so nothing was run.")
    page.get_by_label("Minions").fill("*")
    page.get_by_label("Arguments").fill('one\n{"two": 2}')
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("1 of 1")).to_be_visible()
    expect(page.locator("details", has_text="alpha")).to_contain_text('"two": 2')
    expect(page.get_by_text("test.arg", exact=True)).to_be_visible()
    page.get_by_role("link", name="Time line", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("alpha returned after"))).to_be_visible()
    expect(page.locator(".row", has_text="/ret/alpha")).to_be_visible()
    visit.go("jobs")
    expect(page.get_by_role("row", name=re.compile(r"test\.arg .* 1 of 1"))).to_be_visible()


def test_a_job_that_fails_and_one_that_is_ended(visit: Visit) -> None:
    page = visit.go("jobs")
    page.get_by_label("Function").fill("test.sleep")
    page.get_by_label("Arguments").fill("600")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("0 of 1")).to_be_visible()
    page.get_by_role("button", name="End it").click()
    page.get_by_role("dialog").get_by_role("button", name="End it").click()
    expect(page.get_by_text("1 failed")).to_be_visible()


def test_history_a_page_at_a_time(visit: Visit, console: Console) -> None:
    console.publish("past/a", 700)
    page = visit.go("history?tag=past/")
    expect(page.get_by_text("500 events", exact=True)).to_be_visible()
    page.get_by_role("button", name="Show more").click()
    expect(page.get_by_text("700 events, up to now")).to_be_visible()
    expect(page.locator(".row").first).to_contain_text("n=0")
    page.get_by_label("Condition").fill("data.n > 690")
    page.keyboard.press("Enter")
    expect(page.get_by_text("9 events, up to now")).to_be_visible()
    page.get_by_label("From").select_option("a place of your own")
    page.get_by_label("Place").fill("yesterday or so")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("yesterday or so")


def test_a_chain_of_causes(visit: Visit, console: Console) -> None:
    with console.bus() as bus:
        new = bus.publish("order/new", {}).offset
        paid = bus.publish("order/paid", {}, cause=new).offset
        bus.publish("order/sent", {}, cause=paid)
        bus.publish("order/other", {})
    page = visit.go(f"timeline?event={paid}")
    nodes = page.locator(".node")
    expect(nodes).to_have_count(3)
    assert page.locator(".node .tag").all_text_contents() == ["order/new", "order/paid", "order/sent"]
    expect(page.locator(".node[aria-current]")).to_contain_text("order/paid")
    nodes.last.click()
    expect(page.get_by_role("region", name="Event")).to_contain_text("(hop 1)")


def test_a_minion_its_grains_and_its_time_line(visit: Visit) -> None:
    page = visit.go("minions")
    row = page.get_by_role("row", name=re.compile("alpha here"))
    row.get_by_role("link", name="Grains of alpha").click()
    expect(page.get_by_label("Data as JSON")).to_contain_text('"id": "alpha"')
    page.get_by_role("link", name="Time line", exact=True).click()
    expect(page.get_by_role("img", name=re.compile(r"events from .* of presence"))).to_be_visible()


def test_consumers_and_the_log(visit: Visit, console: Console) -> None:
    with console.bus() as bus, bus.subscribe("behind/", cursor="mine") as subscription:
        page = visit.go("consumers")
        expect(page.get_by_role("row", name=re.compile(r"^mine "))).to_be_visible()
        assert subscription
    visit.go("log")
    expect(page.get_by_text("No damage is known.")).to_be_visible()
    expect(page.get_by_text("Everything is kept, as long as there is room on the disk.")).to_be_visible()


def test_a_token_is_made_shown_once_and_revoked(visit: Visit, visits: Visits) -> None:
    page = visit.go("tokens")
    page.get_by_label("Owner").fill("wall")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("alert")).to_have_text("Say what it is for: choose at least one scope.")
    page.get_by_label("events:read", exact=True).check()
    page.get_by_label("Pattern of events:read").fill("myco/**")
    page.get_by_role("button", name="Make it").click()
    dialog = page.get_by_role("dialog", name="The token of wall")
    text = dialog.get_by_label("The token").input_value()
    dialog.get_by_role("button", name="Close").click()
    assert text not in page.content()
    other = visits().page
    other.goto("console")
    other.get_by_label("Token").fill(text)
    other.keyboard.press("Enter")
    expect(other.get_by_role("heading", name="Live events")).to_be_visible()
    row = page.get_by_role("row", name=re.compile("^wall events:read:myco.* made with a token"))
    row.get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke it").click()
    expect(row).to_have_count(0)
    expect(other.get_by_text("The session is over")).to_be_visible()
