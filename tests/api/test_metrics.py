"""/metrics, read as Prometheus reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import Answer, Api
from tests.api.rest import Rest
from tests.api.test_master import Caller
from tests.daemons.nodes import WITHIN_S, until

Samples = dict[tuple[str, tuple[str, ...]], float]


def read(answer: Answer) -> Samples:
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_figures_of_a_bus(api: Api, token: str) -> None:
    before = read(api.ask("GET", "/metrics", token))
    for number in range(3):
        api.ask("POST", "/v1/events", token, f'{{"tag": "met/{number}"}}')
    api.ask("GET", "/v1/nothing", token)
    with api.stream("/v1/events/stream", token):
        now = read(api.ask("GET", "/metrics", token))
    gone = read(api.ask("GET", "/metrics", token))

    def grown(name: str, *labels: str) -> float:
        return now[name, labels] - before.get((name, labels), 0.0)

    assert now["sylvite_up", ("broker",)] == 1
    assert grown("sylvite_events_published_total") == 3
    assert grown("sylvite_log_next_offset") == 3
    assert grown("sylvite_api_requests_total", "POST", "201") == 3
    assert grown("sylvite_api_requests_total", "GET", "404") == 1
    assert now["sylvite_log_synced_offset", ()] == now["sylvite_log_next_offset", ()]
    assert now["sylvite_log_bytes", ()] > 0
    assert 0 < grown("sylvite_log_sync_seconds_count") <= 3
    assert 0 < grown("sylvite_log_sync_seconds_sum") < 3 * WITHIN_S
    assert now["sylvite_api_streams", ()] == 1
    assert now["sylvite_subscription_behind", ("api", f"uid:{os.geteuid()}")] == 0
    until(lambda: read(api.ask("GET", "/metrics", token))["sylvite_api_streams", ()] == 0)
    assert "sylvite_minions" not in {name for name, _ in gone}, "there is no master"


def test_figures_of_a_master(rest: Rest) -> None:
    watcher = Caller(rest, "status:read", owner="prometheus")
    found = read(watcher.ask("GET", "/metrics"))
    assert found["sylvite_keys", ("accepted",)] == 1
    assert found["sylvite_keys", ("revoked",)] == 0
    assert found["sylvite_minions", ("present",)] == 1
    assert found["sylvite_jobs_active", ()] >= 0
    assert found["sylvite_cursor_missed", ("jobs", f"uid:{os.geteuid()}")] == 0
    assert {labels[0] for name, labels in found if name == "sylvite_up"} == {"broker", "keys", "minions", "jobs"}


def test_a_broker_that_is_away_is_said_and_no_figure_of_before_is_shown(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        token = api.token("status:read")
        assert read(api.ask("GET", "/metrics", token))["sylvite_up", ("broker",)] == 1
        broker.kill()
        found = read(api.ask("GET", "/metrics", token))
    assert found["sylvite_up", ("broker",)] == 0
    assert not [name for name, _ in found if name.startswith("sylvite_log")]


def test_without_the_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "prometheus_client.py").write_text("raise ImportError('hidden')")
    monkeypatch.setenv("PYTHONPATH", str(hidden))
    with BrokerProcess(tmp_path / "bus") as broker, Api(broker) as api:
        answer = api.ask("GET", "/metrics", api.token("status:read"))
    assert (answer.status, answer.json["code"]) == (501, "not_installed")
    assert "sylvite[metrics]" in answer.json["detail"]
