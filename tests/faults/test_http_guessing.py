"""E-07: who guesses passwords, tokens and signatures over HTTP; and what the time of an answer tells him."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import itertools
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from sylvite.api import eauth
from sylvite.api.access import FAILURES_MAX
from sylvite.api.eauth import CHECKS_MAX, Eauth, make_line
from sylvite.api.hooks import FAILURES_MAX as HOOK_FAILURES_MAX
from sylvite.api.scopes import parse_scope
from sylvite.api.settings import ApiSettings
from sylvite.api.tokens import TokenStore
from sylvite.auth.webhooks import Checking, Delivery, NotShown, Secret, check, sign
from sylvite.errors import NotAuthenticated
from tests.api.hooking import standard
from tests.daemons.nodes import WITHIN_S
from tests.faults.forked_brokers import Forks, forked_brokers
from tests.faults.hook_site import HookSite
from tests.faults.report import control, report

PASSWORD, OTHERS = "correct horse battery staple", "another long password"
T_MAX = 4.5
"""Of Welch's t: beyond it, the two times are not the same."""
MEASURED_AGAIN = 5
COPIES = 64


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forked_brokers("tests.faults.hook_parent") as parent:
        yield parent


# -- Guessing ----------------------------------------------------------------------------------------------------------


class _Asker:
    """One connection from an address of this machine."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WITHIN_S, source_address=(address, 0))

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def log_in(self, user: str, password: str) -> int:
        body = json.dumps({"username": user, "password": password, "eauth": "file"})
        return self.ask("POST", "/login", body, Content_Type="application/json")

    def close(self) -> None:
        self._connection.close()


def _spread(port: int, attempts: int, ask: Callable[[_Asker, int], int]) -> list[int]:
    """Ask so often, over 16 connections at once; return the statuses."""

    def some(first: int) -> list[int]:
        asker = _Asker(port)
        try:
            return [ask(asker, number) for number in range(first, attempts, 16)]
        finally:
            asker.close()

    with ThreadPoolExecutor(16) as pool:
        return [status for found in pool.map(some, range(16)) for status in found]


def _guess(forks: Forks, folder: Path, attempts: int, *, without: str | None = None) -> None:
    users = folder / "users"
    users.write_text(f"{make_line('alice', PASSWORD, os.urandom(16))}\n{make_line('bob', OTHERS, os.urandom(16))}\n")
    users.chmod(0o600)
    may = {"file": {"^filename": str(users), "alice": [".*"], "bob": [".*"]}}
    site = HookSite(forks, folder, without=without, external_auth=may, rest_cherrypy={"disable_ssl": True})
    try:
        site.start("broker", "api")
        with TokenStore(site.folder) as store:
            _, secret = store.make("alice", [parse_scope("events:read:**")], time.time_ns())
        passwords = _spread(site.port, attempts, lambda asker, number: asker.log_in("alice", f"guess {number}"))
        tokens = _spread(
            site.port, attempts,
            lambda asker, number: asker.ask("GET", "/v1/whoami", Authorization=f"Bearer {hashlib.sha1(b'%d' % number).hexdigest()}"),
        )  # fmt: skip
        wrong = {**standard("msg_a"), "webhook-signature": "v1,AAAA"}
        hooks = _spread(site.port, attempts // 4, lambda asker, _: asker.ask("POST", "/v1/hooks/std", "{}", **wrong))
        here, elsewhere = _Asker(site.port), _Asker(site.port, "127.0.0.3")
        others = [
            here.log_in("bob", OTHERS),
            elsewhere.log_in("alice", PASSWORD),
            here.ask("GET", "/v1/whoami", Authorization=f"Bearer {secret.reveal()}"),
            here.ask("POST", "/v1/hooks/std", "{}", **standard("msg_b")),
        ]
        here.close()
        elsewhere.close()
    finally:
        site.close()
    counters = {
        "password_checks": passwords.count(401), "token_checks": tokens.count(401), "hook_checks": hooks.count(401),
        "let_in": sum(status < 400 for status in (*passwords, *tokens, *hooks)), "others_out": sum(status >= 400 for status in others),
        "tracebacks": site.tracebacks(),
    }  # fmt: skip
    limits = dict.fromkeys(("let_in", "others_out", "tracebacks"), 0.0)
    limits |= {"password_checks": CHECKS_MAX, "token_checks": FAILURES_MAX, "hook_checks": HOOK_FAILURES_MAX}
    report("E-07 guesses", seed=0, runs=len(passwords) + len(tokens) + len(hooks), counters=counters, target=limits, without=without)  # fmt: skip


def test_who_guesses_waits_and_others_do_not(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    _guess(forks, tmp_path_factory.mktemp("e07"), 1000)


def test_endless_patience_is_found_out(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Negative control."""
    without = "an end of patience"
    with control("E-07 guesses", without=without, match='"row": "E-07 guesses"'):
        _guess(forks, tmp_path_factory.mktemp("e07"), 64, without=without)


# -- Timing ------------------------------------------------------------------------------------------------------------


class _Pair(NamedTuple):
    """Two calls whose time must not tell which of them it was."""

    name: str
    one: Callable[[], object]
    other: Callable[[], object]
    samples: int


def _refused(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except (NotAuthenticated, NotShown):
            return
        raise AssertionError("what is wrong was taken")

    return run


def _in_turn(make: Callable[[str], Callable[[], object]], text: str) -> Callable[[], object]:
    """Return calls with copies of a text, one behind the other: where one text lies in memory costs nanoseconds, too."""
    calls = itertools.cycle([_refused(make("".join(list(text)))) for _ in range(COPIES)])
    return lambda: next(calls)()


def _pairs(folder: Path, samples: int) -> Iterator[_Pair]:
    """Yield, for each secret, what is wrong in its first sign, and what is wrong in its last one."""

    def pair(name: str, right: str, make: Callable[[str], Callable[[], object]], signs: tuple[int, int]) -> _Pair:
        first, last = (_in_turn(make, _changed(right, at)) for at in signs)
        return _Pair(name, first, last, samples)

    with TokenStore(folder) as store:
        _, secret = store.make("alice", [parse_scope("events:read:**")], time.time_ns())
        text, now_ns = secret.reveal(), time.time_ns()
        at = text.index(text.split("_")[2])

        def check_token(wrong: str) -> Callable[[], object]:
            return lambda: store.check(wrong, now_ns)

        yield pair("token", text, check_token, (at, at + 42))
        yield pair("session", hashlib.sha256(b"of Salt's API").hexdigest(), check_token, (0, 63))
    plain, body, at_s = Secret("It's a Secret to Everybody"), b"{}" * 50, int(time.time())
    newer = Secret("whsec_bmV3ZXIgc2VjcmV0IG9mIDI4IGJ5dGVzLi4uLg==")

    def check_of(scheme: str, secret: Secret, header: str, **more: str) -> Callable[[str], Callable[[], object]]:
        checking = Checking([secret], window_s=3600.0)
        others = {name.replace("_", "-"): value for name, value in more.items()}
        return lambda wrong: lambda: check(scheme, Delivery({header: wrong, **others}, body), checking, at_s)

    mac = f"sha256={hmac.digest(plain.key, body, 'sha256').hex()}"
    yield pair("signature", mac, check_of("github", plain, "x-hub-signature-256"), (7, len(mac) - 1))
    bearer = f"Bearer {plain.reveal()}"
    yield pair("shared secret", bearer, check_of("shared-secret", plain, "authorization"), (7, len(bearer) - 1))
    signed = sign([newer], "msg", at_s, body)
    standard_ = check_of("standard", newer, "webhook-signature", webhook_id="msg", webhook_timestamp=str(at_s))
    yield pair("standard webhook", signed, standard_, (3, len(signed) - 3))


def _changed(text: str, at: int) -> str:
    other = "b" if text[at] == "a" else "a"
    return text[:at] + other + text[at + 1 :]


def _welch(pair: _Pair, chance: random.Random) -> float:
    """Return Welch's t of the two times, in a random order, without the slowest tenth: there something else took the time."""
    calls = [pair.one] * pair.samples + [pair.other] * pair.samples
    which = list(range(len(calls)))
    chance.shuffle(which)
    taken: tuple[list[int], list[int]] = ([], [])
    for index in which:
        call = calls[index]
        began = time.perf_counter_ns()
        call()
        taken[index >= pair.samples].append(time.perf_counter_ns() - began)
    slow = statistics.quantiles([*taken[0], *taken[1]], n=10)[-1]
    one, other = ([each for each in side if each < slow] for side in taken)
    if min(len(one), len(other)) < 2:
        return float("inf")
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return abs(statistics.mean(one) - statistics.mean(other)) / max(spread, 1e-9) ** 0.5


def _least(pair: _Pair, chance: random.Random) -> float:
    """Measure again where the times differ: what is really there, is there each time; what else the machine does, is not."""
    least = float("inf")
    for _ in range(MEASURED_AGAIN):
        least = min(least, _welch(pair, chance))
        if least < T_MAX:
            break
    return round(least, 2)


def _time(folder: Path, samples: int, *, without: str | None = None) -> None:
    chance = random.Random(7)
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        found = {pair.name: _least(pair, chance) for pair in _pairs(folder, samples)}
    finally:
        os.sched_setaffinity(0, before)
    runs = 2 * samples * len(found)
    report("E-07 times", seed=7, runs=runs, counters=found, target=dict.fromkeys(found, T_MAX), without=without)


def test_the_time_tells_nothing(tmp_path: Path) -> None:
    _time(tmp_path, 5_000)


@pytest.mark.long
def test_the_time_tells_nothing_in_many_samples(tmp_path: Path) -> None:
    _time(tmp_path, 20_000)


def test_a_comparison_that_stops_early_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""

    def compare(one: bytes, other: bytes) -> bool:
        for mine, theirs in zip(one, other, strict=False):
            if mine != theirs:
                return False
        return len(one) == len(other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    without = "comparing all of it"
    with control("E-07 times", without=without, match='"row": "E-07 times"'):
        _time(tmp_path, 1_000, without=without)


# -- Users -------------------------------------------------------------------------------------------------------------


def _ask_for_users(folder: Path, *, without: str | None = None) -> None:
    """Ask for a user that is in the file, and for one that is not."""
    users = folder / "users"
    users.write_text(f"{make_line('alice', PASSWORD, os.urandom(16))}\n")
    users.chmod(0o600)
    settings = ApiSettings(external_auth={"file": {"^filename": str(users), "*": [".*"]}})

    def asked(name: str) -> Callable[[], object]:
        credentials = {"username": name, "password": "wrong", "eauth": "file"}
        # A new one each time: the patience of one would end.
        return _refused(lambda: runner.run(Eauth(settings).check(credentials, "192.0.2.1")))

    with asyncio.Runner() as runner:
        least = _least(_Pair("users", asked("alice"), asked("nobody"), 12), random.Random(7))
    report("E-07 users", seed=7, runs=24, counters={"users": least}, target={"users": T_MAX}, without=without)


def test_the_time_does_not_tell_who_there_is(tmp_path: Path) -> None:
    _ask_for_users(tmp_path)


def test_an_answer_without_work_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control."""
    monkeypatch.setattr(eauth, "_NOBODY", "")
    without = "a hash for nobody"
    with control("E-07 users", without=without, match='"row": "E-07 users"'):
        _ask_for_users(tmp_path, without=without)
