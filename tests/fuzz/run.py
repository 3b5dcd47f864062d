"""Running cases in a process of its own, with a bound on the time and the memory of each.

A case that breaks a promise is written to the corpus: the bytes, and beside them its cause.  So is one that ends the
process, or does not end itself.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.faults.proc import memory_bytes, reset_peak
from tests.fuzz.target import CORPUS, Target, case, corpus_of
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CASE_CPU_S = 3.0
"""Of one case, in the time of its own process: what else the machine does has no part in it."""
CONTROL_CPU_S = 0.4
MEMORY_BYTES = 384 * 1024 * 1024
"""What a case may take from the system beyond what the process had at the start."""
GROWTH_BYTES_MAX = 96 * 1024 * 1024
"""What all cases together may add to the memory that the process holds at its peak."""


class TooSlow(BaseException):
    """A case has used up its time.  No handler but ours catches it."""


class Result(NamedTuple):
    """`failures`: the cases that broke a promise; `refused`: those with a documented error."""

    cases: int
    refused: int
    failures: int
    growth_mib: float
    first: str = ""


def fuzz(
    name: str, seed: int, cases: int, *, found: Path = CORPUS, without: str = "", timeout_s: float = 3600
) -> Result:
    """Replay the corpus, then run so many cases; return what came of it.

    `found`: where failures are written.  `without`: the safeguard that a negative control takes out.
    """
    with _SharedNumber() as file:
        command = [sys.executable, "-m", "tests.fuzz.run", name, str(seed), str(cases), str(found), file.name, without]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
            code, output, errors = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            code, output, errors = -signal.SIGKILL, "", f"it did not end within {timeout_s:g} s"
        if code == 0:
            return Result(**json.loads(output.splitlines()[-1]))
        number = file.number()
    contents = list(corpus_of(name).values())
    raw = contents[number] if number < len(contents) else case(TARGETS[name], seed, number - len(contents), contents)
    keep(name, raw, f"the process ended with {code}\n{errors[-3000:]}", found)
    return Result(number, 0, 1, 0.0, f"the process ended with {code} in case {number}: {errors[-300:]}")


class _SharedNumber:
    """Eight bytes that outlive the process: the number of the case that runs."""

    def __enter__(self) -> _SharedNumber:
        self._descriptor = os.memfd_create("fuzz")
        os.ftruncate(self._descriptor, 8)
        self.name = f"/proc/{os.getpid()}/fd/{self._descriptor}"
        return self

    def number(self) -> int:
        return int.from_bytes(os.pread(self._descriptor, 8, 0), "little")

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def keep(name: str, raw: bytes, cause: str, folder: Path) -> Path:
    """Write a case that failed, and why."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"found-{hashlib.sha256(raw).hexdigest()[:12]}"
    path.write_bytes(raw)
    path.with_suffix(".cause").write_text(cause)
    return path


def run_one(target: Target, raw: bytes, cpu_s: float) -> bool:
    """Run one case; return whether it was refused as documented.

    Raises:
        Exception: it broke a promise.
        TooSlow: it took longer than it may.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        target.run(raw)
    except target.errors:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return False


def run(name: str, seed: int, cases: int, found: Path, progress: Path, cpu_s: float) -> Result:
    """As `fuzz`, in this process, whose limits are set.  Of failures at one line, the first is kept."""
    target = TARGETS[name]
    contents = list(corpus_of(name).values())
    refused = failures = 0
    first = ""
    causes: set[tuple[str, int | None]] = set()
    with progress.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
        before = _set_limits()
        for number in range(len(contents) + cases):
            shared[:] = number.to_bytes(8, "little")
            raw = contents[number] if number < len(contents) else case(target, seed, number - len(contents), contents)
            try:
                refused += run_one(target, raw, cpu_s)
            except (Exception, TooSlow) as error:  # noqa: BLE001 - it is what is looked for
                failures += 1
                frame = traceback.extract_tb(error.__traceback__)[-1]
                if (frame.filename, frame.lineno) not in causes:
                    causes.add((frame.filename, frame.lineno))
                    path = keep(name, raw, f"{name} {seed} {number}\n{traceback.format_exc()}", found)
                    first = first or f"{path}: {error!r}"
    growth = memory_bytes(os.getpid(), "VmHWM") - before
    return Result(len(contents) + cases, refused, failures, round(max(growth, 0) / 2**20, 1), first)


def _set_limits() -> int:
    """Bound memory and time; return how much memory the process has now."""

    def late(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGVTALRM, late)
    pages, resident = (int(each) for each in Path("/proc/self/statm").read_text().split()[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + MEMORY_BYTES, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reset_peak(os.getpid())  # Else it is that of whoever has started us.
    return resident * mmap.PAGESIZE


def main(name: str, seed: str, cases: str, found: str, progress: str, without: str) -> None:
    cpu_s = CASE_CPU_S
    if without:
        from tests.fuzz.controls import CONTROLS

        CONTROLS[without]()
        cpu_s = CONTROL_CPU_S
    result = run(name, int(seed), int(cases), Path(found), Path(progress), cpu_s)
    print(json.dumps(result._asdict()))  # noqa: T201 - the result


if __name__ == "__main__":
    main(*sys.argv[1:])
