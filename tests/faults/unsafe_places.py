"""Places where a broker must not start, and processes that must not be one: what D-11 begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sylvite.broker.settings import BrokerSettings
from sylvite.eventlog.eventlog import LogSettings
from tests.faults.broker_parent import Process
from tests.faults.forked_brokers import Forks, Start, broker_output
from tests.faults.other_user import NOBODY

SETTINGS = BrokerSettings(log=LogSettings(keep_free_bytes=0, segment_bytes=64 * 1024))
OTHERS = (NOBODY, NOBODY, NOBODY)


class Place:
    """Where a broker is to start: `start` is changed by a case."""

    def __init__(self, folder: Path, without: str | None = None) -> None:
        self.root = folder
        self.bus = folder / "shared" / "bus"
        self.log = self.bus / "log"
        self.config = folder / "etc" / "broker.yaml"
        self.elsewhere = folder / "elsewhere"
        self.socket = self.bus / "bus.sock"
        self.process = Process()
        self.tcp = False
        self.without = without
        for path in (self.log, self.config.parent, self.elsewhere):
            path.mkdir(mode=0o700, parents=True)
        for path in (self.bus, self.bus.parent):
            path.chmod(0o755)
        self.config.write_text("{}")

    @property
    def start(self) -> Start:
        return Start(
            str(self.bus), SETTINGS, socket=str(self.socket), log_folder=str(self.log), config=str(self.config), tcp=self.tcp,
            output=str(self.root / "output"), process=self.process, without=self.without,
        )  # fmt: skip

    def had_a_broker(self, forks: Forks) -> None:
        started = forks.start(self.start)
        assert started.ready, broker_output(self.root / "output")
        assert forks.stop(started.pid) == 0

    def others_own(self, path: Path) -> None:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def victim(self) -> Path:
        path = self.elsewhere / "victim"
        path.write_text("a report of mine")
        return path

    def put_aside(self, path: Path) -> Path:
        """Let a link of another user stand in the place of a folder."""
        aside = self.elsewhere / path.name
        path.rename(aside)
        path.symlink_to(aside)
        self.others_own(path)
        return aside


Case = Callable[[Forks, Place], None]


def _folder_for_all(forks: Forks, place: Place) -> None:
    place.bus.chmod(0o777)


def _folder_for_a_group(forks: Forks, place: Place) -> None:
    os.chown(place.bus, 0, 1234)
    place.bus.chmod(0o770)


def _folder_of_another(forks: Forks, place: Place) -> None:
    place.others_own(place.bus)


def _folder_in_one_for_all(forks: Forks, place: Place) -> None:
    place.bus.parent.chmod(0o777)


def _folder_in_one_of_another(forks: Forks, place: Place) -> None:
    place.others_own(place.bus.parent)


def _folder_planted_in_a_sticky_one(forks: Forks, place: Place) -> None:
    place.bus.parent.chmod(0o1777)
    place.others_own(place.bus)


def _link_planted_in_a_sticky_one(forks: Forks, place: Place) -> None:
    place.bus.parent.chmod(0o1777)
    place.put_aside(place.bus)


def _link_into_a_folder_for_all(forks: Forks, place: Place) -> None:
    place.put_aside(place.bus)
    os.chown(place.bus, 0, 0, follow_symlinks=False)
    place.elsewhere.chmod(0o777)


def _links_in_a_circle(forks: Forks, place: Place) -> None:
    other = place.bus.with_name("other")
    other.symlink_to("circle")
    place.bus.with_name("circle").symlink_to("other")
    place.bus = place.bus.with_name("circle")


def _folder_is_a_file(forks: Forks, place: Place) -> None:
    place.bus = place.bus.with_name("file")
    place.bus.write_text("a report of mine")


def _log_folder_for_all(forks: Forks, place: Place) -> None:
    place.log.chmod(0o777)


def _log_folder_of_another(forks: Forks, place: Place) -> None:
    place.others_own(place.log)


def _log_folder_is_a_link_of_another(forks: Forks, place: Place) -> None:
    place.put_aside(place.log)


def _log_folder_is_a_file(forks: Forks, place: Place) -> None:
    place.log.rmdir()
    place.log.write_text("a report of mine")


def _socket_folder_for_all(forks: Forks, place: Place) -> None:
    place.socket = place.elsewhere / "bus.sock"
    place.elsewhere.chmod(0o777)


def _socket_folder_of_another(forks: Forks, place: Place) -> None:
    place.socket = place.elsewhere / "bus.sock"
    place.others_own(place.elsewhere)


def _socket_folder_is_a_file(forks: Forks, place: Place) -> None:
    place.socket = place.victim() / "bus.sock"


def _file_of_the_log_of_another(forks: Forks, place: Place) -> None:
    place.had_a_broker(forks)
    place.others_own(place.log / "LOG")


def _segment_of_another(forks: Forks, place: Place) -> None:
    place.had_a_broker(forks)
    place.others_own(next(place.log.glob("seg-*.log")))


def _segment_with_another_name(forks: Forks, place: Place) -> None:
    place.had_a_broker(forks)
    os.link(next(place.log.glob("seg-*.log")), place.elsewhere / "copy")


def _lock_of_another(forks: Forks, place: Place) -> None:
    (place.log / "lock").write_text("")
    place.others_own(place.log / "lock")


def _lock_with_another_name(forks: Forks, place: Place) -> None:
    os.link(place.victim(), place.log / "lock")


def _lock_of_the_socket_of_another(forks: Forks, place: Place) -> None:
    lock = place.bus / "bus.sock.lock"
    lock.write_text("")
    place.others_own(lock)


def _lock_of_the_socket_with_another_name(forks: Forks, place: Place) -> None:
    os.link(place.victim(), place.bus / "bus.sock.lock")


def _config_for_all(forks: Forks, place: Place) -> None:
    place.config.chmod(0o666)


def _config_for_a_group(forks: Forks, place: Place) -> None:
    os.chown(place.config, 0, 1234)
    place.config.chmod(0o664)


def _config_of_another(forks: Forks, place: Place) -> None:
    place.others_own(place.config)


def _config_in_a_folder_for_all(forks: Forks, place: Place) -> None:
    place.config.parent.chmod(0o777)


def _config_is_a_link_into_a_folder_for_all(forks: Forks, place: Place) -> None:
    place.config.rename(place.elsewhere / "broker.yaml")
    place.config.symlink_to(place.elsewhere / "broker.yaml")
    place.elsewhere.chmod(0o777)


def _address_is_a_folder(forks: Forks, place: Place) -> None:
    (place.bus / "bus.tcp").mkdir()
    place.tcp = True


def _groups_of_root_kept(forks: Forks, place: Place) -> None:
    _give_all(place)
    place.process = Process(OTHERS, OTHERS, (0,))


def _root_as_saved_user(forks: Forks, place: Place) -> None:
    _give_all(place)
    place.process = Process((NOBODY, NOBODY, 0), OTHERS, ())


def _root_as_real_group(forks: Forks, place: Place) -> None:
    _give_all(place)
    place.process = Process(OTHERS, (0, NOBODY, NOBODY), ())


def _give_all(place: Place) -> None:
    for path in (place.bus, place.log, place.config):
        os.chown(path, NOBODY, NOBODY)


REFUSED: tuple[Case, ...] = (
    _folder_for_all, _folder_for_a_group, _folder_of_another, _folder_in_one_for_all, _folder_in_one_of_another,
    _folder_planted_in_a_sticky_one, _link_planted_in_a_sticky_one, _link_into_a_folder_for_all, _links_in_a_circle,
    _folder_is_a_file, _log_folder_for_all, _log_folder_of_another, _log_folder_is_a_link_of_another, _log_folder_is_a_file,
    _socket_folder_for_all, _socket_folder_of_another, _socket_folder_is_a_file, _file_of_the_log_of_another, _segment_of_another,
    _segment_with_another_name, _lock_of_another, _lock_with_another_name, _lock_of_the_socket_of_another,
    _lock_of_the_socket_with_another_name, _config_for_all, _config_for_a_group, _config_of_another, _config_in_a_folder_for_all,
    _config_is_a_link_into_a_folder_for_all, _address_is_a_folder, _groups_of_root_kept, _root_as_saved_user, _root_as_real_group,
)  # fmt: skip
