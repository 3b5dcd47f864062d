"""The workloads: one function each, with a real broker in a folder of its own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.events import TAG, job_return, of_size
from bench.installed import times_s
from bench.pace import paced
from bench.processes import Worker, cpu_s, memory_bytes, percentile
from sylvite import Client
from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from sylvite.testing.broker import BrokerProcess

Ready = Callable[[], None]


@contextmanager
def bus(folder: Path, settings: BrokerSettings | None = None) -> Generator[BrokerProcess]:
    with BrokerProcess(folder, settings=settings) as process:
        yield process


class Flow(NamedTuple):
    """Events a second from the first publish to the last event handed out, and processor time per event in us."""

    rate: float
    publisher_us: float
    broker_us: float
    subscriber_us: float


def one_to_one(folder: Path, count: int, level: str) -> Flow:
    """One pipelined publisher, one subscriber that gets each event as a dict with its tag."""

    def subscribe(ready: Ready) -> tuple[float, float]:
        with Client.connect(folder / "bus.sock") as client:
            subscription = client.subscribe("salt/")
            ready()
            used = time.process_time()
            left = count
            for event in subscription:
                assert event.data["id"] == "web1"
                left -= 1
                if not left:
                    break
            return time.perf_counter(), (time.process_time() - used) / count * 1e6

    with bus(folder) as process, Worker(subscribe) as subscriber, Client.connect(process.socket) as client:
        subscriber.ready()
        used, own = cpu_s(process.pid), time.process_time()
        started = time.perf_counter()
        data = job_return()
        with client.publisher(level=level) as publisher:
            publish = publisher.publish
            for number in range(count):
                data["n"] = number
                publish(TAG, data)
        own_us = (time.process_time() - own) / count * 1e6
        ended, subscriber_us = subscriber.result()
        return Flow(count / (ended - started), own_us, (cpu_s(process.pid) - used) / count * 1e6, subscriber_us)


def publish_times_s(folder: Path, count: int, level: str) -> float:
    """Return the median time of one acknowledged publish, one after the other."""
    with bus(folder) as process, Client.connect(process.socket) as client:
        data = job_return()
        times: list[float] = []
        for _ in range(count):
            started = time.perf_counter()
            client.publish(TAG, data, level=level)
            times.append(time.perf_counter() - started)
        return percentile(times, 0.5)


def latencies_s(folder: Path, count: int, rate: float) -> list[float]:
    """Return the times from publish in one process to the handler in another, on a bus that is idle but for that."""

    def receive(ready: Ready) -> list[float]:
        with Client.connect(folder / "bus.sock") as client:
            subscription = client.subscribe("salt/")
            ready()
            times: list[float] = []
            for event in subscription:
                times.append(time.perf_counter() - event.data["at"])
                if len(times) == count:
                    break
            return times

    with bus(folder) as process, Worker(receive) as receiver, Client.connect(process.socket) as client:
        receiver.ready()
        data = job_return()
        for _ in paced(count, rate):
            data["at"] = time.perf_counter()
            client.publish(TAG, data)
        times: list[float] = receiver.result()
        return times


def fan_out_us(folder: Path, count: int, prefixes: int) -> float:
    """Return the broker's processor time per event, with a subscriber for each of `prefixes`, of 100 tags in turn."""

    def subscribe(ready: Ready) -> int:
        clients = [Client.connect(folder / "bus.sock") for _ in range(prefixes)]
        subscriptions = [client.subscribe(f"bench/{number:03d}/") for number, client in enumerate(clients)]
        ready()
        got = 0
        # In turn, as a hundred programs would: the last one does not stand still until the first has read all.
        for _ in range(count // 100):
            for subscription in subscriptions:
                next(subscription)
                got += 1
        return got

    with bus(folder) as process, Worker(subscribe) as subscriber, Client.connect(process.socket) as client:
        subscriber.ready()
        used = cpu_s(process.pid)
        data = job_return()
        tags = [f"bench/{number:03d}/done" for number in range(100)]
        with client.publisher() as publisher:
            for number in range(count):
                publisher.publish(tags[number % 100], data)
        assert subscriber.result() == count // 100 * prefixes
        return (cpu_s(process.pid) - used) / count * 1e6


def replay_rate(folder: Path, count: int) -> float:
    """Return events a second of history, unfiltered, to one reader that gets them as dicts."""

    def read(ready: Ready) -> float:
        with Client.connect(folder / "bus.sock") as client:
            ready()
            started = time.perf_counter()
            got = sum(1 for _ in client.subscribe(since="oldest", until_end=True))
            assert got == count, got
            return got / (time.perf_counter() - started)

    with bus(folder) as process, Client.connect(process.socket) as client:
        client.publish_many((TAG, job_return(number)) for number in range(count))
        with Worker(read) as reader:
            reader.ready()
            rate: float = reader.result()
            return rate


class Stopped(NamedTuple):
    """One of two subscribers stopped: what the broker grew by, and what each of them missed in the end."""

    growth_bytes: int
    other_missed: int
    stopped_missed: int


def one_stopped(folder: Path, count: int) -> Stopped:
    """One subscriber does not read while `count` events of 1 KiB pass, and then reads on; another always reads."""

    def read(ready: Ready) -> int:
        with Client.connect(folder / "bus.sock") as client:
            subscription = client.subscribe("bench/")
            ready()
            got = 0
            while got < count and subscription.next(30.0) is not None:
                got += 1
            return got

    settings = BrokerSettings(log=LogSettings(segment_bytes=16 * 1024 * 1024))
    with bus(folder, settings) as process, Worker(read) as stopped, Worker(read) as other:
        stopped.ready()
        other.ready()
        with Client.connect(process.socket) as client:
            client.publish("warm/up", of_size(1024))
            os.kill(stopped.pid, signal.SIGSTOP)
            before = memory_bytes(process.pid)
            client.publish_many(("bench/a", of_size(1000)) for _ in range(count))
            growth = memory_bytes(process.pid) - before
            other_got = other.result()
            os.kill(stopped.pid, signal.SIGCONT)
            return Stopped(growth, count - other_got, count - stopped.result())


def memory_at_rest(folder: Path) -> int:
    with bus(folder) as process, Client.connect(process.socket) as client:
        client.publish(TAG, job_return())
        return memory_bytes(process.pid)


def cold_start_s(folder: Path, programs: Path, runs: int) -> list[float]:
    """Return the times of `sylvite publish` from the shell, all in all."""
    with bus(folder) as process:
        return times_s([programs / "sylvite", "publish", TAG, "n=1"], runs, SYLVITE_SOCKET=str(process.socket))


def import_s(programs: Path, runs: int, imported: str = "from sylvite import Client") -> list[float]:
    """Return the times of an import beyond a bare interpreter."""
    bare = percentile(times_s([programs / "python", "-c", "pass"], runs), 0.5)
    return [took - bare for took in times_s([programs / "python", "-c", imported], runs)]


def start_s(programs: Path, runs: int) -> list[float]:
    """Return the times of a program that does nothing but load what a command cannot do without."""
    return times_s([programs / "python", "-c", "import click, google_crc32c, msgspec, socket"], runs)


class Recovery(NamedTuple):
    log_bytes: int
    first_ack_s: float
    memory: int


def recovery(folder: Path, log_bytes: int) -> Recovery:
    """Kill a broker over a log of that size; return how long the next one takes to its first acknowledgement."""
    with bus(folder) as process:
        with Client.connect(process.socket) as client:
            data = of_size(4000)
            client.publish_many(("bench/a", data) for _ in range(log_bytes // 4100))
            with client.publisher(level="written") as publisher:
                # What nobody has synced has to be looked through.
                for _ in range(200):
                    publisher.publish("bench/a", data)
        process.kill()
        size = sum(path.stat().st_size for path in (folder / "log").glob("seg-*.log"))
        started = time.perf_counter()
        process.start()
        with Client.connect(process.socket) as client:
            client.publish("bench/a", data)
        return Recovery(size, time.perf_counter() - started, memory_bytes(process.pid))
