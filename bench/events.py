"""The event that is measured with: a job's return, about 250 bytes with its tag."""

from __future__ import annotations

from typing import Any

TAG = "salt/job/20261123224730771814/ret/web1"


def job_return(number: int = 0) -> dict[str, Any]:
    return {
        "id": "web1",
        "fun": "state.apply",
        "jid": "20261123224730771814",
        "retcode": 0,
        "success": True,
        "return": "nginx: reloaded; 14 states ok, 0 failed; 3 changed; configuration checked before, no restart",
        "_stamp": "2026-11-23T22:47:31.012345",
        "n": number,
    }


def of_size(size: int) -> dict[str, Any]:
    return {"pad": "x" * size}
