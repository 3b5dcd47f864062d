"""Our own figures, each beside what the machine allows and beside its budget."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import bus, installed, limits
from bench.processes import Spread, percentile, spread

MIB = 1024 * 1024


class Row(NamedTuple):
    """One figure beside its limit and its budget; `met` is None where there is no budget."""

    what: str
    ours: str
    beside: str
    ratio: str
    budget: str
    met: bool | None


class Run:
    """The measurements of one run, in order."""

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self.rows: list[Row] = []
        self._runs = 1 if quick else 5

    def scaled(self, count: int) -> int:
        return max(count // 50, 100) if self.quick else count

    def repeat(self, what: str, measure: Callable[[Path], float], runs: int | None = None) -> Spread:
        """Measure several times, each in a folder of its own."""
        values: list[float] = []
        for _ in range(min(self._runs, runs or self._runs)):
            with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
                values.append(measure(Path(folder)))
        found = spread(values)
        print(f"{what}: {found.median:.6g} ({found.least:.6g} to {found.most:.6g})", file=sys.stderr)
        return found

    def add(self, what: str, ours: str, beside: str, ratio: str, budget: str, *, met: bool | None) -> None:
        self.rows.append(Row(what, ours, beside, ratio, budget, met))


def many(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ")


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs"


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def between(found: Spread, show: Callable[[float], str]) -> str:
    return f"{show(found.median)} ({show(found.least)} to {show(found.most)})"


def measure(run: Run) -> None:
    encoding, decoding = limits.codec(run.scaled(300_000))
    round_trip = limits.round_trip_s(run.scaled(5000))
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
        sync = limits.sync_s(Path(folder), run.scaled(1000))
        relayed = limits.relay_latencies_s(Path(folder), run.scaled(2500), 500.0)
    alone = f"encoding alone {many(encoding)}/s, decoding alone {many(decoding)}/s"

    for level in ("synced", "written", "none"):
        flows: list[bus.Flow] = []

        def flow(folder: Path, level: str = level, flows: list[bus.Flow] = flows) -> float:
            flows.append(bus.one_to_one(folder, run.scaled(600_000), level))
            return flows[-1].rate

        rate = run.repeat(f"one to one, {level}", flow)
        budget = "300 000/s and a quarter of decoding alone" if level == "synced" else ""
        run.add(
            f"one publisher, one subscriber, {limits.event_bytes()}-byte events, pipelined, `{level}`",
            between(rate, many) + "/s", alone, f"{rate.median / decoding:.2f} of decoding alone", budget,
            met=rate.median >= max(300_000, decoding / 4) if budget else None,
        )  # fmt: skip
        if level == "synced":
            broker = spread([each.broker_us for each in flows])
            ends = (
                f"publisher {spread([each.publisher_us for each in flows]).median:.2f} µs, "
                f"subscriber {spread([each.subscriber_us for each in flows]).median:.2f} µs"
            )
            run.add(
                "the broker's processor time per event in that", between(broker, lambda value: f"{value:.2f} µs"),
                ends, "", "1.5 µs", met=broker.median <= 1.5,
            )  # fmt: skip

    for level, limit, text in (
        ("written", round_trip, f"bare round trip {us(round_trip)}"),
        ("synced", round_trip + sync, f"bare round trip {us(round_trip)} + one fdatasync {us(sync)}"),
    ):
        took = run.repeat(
            f"publish {level}", lambda folder, level=level: bus.publish_times_s(folder, run.scaled(2000), level)
        )
        run.add(
            f"one publish, acknowledged `{level}`, median", between(took, us), text, f"{took.median / limit:.1f}x", "2x",
            met=took.median <= 2 * limit,
        )  # fmt: skip

    for part, name in ((0.5, "p50"), (0.99, "p99")):
        limit = percentile(relayed, part)
        took = run.repeat(
            f"latency {name}",
            lambda folder, part=part: percentile(bus.latencies_s(folder, run.scaled(2500), 500.0), part),
            3,
        )
        run.add(
            f"publish to handler, 500 events/s, {name}", between(took, us), f"bare relay {us(limit)}",
            f"{took.median / limit:.1f}x", "3x", met=took.median <= 3 * limit,
        )  # fmt: skip

    one = run.repeat("1 prefix", lambda folder: bus.fan_out_us(folder, run.scaled(200_000), 1), 3)
    hundred = run.repeat("100 prefixes", lambda folder: bus.fan_out_us(folder, run.scaled(200_000), 100), 3)
    run.add(
        "100 subscribers with distinct prefixes: the broker's processor time per event",
        between(hundred, lambda value: f"{value:.2f} µs"),
        f"one of them alone {one.median:.2f} µs", f"{hundred.median / one.median:.2f}x", "1.5x",
        met=hundred.median <= 1.5 * one.median,
    )  # fmt: skip

    replay = run.repeat("replay", lambda folder: bus.replay_rate(folder, run.scaled(1_000_000)), 3)
    run.add(
        "replay of a million events to one reader, as dicts", between(replay, many) + "/s",
        f"decoding alone {many(decoding)}/s", f"{replay.median / decoding:.2f} of it", "500 000/s",
        met=replay.median >= 500_000,
    )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
        stopped = bus.one_stopped(Path(folder), run.scaled(100_000))
    run.add(
        "one subscriber stopped, 100 000 events of 1 KiB: the broker grows by", f"{stopped.growth_bytes / MIB:.1f} MiB",
        "", f"missed in the end: {stopped.other_missed + stopped.stopped_missed}", "16 MiB, and nothing missed",
        met=stopped.growth_bytes <= 16 * MIB and not stopped.other_missed + stopped.stopped_missed,
    )  # fmt: skip

    rest = run.repeat("at rest", bus.memory_at_rest, 3)
    run.add(
        "a broker at rest",
        between(rest, lambda value: f"{value / MIB:.1f} MiB"),
        "",
        "",
        "35 MiB",
        met=rest.median <= 35 * MIB,
    )
    starts = 20
    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as installing:
        programs = installed.install(Path(installing))
        cold = run.repeat("cold start", lambda folder: percentile(bus.cold_start_s(folder, programs, starts), 0.5), 3)
        needed = run.repeat("libraries", lambda _: percentile(bus.start_s(programs, starts), 0.5), 3)
        importing = run.repeat("import", lambda _: percentile(bus.import_s(programs, starts), 0.5), 3)
        codec = run.repeat("msgspec", lambda _: percentile(bus.import_s(programs, starts, "import msgspec"), 0.5), 3)
        size = installed.size_bytes(programs)
    run.add(
        "`sylvite publish` from the shell, all in all", between(cold, ms),
        f"Python with click, msgspec, a checksum and socket {ms(needed.median)}", f"{cold.median / needed.median:.1f}x", "100 ms",
        met=cold.median <= 0.1,
    )  # fmt: skip
    run.add(
        "`from sylvite import Client`, beyond a bare interpreter", between(importing, ms),
        f"`import msgspec` {ms(codec.median)}", f"{importing.median / codec.median:.1f}x", "30 ms",
        met=importing.median <= 0.03,
    )  # fmt: skip

    run.add("installed, with all that it depends on", f"{size / MIB:.1f} MiB", "", "", "", met=None)

    with tempfile.TemporaryDirectory(prefix="sylvite-bench-") as folder:
        found = bus.recovery(Path(folder), run.scaled(1024) * MIB)
    run.add(
        f"after SIGKILL over a log of {found.log_bytes / MIB:,.0f} MiB: first acknowledgement",
        f"{found.first_ack_s:.2f} s", f"memory then {found.memory / MIB:.0f} MiB", "", "2 s", met=found.first_ack_s <= 2,
    )  # fmt: skip
