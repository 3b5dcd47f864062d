"""File systems of a test's own, gone at the end whatever happens to the test.

Each mount is undone by a process of its own, which does so when its input ends: also where the test is killed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

UNMOUNT = 'cat > /dev/null; exec umount -l "$1"'
"""Lazily: a broker that the test could not stop must not keep the mount for ever."""


def make_ext4(image: Path, size: int) -> None:
    """Make an image with an empty file system in it.  Skips the test where that is not possible."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs the right to mount")
    with image.open("wb") as file:
        file.truncate(size)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mkfs.ext4 here")


@contextmanager
def mounted(image: Path, place: Path, options: str) -> Generator[Path]:
    """Mount an image by a loop device.  Skips the test where that is not possible."""
    place.mkdir(mode=0o700, exist_ok=True)
    undo = subprocess.Popen(
        ["sh", "-c", UNMOUNT, "sh", str(place)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert undo.stdin is not None
    done = subprocess.run(
        ["mount", "-o", f"loop,{options}", image, place], capture_output=True, check=False
    )  # fmt: skip
    try:
        if done.returncode:
            pytest.skip(f"mounting by a loop device is not possible here: {done.stderr.decode().strip()}")
        yield place
    finally:
        undo.stdin.close()
        code = undo.wait()
        assert done.returncode or code == 0, f"{place} is still mounted"


def copy_image(image: Path, copy: Path) -> None:
    """Copy what the disk has got of a file system that is mounted; its holes stay holes."""
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)


@contextmanager
def tmpfs(place: Path, size: int) -> Generator[Path]:
    """Make a small file system in memory.  Skips the test where that is not possible."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("a volume of its own needs the right to mount")
    undo = subprocess.Popen(
        ["sh", "-c", UNMOUNT, "sh", str(place)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert undo.stdin is not None
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "sylvite-test", place], capture_output=True, check=False
    )  # fmt: skip
    try:
        if done.returncode:
            pytest.skip(f"mounting is not possible here: {done.stderr.decode().strip()}")
        yield place
    finally:
        undo.stdin.close()
        undo.wait()
