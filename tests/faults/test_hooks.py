"""E-09: webhooks that are forged, altered, replayed, late, or killed; and receivers that lead elsewhere, or are slow."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sylvite.client.sync_client import Client
from sylvite.export.settings import Webhook, WebhookSettings
from sylvite.export.store import WebhookStore
from tests.api.hooking import OLDER, STANDARD, github, standard
from tests.export.receiver import Receiver, Reply
from tests.faults.bad_deliveries import BODY, altered, forged, untimely
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.hook_site import HookSite
from tests.faults.report import control, report
from tests.faults.traffic import wait_until

ARRIVE_WITHIN_S = 60.0
ALLOWED, FORBIDDEN = "127.0.0.2", "127.0.0.1"


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.hook_parent") as parent:
        yield parent


# -- In ----------------------------------------------------------------------------------------------------------------


class _Senders:
    """Post what is right and what is not, and count what must not be."""

    def __init__(self, site: HookSite) -> None:
        self._site = site
        self.runs = self.forged = self.right_refused = self.doubled = 0
        self.answers: set[bytes] = set()

    def bad(self) -> None:
        for each in itertools.chain(forged(), altered(), untimely()):  # Made when it is posted: it has a time.
            status, answer = self._site.post(each.hook, each.body, each.headers)
            self.runs += 1
            self.forged += status < 400
            if status == 401:
                self.answers.add(answer)

    def right(self) -> None:
        """With either secret, at both ends of the window, and by GitHub; each comes four times, and once more after a kill."""
        deliveries = [
            ("std", f"msg_{secret.key.hex()[:4]}_{away_s}", standard(f"msg_{secret.key.hex()[:4]}_{away_s}", BODY, secrets=[secret], away_s=away_s))
            for secret in (STANDARD, OLDER)
            for away_s in (-240, 0, 299)
        ]  # fmt: skip
        deliveries.append(("github", "guid-0", github(BODY, delivery="guid-0")))
        for repeat in range(5):
            if repeat == 4:
                self._site.kill("api", "broker")
                self._site.start("broker", "api")
            for hook, _, headers in deliveries:
                # What is not signed may be changed by whoever replays it.
                changed = {**headers, "X-GitHub-Delivery": f"guid-{repeat}"} if hook == "github" else headers
                status, _ = self._site.post(hook, BODY, changed)
                self.runs += 1
                self.right_refused += status not in (200, 201)
        ids = self._site.ids()
        wanted = {id_ for _, id_, _ in deliveries}
        self.doubled = len(ids) - len(set(ids)) + len(set(ids) - wanted)
        self.right_refused += len(wanted - set(ids))


def _forge(forks: Forks, folder: Path, *, without: str | None = None) -> None:
    site = HookSite(forks, folder, without=without)
    try:
        site.start("broker", "api")
        senders = _Senders(site)
        senders.bad()
        senders.right()
        tracebacks = site.tracebacks()
    finally:
        site.close()
    counters = {
        "forged": senders.forged, "doubled": senders.doubled, "right_refused": senders.right_refused,
        "told": max(0, len(senders.answers) - 1), "tracebacks": tracebacks,
    }  # fmt: skip
    report("E-09 in", seed=0, runs=senders.runs, counters=counters, without=without)


def test_no_delivery_is_forged_altered_late_or_doubled(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _forge(forks, tmp_path_factory.mktemp("e09"))


@pytest.mark.parametrize("without", ["signatures", "the window", "remembering deliveries"])
def test_an_interface_that_takes_too_much_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, without: str
) -> None:
    """Negative controls."""
    with control("E-09 in", without=without, match='"row": "E-09 in"'):
        _forge(forks, tmp_path_factory.mktemp("e09"), without=without)


# -- Kills -------------------------------------------------------------------------------------------------------------


def _kill(forks: Forks, folder: Path, rounds: int, seed: int, *, without: str | None = None) -> None:
    """Kill interface and broker right behind the 2xx, or at any moment of a delivery; its sender then tries again."""
    site, chance = HookSite(forks, folder, without=without), random.Random(seed)
    lost = doubled = refused = 0
    try:
        for number in range(rounds):
            site.start("broker", "api")
            headers = standard(f"msg_{number}", BODY)
            # Half of them right behind the answer, half at any moment.
            shot = threading.Timer(chance.random() * 0.02 if number % 2 else 3600.0, site.shoot, ("api", "broker"))
            shot.start()
            try:
                status = site.post("std", BODY, headers)[0]
            except (OSError, http.client.HTTPException):
                status = 0  # Nobody knows.
            shot.cancel()
            shot.join()
            site.kill("api", "broker")
            refused += status not in (0, 201)
            site.start("broker")
            lost += status == 201 and site.ids().count(f"msg_{number}") != 1
            site.start("api")
            refused += site.post("std", BODY, headers)[0] not in (200, 201)
            site.kill("api", "broker")
        site.start("broker")
        ids = site.ids()
        doubled = len(ids) - len(set(ids))
        lost += rounds - len(set(ids))
    finally:
        site.close()
    counters = {"lost": lost, "doubled": doubled, "refused": refused}
    report("E-09 kills", seed=seed, runs=rounds, counters=counters, without=without)


def test_an_answered_delivery_survives_a_kill(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _kill(forks, tmp_path_factory.mktemp("e09"), 8, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_answered_deliveries_survive_many_kills(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    _kill(forks, tmp_path_factory.mktemp("e09"), 100, seed=100 + seed)


def test_an_answer_that_comes_too_early_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    without = "an answer behind the sync"
    with control("E-09 kills", without=without, match='"row": "E-09 kills"'):
        _kill(forks, tmp_path_factory.mktemp("e09"), 2, seed=1, without=without)


# -- Out ---------------------------------------------------------------------------------------------------------------


def _forbidden(port: int) -> list[str]:
    """Return ways to say this machine."""
    hosts = (
        FORBIDDEN, "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "private.test", "both.test", "mapped.test",
        "metadata.test", "169.254.169.254", "10.0.0.1", "192.168.0.1",
    )  # fmt: skip
    return [f"http://{host}:{port}/" for host in hosts]


NAMES = {
    "private.test": [[FORBIDDEN]],
    "both.test": [["10.1.2.3", FORBIDDEN, "::1"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "metadata.test": [["169.254.169.254"]],
    "rebinds.test": [[ALLOWED], [FORBIDDEN], [ALLOWED], [FORBIDDEN], [ALLOWED], [FORBIDDEN], [ALLOWED], [FORBIDDEN]],
}


def _lead_elsewhere(forks: Forks, folder: Path, *, without: str | None = None) -> None:
    """Webhooks to where none may go; to a name that leads elsewhere a moment later; to receivers that redirect there."""
    site = HookSite(forks, folder, without=without, names=NAMES)
    try:
        site.start("broker")
        with Receiver(host=FORBIDDEN) as bait, Receiver(host=ALLOWED) as good:
            bait.answer = lambda _: Reply()
            moved = {"location": f"http://{FORBIDDEN}:{bait.port}/"}
            with Receiver(lambda _: Reply(307, moved), host=ALLOWED) as redirects, WebhookStore(site.folder) as store:
                urls = [*_forbidden(bait.port), redirects.url, f"http://rebinds.test:{bait.port}/", good.url]
                for number, url in enumerate(urls):
                    settings = WebhookSettings(
                        url=url, tags=("a/*",), allow_http=True, allow_networks=(f"{ALLOWED}/32",), timeout_s=5.0
                    )
                    store.add(Webhook(f"w{number}", settings, (STANDARD,)), time.time_ns())
                site.start("webhooks")
                _wait_for_cursors(site, len(urls))
                with Client.connect(site.socket) as client:
                    client.publish("a/b", {})
                good.next()
                tried = wait_until(
                    lambda: sum(state.attempts > 1 for state in store.states().values()) >= len(urls) - 2 or bool(bait.got),
                    within_s=ARRIVE_WITHIN_S, what="each was tried twice", every_s=0.02,
                )  # fmt: skip
                assert tried
        tracebacks = site.tracebacks()
    finally:
        site.close()
    counters = {"reached": len(bait.got), "not_posted": int(not good.got), "tracebacks": tracebacks}
    report("E-09 out", seed=0, runs=len(urls), counters=counters, without=without)


def _wait_for_cursors(site: HookSite, count: int) -> None:
    with Client.connect(site.socket) as client:
        wait_until(
            lambda: len(client.ask("cursors")["cursors"]) >= count, within_s=ARRIVE_WITHIN_S, what="all have begun",
            every_s=0.02,
        )  # fmt: skip


def test_no_webhook_leads_to_where_it_may_not_go(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _lead_elsewhere(forks, tmp_path_factory.mktemp("e09"))


@pytest.mark.parametrize(
    "without", ["looking at addresses", "connecting to what was looked at", "staying where it was sent to"]
)
def test_a_webhook_that_goes_anywhere_is_found_out(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory, without: str
) -> None:
    """Negative controls."""
    with control("E-09 out", without=without, match='"row": "E-09 out"'):
        _lead_elsewhere(forks, tmp_path_factory.mktemp("e09"), without=without)


# -- Slow receivers ----------------------------------------------------------------------------------------------------


def _be_slow(forks: Forks, folder: Path, events: int, *, without: str | None = None) -> None:
    """Two receivers that do not answer, beside one that does, while what posts is killed again and again."""
    site = HookSite(forks, folder, without=without)
    never = threading.Event()
    try:
        site.start("broker")
        with (
            Receiver(lambda _: Reply(after=never), host=ALLOWED) as silent,
            Receiver(lambda _: Reply(after=never), host=ALLOWED) as other,
            Receiver(host=ALLOWED) as good,
        ):
            with WebhookStore(site.folder) as store:
                for name, receiver in (("a", silent), ("b", other), ("c", good)):
                    settings = WebhookSettings(
                        url=receiver.url,
                        tags=("a/*",),
                        allow_http=True,
                        allow_networks=(f"{ALLOWED}/32",),
                        timeout_s=30.0,
                    )
                    store.add(Webhook(name, settings, (STANDARD,)), time.time_ns())
            site.start("webhooks")
            _wait_for_cursors(site, 3)
            with Client.connect(site.socket) as client:
                for number in range(events):
                    client.publish("a/b", {"number": number})
                    if number % (events // 4) == 0 and number:
                        site.kill("webhooks")
                        site.start("webhooks")
            try:
                wait_until(
                    lambda: len({got.body for got in good.got}) >= events,
                    within_s=3.0 if without else ARRIVE_WITHIN_S,
                    what="all arrive",
                )
            except AssertionError:
                pass  # It is counted.
            never.set()
    finally:
        never.set()
        site.close()
    numbers = [got.event["data"]["number"] for got in good.got]
    firsts = list(dict.fromkeys(numbers))
    counters = {
        "held_up": events - len(firsts), "reordered": sum(one > two for one, two in itertools.pairwise(firsts)),
        "unsigned": sum(not got.is_signed_with(STANDARD) for got in good.got), "tracebacks": site.tracebacks(),
    }  # fmt: skip
    report("E-09 slow", seed=0, runs=events, counters=counters, without=without)


def test_a_slow_receiver_holds_up_no_other(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _be_slow(forks, tmp_path_factory.mktemp("e09"), 100)


def test_receivers_in_one_line_are_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    without = "a task for each"
    with control("E-09 slow", without=without, match='"row": "E-09 slow"'):
        _be_slow(forks, tmp_path_factory.mktemp("e09"), 20, without=without)
