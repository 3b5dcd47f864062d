"""Who is at the other end."""

from __future__ import annotations

import os
import socket

import pytest

from sylvite.auth.peer import Peer, _groups_of, peer_of, token_holder  # pyright: ignore[reportPrivateUsage]
from sylvite.errors import NotAuthenticated


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_the_kernel_tells_who_connected() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours.fileno())
        assert ours.send(b"still open") == 10
    assert peer == Peer(f"uid:{os.geteuid()}", os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
    assert peer.is_owner


def test_the_other_groups_are_told_too() -> None:
    """Apart from the first one, which hides them where a user has no others."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert set(_groups_of(ours)) == set(os.getgroups())


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
def test_a_socket_without_a_peer_that_the_kernel_knows_is_refused(family: socket.AddressFamily) -> None:
    """The kernel answers with a user that there is not; believed, it could be named in a policy."""
    before = open_descriptors()
    with socket.socket(family) as alone, pytest.raises(NotAuthenticated):
        peer_of(alone.fileno())
    assert open_descriptors() == before


def test_what_is_no_socket_is_refused_and_leaves_nothing_open() -> None:
    reading, writing = os.pipe()
    try:
        before = open_descriptors()
        with pytest.raises(NotAuthenticated):
            peer_of(reading)
        assert open_descriptors() == before
    finally:
        os.close(reading)
        os.close(writing)
    with pytest.raises(NotAuthenticated):
        peer_of(reading)


def test_a_kernel_that_does_not_tell_groups_leaves_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sylvite.auth.peer._SO_PEERGROUPS", 9999)
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert peer_of(ours.fileno()).gids == {os.getegid()}


def test_the_owner_is_the_user_of_the_broker_or_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert [Peer("", uid, frozenset()).is_owner for uid in (0, 1000, 1001)] == [True, True, False]
    assert token_holder() == Peer("uid:1000", 1000, frozenset())
    assert token_holder().is_owner
