"""Session: one page, played from its first block to its last, in a folder of its own with one broker."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import pytest

from sylvite.auth.policy import Policy
from sylvite.broker.settings import BrokerSettings
from sylvite.config import read_config
from sylvite.daemons.options.reading import load_master, load_minion
from sylvite.testing.broker import BrokerProcess
from tests.docs.blocks import Block, commands

WITHIN_S = 60

_MASKS = (
    (r"\b\d{20}\b", "JID"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z| \+0000)?", "TIME"),
    (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "TIME"),
    (r"\bLinux \S+", "Linux"),
    (r"\bopen (\d+|any number of) files", "open N files"),
    (r"\b(?:[0-9a-f]{2}:){7,31}[0-9a-f]{2}\b", "FINGERPRINT"),
    (r"\b[0-9a-f]{32}\b", "LOGID"),
    (r"\b[0-9a-f]{16}\b", "EPOCH"),
    (r'(?<=_ns":)\d{19}', "NS"),
    (r"\bpid:\d+", "pid:N"),
    (r"\bbroker:\d+", "broker:N"),
    (r"\buid:\d+", "uid:N"),
    (r"\bowner [\w-]+", "owner USER"),
    (r"/[\w./-]*/(?=bus\b)", ""),
    (r"\b\d+(\.\d+)? (?:[KMGT]i)?B\b", "SIZE"),
    (r'(?<=bytes":)\d+', "BYTES"),
    (r"\bup \d+(\.\d+)? \w+|\b\d+(\.\d+)? (?:µs|ms|s|min|h) ago|\bnow\b|\banswered in [\d.]+ \w+", "AGE"),
    (r"\b\d+\.\d+\.\d+[\w.+-]*", "VERSION"),
    (r"\bcounters .*", "counters"),
    (r"\bbytes? \d+( to \d+)?|\bposition=\d+", "bytes N"),
    (r"-{2,}", "--"),
    (r" {2,}", "  "),
)


def masked(text: str) -> str:
    """Return text without what differs from run to run: times, ids, folders, sizes; and the width of columns."""
    for pattern, stand_in in _MASKS:
        text = re.sub(pattern, stand_in, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _late(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"a block of a page has not ended within {WITHIN_S} s")


@contextlib.contextmanager
def at_most(seconds: int) -> Generator[None]:
    """Raise TimeoutError where something would wait for ever."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Session:
    """A context manager; `play` takes the blocks in their order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, needs_broker: bool = True) -> None:
        """`needs_broker`: else somebody else has one, and names it."""
        self.folder, self._needs_broker = folder, needs_broker
        self.broker = BrokerProcess(folder / "bus")
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SYLVITE_SOCKET", str(self.broker.socket))
        monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
        monkeypatch.setenv("SYLVITE_CONFIG_DIR", "conf")
        monkeypatch.setenv("SYLVITE_CLOUD_STATE", "state")
        monkeypatch.setenv("TZ", "UTC")
        monkeypatch.setenv("COLUMNS", "120")
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        self._names: dict[str, Any] = {"__name__": "page"}
        self._printed: str | None = None
        self._live: list[tuple[Block, subprocess.Popen[str], str, str]] = []

    def __enter__(self) -> Session:
        if self._needs_broker:
            self.broker.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.broker.__exit__(kind, error, trace)
        for _, process, _, _ in self._live:
            process.kill()
            process.communicate()

    def play(self, block: Block) -> None:
        with at_most(WITHIN_S):
            match block.kind, block.argument.partition(" ")[0]:
                case "console", "live":
                    self._start(block)
                case "console", _:
                    self._run(block)
                    self.finish()
                case "python", "pytest":
                    self._test(block)
                case "python", _:
                    self._execute(block)
                case "output", _:
                    assert self._printed is not None, f"{block.place}: nothing was printed before"
                    self._compare(block, self._printed, block.text)
                case "yaml", name:
                    target = self.folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_text(block.text)
                    self._read(name, target)
                case _:
                    pytest.fail(f"{block.place}: nobody knows how to run a block of {block.kind!r}")

    def finish(self) -> None:
        """Compare what the live commands have printed, and end them as Ctrl-C does."""
        while self._live:
            block, process, shown, printed = self._live[0]
            before, _, after = shown.partition("^C\n")
            assert process.stdout is not None
            printed += "".join(process.stdout.readline() for _ in before.splitlines()[printed.count("\n") :])
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate()
            del self._live[0]
            self._compare(block, printed + rest, before + after)
            assert process.returncode == 0

    def _read(self, name: str, target: Path) -> None:
        """Read a file of configuration as who it is for: `master` and `minion` with what they include."""
        node = name.partition("/")[0].removesuffix(".d")
        if node == "master":
            load_master(self.folder / node).raise_first()
        elif node == "minion":
            load_minion(self.folder / node).raise_first()
        else:
            Policy(read_config(target, BrokerSettings).policy)

    def _run(self, block: Block) -> None:
        printed = ""
        for command in commands(block):
            done = subprocess.run(
                ["bash", "-c", command.line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, check=False, timeout=WITHIN_S,
            )  # fmt: skip
            self._compare(block, done.stdout, command.shown, command.line)
            printed += done.stdout
        self._printed = printed

    def _start(self, block: Block) -> None:
        *before, last = commands(block)
        assert not before, f"{block.place}: a live block has one command"
        process = subprocess.Popen(
            ["bash", "-c", f"exec {last.line}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        printed = ""
        # A broker can be used by the next command.
        while "listening" in last.shown and "listening" not in printed and (line := process.stdout.readline()):
            printed += line
        self._live.append((block, process, last.shown, printed))

    def _execute(self, block: Block) -> None:
        printed = io.StringIO()
        # Lines of the page in tracebacks.
        code = compile("\n" * block.line + block.text, block.page, "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)
        self._printed = printed.getvalue()

    def _test(self, block: Block) -> None:
        target = self.folder / "test_page.py"
        target.write_text(block.text)
        arguments = (
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            "-W",
            "error",
            "--rootdir",
            str(self.folder),
            str(target),
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, check=False, timeout=WITHIN_S
        )
        assert done.returncode == 0, f"{block.place}:\n{done.stdout}{done.stderr}"
        self._printed = done.stdout

    def _compare(self, block: Block, printed: str, shown: str, what: str = "") -> None:
        __tracebackhide__ = True
        message = f"{block.place}: {what}\nprinted\n{printed}\nwhere the page shows\n{shown}"
        assert masked(printed) == masked(shown), message
