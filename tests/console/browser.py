"""Chromium for tests: one for all of them, and pages that note what must not be."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WITHIN_MS = 30_000
PHONE = {"width": 375, "height": 720}
DESK = {"width": 1280, "height": 800}


def find_chromium() -> str:
    for name in CHROMIUM:
        if (path := shutil.which(name)) is not None:
            return path
    raise AssertionError("there is no Chromium: `make test` installs Debian's, as root; else install it yourself")


@contextmanager
def running() -> Generator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A browser of its own, with one page.  `errors`: what its console has said, mistakes, and requests to other hosts."""

    def __init__(self, browser: Browser, port: int, prefix: str = "", **options: Any) -> None:
        self.host = f"127.0.0.1:{port}"
        self.errors: list[str] = []
        options.setdefault("viewport", DESK)
        self.context: BrowserContext = browser.new_context(base_url=f"http://{self.host}{prefix}/", **options)
        self.context.set_default_timeout(WITHIN_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(f"mistake: {error}"))
        self.page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        # A browser says of each answer that is an error that it is one; what the page makes of it, tests look at.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.errors.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc not in ("", self.host):
            self.errors.append(f"asked elsewhere: {request.url}")

    def enter(self, code: str) -> Page:
        """Log in with the code of a link."""
        self.page.goto(f"console/login?code={code}")
        self.page.get_by_role("navigation", name="Pages").wait_for()
        return self.page

    def go(self, place: str) -> Page:
        self.page.goto(f"console#/{place}")
        self.page.locator("main h1").wait_for()
        return self.page

    def picture(self, path: Path) -> None:
        self.page.screenshot(path=path)

    def close(self) -> None:
        self.context.close()
        assert self.errors == []
