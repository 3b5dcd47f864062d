"""Mosquitto: an MQTT broker."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, ClassVar

from bench.installed import debian_bytes, distribution_bytes
from bench.peers.peer import Connection, Data, Event, Guarantee, Pattern, Peer, ServerProcess, Tally, program
from bench.versions import distribution_versions, first_line

WINDOW = 1000
"""QoS 1 messages on the way at once."""
WAIT_S = 60.0


class MosquittoConnection(Connection):
    def __init__(self, path: str, qos: int) -> None:
        msgpack: Any = import_module("msgspec.msgpack")
        self._encode, self._decode = msgpack.Encoder().encode, msgpack.Decoder(dict).decode
        mqtt: Any = import_module("paho.mqtt.client")
        self._qos, self._threaded = qos, False
        self._client: Any = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, transport="unix")
        self._client.max_inflight_messages_set(WINDOW)
        self._client.max_queued_messages_set(0)
        self._client.connect(path, 1)

    def _publisher(self) -> Any:
        if not self._threaded:
            self._client.loop_start()
            self._threaded = True
            deadline = threading.Event()
            for _ in range(int(WAIT_S / 0.01)):
                if self._client.is_connected():
                    break
                deadline.wait(0.01)
        return self._client

    def publish_many(self, events: Iterable[Event]) -> None:
        publish, encode, qos = self._publisher().publish, self._encode, self._qos
        # The client has no limit of its own on what waits: without one, a run is a measurement of its memory.
        window: list[Any] = []
        sent = None
        for tag, data in events:
            sent = publish(tag, encode(data), qos)
            window.append(sent)
            if len(window) >= 2 * WINDOW:
                window[WINDOW].wait_for_publish(WAIT_S)
                del window[: WINDOW + 1]
        for each in window:
            each.wait_for_publish(WAIT_S)

    def publish_one(self, tag: str, data: Data) -> None:
        self._publisher().publish(tag, self._encode(data), self._qos).wait_for_publish(WAIT_S)

    def receive(self, pattern: Pattern, tally: Tally) -> None:
        take, decode, client = tally.take, self._decode, self._client

        def subscribe(*_: Any) -> None:
            topic = pattern.text.replace("*", "+") if pattern.is_glob else pattern.text + "#"
            client.subscribe(topic, self._qos)

        def handle(_client: Any, _data: Any, message: Any) -> None:
            if take(message.topic, decode(message.payload)):
                client.disconnect()

        client.on_connect, client.on_message = subscribe, handle
        with tally.watched():
            client.loop_forever()

    def close(self) -> None:
        self._client.disconnect()
        if self._threaded:
            self._client.loop_stop()


class Mosquitto(Peer):
    title = "Mosquitto, QoS 0"
    guarantee = Guarantee.MEMORY
    promise = "at most once"
    advice = (
        "paho-mqtt, its network loop in a thread for publishers and `loop_forever` for subscribers (its README); a UNIX "
        "socket; no limit on queued messages (mosquitto.conf(5): with it, messages are dropped)"
    )
    packages: ClassVar[tuple[str, ...]] = ("mosquitto", "mosquitto-clients")
    cannot: ClassVar[Mapping[str, str]] = {
        "publish": "QoS 0 is not acknowledged",
        "replay": "it keeps a session's own queue, and no history",
    }
    qos: ClassVar[int] = 0
    _persistence: ClassVar[str] = "false"
    _process: ServerProcess | None = None

    def start(self) -> None:
        path, config = self.folder / "mqtt.sock", self.folder / "mosquitto.conf"
        config.write_text(
            f"listener 0 {path}\nallow_anonymous true\nuser root\nlog_type error\nlog_dest stderr\n"
            f"max_queued_messages 0\nmax_inflight_messages {WINDOW}\n"
            f"persistence {self._persistence}\npersistence_location {self.folder}/\n"
        )
        self._process = ServerProcess([program("mosquitto"), "-c", config], self.folder)
        self._process.wait_until(path.exists)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def pids(self) -> dict[str, int]:
        assert self._process is not None
        return {"mosquitto": self._process.pid}

    def load(self) -> None:
        for name in ("paho.mqtt.client", "msgspec.msgpack"):
            import_module(name)

    def connect(self) -> MosquittoConnection:
        return MosquittoConnection(str(self.folder / "mqtt.sock"), self.qos)

    def command(self, tag: str) -> list[str]:
        path = str(self.folder / "mqtt.sock")
        return [program("mosquitto_pub"), "--unix", path, "-q", str(self.qos), "-t", tag, "-m", '{"n":1}']

    def script(self, tag: str) -> str:
        path = str(self.folder / "mqtt.sock")
        return (
            "import json\n"
            "from paho.mqtt import publish\n"
            f"publish.single({tag!r}, json.dumps({{'n': 1}}), {self.qos}, hostname={path!r}, transport='unix')\n"
        )

    def versions(self) -> dict[str, str]:
        found = first_line([program("mosquitto"), "-h"])
        return {"mosquitto": found.split()[-1], **distribution_versions("paho-mqtt")}

    def installed_bytes(self) -> int:
        return distribution_bytes("paho-mqtt") + debian_bytes("mosquitto", "mosquitto-clients")


class MosquittoOnce(Mosquitto):
    title = "Mosquitto, QoS 1"
    guarantee = Guarantee.WRITTEN
    promise = "acknowledged from memory, saved every 30 minutes: weaker than the others here"
    advice = f"as QoS 0, with {WINDOW} messages on the way at once, `persistence true`"
    cannot: ClassVar[Mapping[str, str]] = {"replay": "it keeps a session's own queue, and no history"}
    qos = 1
    _persistence = "true"
