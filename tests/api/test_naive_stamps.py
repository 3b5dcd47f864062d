"""`events_stamp: naive`: pages that read no zone show the right time (design/third-party-clients.md part 6, G9)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sylvite.testing.broker import BrokerProcess
from tests.api.nodes import EVERYTHING, WITHIN_S, Api
from tests.api.test_sockets import open_socket

NAIVE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"
OURS = "2026-11-23T22:44:12.873973+00:00"


@pytest.mark.parametrize(("way", "end"), [("naive", ""), ("utc", r"\+00:00")])
def test_the_stamp_of_salt_s_stream(tmp_path: Path, way: str, end: str) -> None:
    with (
        BrokerProcess(tmp_path / "bus") as broker,
        Api(broker, options={"rest_cherrypy": {"events_stamp": way}}) as api,
    ):
        token = api.token(*EVERYTHING)
        with api.stream("/events", "", X_Auth_Token=token) as stream, open_socket(api.port, "/ws", token) as socket:
            socket.send("websocket client ready")
            assert socket.recv(WITHIN_S) == "server received message"
            for data in ({}, {"_stamp": OURS}, {"_stamp": 7}):
                api.ask("POST", "/v1/events", token, json.dumps({"tag": "a", "data": data}))
            blocks = stream.blocks()
            shown = [json.loads(next(blocks)["data"])["data"]["_stamp"] for _ in range(3)]
            texts = [str(socket.recv(WITHIN_S)).removeprefix("data: ") for _ in range(3)]
        assert re.fullmatch(NAIVE + end, shown[0])
        assert shown[1:] == [OURS if end else OURS.removesuffix("+00:00"), 7]
        assert [json.loads(text)["data"]["_stamp"] for text in texts] == shown
        items = api.ask("GET", "/v1/events", token).json["items"]
        assert items[1]["data"] == {"_stamp": OURS}, "what is kept is as it was"
