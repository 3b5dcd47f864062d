"""A hostile peer as a process of its own: PLACE SEED COUNT sends so many malformed frames, and says how it went.

Each connection is closed from this side for writing and read to its end, so that the broker has taken everything; some
leave without reading.  It says {"ready": true}, and at the end {"frames", "connections", "unanswered"}; what it is made
to wait for longer than WITHIN_S is unanswered.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from pathlib import Path

from sylvite.client.address import is_tcp, read_tcp
from sylvite.wire.frame import encode_frame
from sylvite.wire.messages import VERSION, Hello, encode
from tests.faults.raw_peer import RawPeer
from tests.fuzz.mutate import change_bytes
from tests.fuzz.wire_targets import BROKER_SAYS, CLIENT_SAYS, change_frame

FRAMES = [encode(message) for message in CLIENT_SAYS]
STRANGE = [encode(message) for message in BROKER_SAYS] + [
    encode(Hello(VERSION, "again", 1)),
    encode_frame(0, b""),
    b"\0" * 8,
    b"",
]


def said_by(rng: random.Random, greeting: bytes) -> tuple[bytes, int]:
    """Return what one connection says, and how many malformed frames are in it."""
    chance = rng.random()
    if chance < 0.15:
        return change_frame(rng, greeting), 1
    if chance < 0.25:
        return greeting + rng.choice(STRANGE), 1
    if chance < 0.3:
        frame = rng.choice(FRAMES)
        return greeting + frame[: rng.randrange(len(frame))], 1
    if chance < 0.35:
        return greeting + change_bytes(rng, rng.choice(FRAMES), FRAMES), 1
    count = rng.randrange(1, 4)
    return greeting + b"".join(change_frame(rng, rng.choice(FRAMES)) for _ in range(count)), count


def attack(place: Path, rng: random.Random, greeting: bytes) -> tuple[int, bool]:
    """Make one connection; return how many frames it sent, and whether the broker let it wait."""
    said, frames = said_by(rng, greeting)
    is_rude = rng.random() < 0.1
    try:
        with RawPeer(place) as peer:
            peer.socket.sendall(said)
            if is_rude:
                peer.reset()
            else:
                peer.socket.shutdown(socket.SHUT_WR)
                peer.hear_out()
    except TimeoutError:
        return frames, True
    except OSError:
        pass  # The broker has closed before we had said everything.
    return frames, False


def main(place: Path, seed: int, count: int) -> None:
    os.nice(10)  # What is measured is what the broker does to others, not how few processors there are.
    token = read_tcp(place).token if is_tcp(place) else ""
    greeting = encode(Hello(VERSION, "hostile", 7, token))
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201 - the answer
    frames = connections = unanswered = 0
    while frames < count:
        sent, late = attack(place, random.Random(f"{seed}/{connections}"), greeting)
        frames, connections, unanswered = frames + sent, connections + 1, unanswered + late
    print(json.dumps({"frames": frames, "connections": connections, "unanswered": unanswered}), flush=True)  # noqa: T201 - the answer
    sys.stdin.read()  # So that it can be stopped up to the end of its input.


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
