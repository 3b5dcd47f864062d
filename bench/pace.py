"""How often something is done."""

from __future__ import annotations

import time
from collections.abc import Generator


def paced(count: int, rate: float) -> Generator[int]:
    """Yield `count` times, `rate` a second."""
    start = time.perf_counter()
    for number in range(count):
        wait_s = start + number / rate - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        yield number
