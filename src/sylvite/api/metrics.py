"""Metrics for Prometheus: asked of each part when they are scraped, and kept nowhere.

The broker tells its own, keys, minions and jobs are looked up in their files, and the interface has counted its own answers.
What cannot be asked for is missing, and `sylvite_up` says of which part.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sylvite.api.answers import NO_STORE
from sylvite.api.consumers import Consumer, read_consumers
from sylvite.api.crowd import ADDRESS, FRAMES
from sylvite.api.parameters import check_names
from sylvite.api.problems import NotInstalled
from sylvite.api.service import Service
from sylvite.auth.keyring import Keyring
from sylvite.auth.keyring_values import State
from sylvite.client.async_client import AsyncClient
from sylvite.errors import SylviteError
from sylvite.jobs.client_core import JOBS_FILE, KEYS
from sylvite.jobs.known_minions import read_known
from sylvite.jobs.minions import FILE
from sylvite.jobs.store import PAGE_JOBS_MAX, read_jobs

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

ASK_S = 5.0


class Facts(msgspec.Struct):
    """What was found.  `stats`: the broker's; None where it does not answer.  None elsewhere: there is no such part here, or it failed."""

    up: dict[str, bool] = {}
    stats: dict[str, Any] | None = None
    consumers: list[Consumer] = []
    keys: Mapping[str, int] | None = None
    minions: Mapping[str, int] | None = None
    jobs_active: int | None = None


async def show(service: Service, request: Request) -> Response:
    """GET /metrics: figures for Prometheus."""
    service.access.require(request, "status:read")
    check_names(request.query_params)
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError as error:
        raise NotInstalled(
            "figures need prometheus-client; install sylvite with its extra: sylvite[metrics]"
        ) from error
    facts = await gather(service)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(list(_metrics(service, facts))))
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=media_type, headers=NO_STORE)


class _Found:
    """A collector of what is there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


# -- Ask -------------------------------------------------------------------------------------------------------------


async def gather(service: Service) -> Facts:
    facts = Facts(up={})
    await asyncio.gather(_ask_broker(service.bus, facts), asyncio.to_thread(_look, service.place.data_dir, facts))
    return facts


async def _ask_broker(bus: AsyncClient, facts: Facts) -> None:
    try:
        stats = await bus.ask("stats", timeout_s=ASK_S)
        cursors = await bus.ask("cursors", timeout_s=ASK_S)
    except SylviteError:
        facts.up["broker"] = False
        return
    facts.up["broker"] = True
    facts.stats, facts.consumers = stats, read_consumers(cursors, stats)


def _look(data: Path, facts: Facts) -> None:
    if (data / KEYS).is_dir():
        facts.up["keys"] = _try(lambda: _look_at_keys(data / KEYS, facts))
    if (data / FILE).exists():
        facts.up["minions"] = _try(lambda: _look_at_minions(data / FILE, facts))
    if (data / JOBS_FILE).exists():
        facts.up["jobs"] = _try(lambda: _look_at_jobs(data / JOBS_FILE, facts))


def _try(look: Look) -> bool:
    try:
        look()
    except SylviteError:
        return False
    return True


class Look(Protocol):
    """Raises SylviteError."""

    def __call__(self) -> None: ...


def _look_at_keys(folder: Path, facts: Facts) -> None:
    with Keyring.open(folder) as keyring:
        counts = Counter(key.state for key in keyring.all_keys())
    facts.keys = {state.value: counts[state] for state in State}


def _look_at_minions(path: Path, facts: Facts) -> None:
    with read_known(path) as reader:
        present = [record.is_present for record in reader.records()]
    facts.minions = {"present": sum(present), "absent": len(present) - sum(present)}


def _look_at_jobs(path: Path, facts: Facts) -> None:
    with read_jobs(path) as reader:
        facts.jobs_active = len(reader.active())


# -- Tell ------------------------------------------------------------------------------------------------------------

COUNTERS: Mapping[str, tuple[str, str]] = {
    "published": ("sylvite_events_published", "Events that the broker has taken."),
    "duplicates": ("sylvite_events_repeated", "Events that came again, and were answered as before."),
    "refused": ("sylvite_events_refused", "Events that the broker has refused."),
    "own_dropped": ("sylvite_own_events_dropped", "Events of the broker's own that it could not publish."),
    "batches": ("sylvite_log_batches", "Batches that were written to the log."),
    "sync_failures": ("sylvite_log_sync_failures", "Times that the disk has refused to sync the log."),
    "protocol_errors": ("sylvite_protocol_errors", "Connections that were ended for what they said."),
    "connections": ("sylvite_connections_taken", "Connections that the broker has taken."),
}
"""Of the broker: its name, the name here, and what it says."""
LOG: Mapping[str, tuple[str, str]] = {
    "oldest": ("sylvite_log_first_offset", "Offset of the oldest event that is kept."),
    "end": ("sylvite_log_next_offset", "Offset behind the newest event."),
    "synced": ("sylvite_log_synced_offset", "Offset up to which a power cut takes nothing."),
    "bytes": ("sylvite_log_bytes", "Size of the log."),
    "segments": ("sylvite_log_segments", "Files of the log."),
    "free_bytes": ("sylvite_log_free_bytes", "Free space on the disk of the log."),
}
NOW: Mapping[str, tuple[str, str]] = {
    "connections": ("sylvite_connections", "Who is connected to the broker."),
    "subscriptions": ("sylvite_subscriptions", "Subscriptions of those who are connected."),
}


def _metrics(service: Service, facts: Facts) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

    up = GaugeMetricFamily("sylvite_up", "Whether a part could be asked.", labels=["part"])
    for part, is_up in sorted(facts.up.items()):
        up.add_metric([part], float(is_up))
    yield up
    if facts.stats is not None:
        yield from _of_broker(facts.stats, facts.consumers)
    for name, about, label, counts in (
        ("sylvite_keys", "Keys of minions.", "state", facts.keys),
        ("sylvite_minions", "Minions that are known.", "state", facts.minions),
    ):
        if counts is not None:
            gauge = GaugeMetricFamily(name, about, labels=[label])
            for value, count in counts.items():
                gauge.add_metric([value], count)
            yield gauge
    if facts.jobs_active is not None:
        yield GaugeMetricFamily(
            "sylvite_jobs_active", f"Jobs that are waited for, up to {PAGE_JOBS_MAX}.", facts.jobs_active
        )
    if service.hooks.counts:
        deliveries = CounterMetricFamily(
            "sylvite_hook_deliveries", "Deliveries to webhooks.", labels=["hook", "result"]
        )
        for hook, counted in service.hooks.counts.items():
            for result, count in msgspec.structs.asdict(counted).items():
                deliveries.add_metric([hook, result], count)
        yield deliveries
    requests = CounterMetricFamily("sylvite_api_requests", "Requests that were answered.", labels=["method", "status"])
    for (method, status), count in sorted(service.counts.requests.items()):
        requests.add_metric([method, str(status)], count)
    yield requests
    cut = CounterMetricFamily(
        "sylvite_api_connections_cut", "Connections that were ended by a limit.", labels=["limit"]
    )
    for limit in (ADDRESS, FRAMES):
        cut.add_metric([limit], service.crowd.cut[limit])
    yield cut
    yield GaugeMetricFamily("sylvite_api_connections", "Connections that are open.", service.crowd.count)
    yield GaugeMetricFamily("sylvite_api_streams", "Streams and WebSockets that are open.", service.streams.count)


def _of_broker(stats: dict[str, Any], consumers: list[Consumer]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

    yield GaugeMetricFamily(
        "sylvite_broker_start_time_seconds", "When the broker was started.", stats["started_ns"] / 1e9
    )
    for name, (shown, about) in COUNTERS.items():
        yield CounterMetricFamily(shown, about, stats["counters"][name])
    for group, table in ((stats["log"], LOG), (stats, NOW)):
        for name, (shown, about) in table.items():
            yield GaugeMetricFamily(shown, about, group[name])
    counters = stats["counters"]
    yield SummaryMetricFamily(
        "sylvite_log_sync_seconds",
        "Syncs of the log, and how long they took.",
        counters["syncs"],
        counters["sync_us"] / 1e6,
    )
    yield GaugeMetricFamily("sylvite_log_damaged", "Places of the log that are damaged.", len(stats["log"]["damaged"]))
    behind = GaugeMetricFamily("sylvite_cursor_behind", "Events that a cursor has not had.", labels=["cursor", "owner"])
    missed = GaugeMetricFamily(
        "sylvite_cursor_missed", "Of those the events that retention has taken.", labels=["cursor", "owner"]
    )
    most: dict[tuple[str, str], int] = {}
    for each in consumers:
        if each.kind == "cursor":
            behind.add_metric([each.name, each.owner], each.behind)
            missed.add_metric([each.name, each.owner], each.missed or 0)
        else:
            key = (each.name, each.owner)
            most[key] = max(most.get(key, 0), each.behind)
    slowest = GaugeMetricFamily(
        "sylvite_subscription_behind",
        "Events that the slowest subscription of a client has not had.",
        labels=["client", "sender"],
    )
    for (client, sender), count in most.items():
        slowest.add_metric([client, sender], count)
    yield from (behind, missed, slowest)
