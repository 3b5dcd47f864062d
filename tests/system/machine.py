"""A machine to run services on: a systemd of its own as process 1, in namespaces of its own, on an overlay of this system.

Nothing that happens in it is seen outside, and nothing of it is left: its files are in memory, and its processes end with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import TracebackType

from tests.docs.blocks import PROJECT

WITHIN_S = 120.0
SYSTEMD = Path("/lib/systemd/systemd")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PRIVATE = ("/root/", "/home/")
"""What services do not see."""
NAMESPACES = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child")
TARGET = """\
[Unit]
Requires=systemd-journald.service
After=systemd-journald.service
"""
PROBE = """\
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t cgroup2 cgroup2 /mnt/root/mnt
mount -t proc proc /mnt/root/proc
"""
BUILD = """\
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$AT"
mkdir "$AT/upper" "$AT/work" "$AT/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$AT/upper,workdir=$AT/work" "$AT/root"
cd "$AT/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for name in null zero full random urandom tty; do touch "dev/$name"; mount --bind "/dev/$name" "dev/$name"; done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ip link set lo up
rm -rf etc/systemd/system etc/sylvite var/lib/sylvite var/cache/sylvite opt/sylvite
mkdir -p etc/systemd/system etc/sysusers.d etc/tmpfiles.d etc/sylvite opt/sylvite/src opt/sylvite/site
printf %s "$TARGET" > etc/systemd/system/machine.target
mount --bind "$SOURCE" opt/sylvite/src
mount --bind "$SITE" opt/sylvite/site
chroot . "$BASE" -m venv --without-pip /opt/sylvite/venv
printf '/opt/sylvite/src\\n/opt/sylvite/site\\n' > "opt/sylvite/venv/lib/$PYTHON/site-packages/sylvite.pth"
printf '#!/opt/sylvite/venv/bin/python\\nfrom sylvite.cli.main import main\\nraise SystemExit(main())\\n' > usr/bin/sylvite
chmod 755 usr/bin/sylvite
mkdir old
pivot_root . old
umount -l old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin "$SYSTEMD" --unit=machine.target --log-target=journal --show-status=no
"""


def why_not() -> str | None:
    """Return why there can be no such machine here; None where there can."""
    if os.geteuid() != 0:
        return "only root may make namespaces"
    missing = [name for name in ("unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    if missing or not SYSTEMD.exists():
        return f"{', '.join(missing) or 'systemd'} is not installed"
    if (groups := _cgroups()) is None or not os.access(groups, os.W_OK):
        return "there are no groups of version 2 that one may make (cgroup2)"
    if _base() is None:
        return f"there is no {PYTHON} outside of {' and '.join(PRIVATE)}, which services do not see"
    done = subprocess.run(
        ["unshare", *NAMESPACES, "sh", "-c", PROBE], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    return f"namespaces are not allowed: {done.stderr.strip()}" if done.returncode else None


def _base() -> str | None:
    """Return a Python of this version that services may run."""
    own = os.path.realpath(sys.executable)
    candidates = (own, f"/usr/bin/{PYTHON}", f"/usr/local/bin/{PYTHON}")
    return next((path for path in candidates if Path(path).exists() and not path.startswith(PRIVATE)), None)


class Machine:
    """`folder`: an empty one, over which its root is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        groups = _cgroups()
        assert groups is not None
        self._group = groups / f"sylvite-test-{os.getpid()}"
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Machine:
        base = _base()
        assert base is not None
        told = {
            "AT": str(self._folder), "TARGET": TARGET, "SOURCE": str(PROJECT / "src"), "SITE": sysconfig.get_path("purelib"),
            "BASE": base, "PYTHON": PYTHON, "SYSTEMD": str(SYSTEMD),
        }  # fmt: skip
        # A group of its own, which is the root of all groups in there.
        self._group.mkdir()
        script = f'echo $$ > {shlex.quote(str(self._group / "cgroup.procs"))} && exec unshare {" ".join(NAMESPACES)} sh -c "$BUILD"'
        self._unshare = subprocess.Popen(
            ["sh", "-c", script], env={**os.environ, **told, "BUILD": BUILD}, stdin=subprocess.DEVNULL
        )
        try:
            self._wait_until_it_is_there()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _wait_until_it_is_there(self) -> None:
        assert self._unshare is not None
        deadline = time.monotonic() + WITHIN_S
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        while not (self._init and self.run("systemctl", "is-active", "machine.target", check=False) == "active"):
            assert self._unshare.poll() is None, "the machine has ended"
            assert time.monotonic() < deadline, "systemd does not answer"
            time.sleep(0.1)
            found = children.read_text().split()
            self._init = int(found[0]) if found and _name_of(found[0]) == "systemd" else 0

    def _end(self) -> None:
        assert self._unshare is not None
        self._unshare.kill()
        self._unshare.wait(WITHIN_S)
        deadline = time.monotonic() + WITHIN_S
        while (self._group / "cgroup.events").read_text().startswith("populated 1"):
            assert time.monotonic() < deadline, "processes of the machine are left"
            time.sleep(0.05)
        for group in sorted(self._group.rglob("*/"), key=lambda path: len(path.parts), reverse=True):
            group.rmdir()
        self._group.rmdir()

    # -- Inside ------------------------------------------------------------------------------------------------------

    def run(self, *command: str, user: str | None = None, check: bool = True, stdin: str = "") -> str:
        """Run a command in it, and return what it prints."""
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user is not None else []
        inside = ["nsenter", "--target", str(self._init), "--all", "--root"]
        done = subprocess.run(
            [*inside, "env", "--chdir=/", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *as_user, *command],
            capture_output=True, text=True, timeout=WITHIN_S, check=False, input=stdin,
        )  # fmt: skip
        if check and done.returncode:
            journal = self.run("journalctl", "--no-pager", "--lines=40", "--unit=sylvite-*", check=False)
            raise AssertionError(f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}\n{journal}")
        return done.stdout.strip()

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat > "$0"', path, stdin=text)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def wait_for(self, unit: str, name: str, *, not_: str) -> str:
        """Wait until a property of a unit is another one; return it."""
        deadline = time.monotonic() + WITHIN_S
        while (value := self.show(unit, name)) == not_:
            assert time.monotonic() < deadline, f"{name} of {unit} stays {value}"
            time.sleep(0.2)
        return value


def _cgroups() -> Path | None:
    """Return where the groups of version 2 are."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return next((Path(place) for _, place, kind, *_ in mounts if kind == "cgroup2"), None)


def _name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
