"""A master and its minion, as one who knows Salt has them: a folder with their files, and Salt's programs in the path."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from sylvite.client.sync_client import Client
from tests.compat.places import ROOT, WITHIN_S, run_program, shim_environment
from tests.daemons.nodes import Site, free_port

MINION = "minion-0042"
"""As in the recordings."""
ACCEPT = """
import sys
from sylvite.cli.main import main
sys.exit(main(["--socket", {bus!r}, "keys", "accept", "-y", "--dir", {data!r}, "minion-0042"]))
"""
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=salt-api.example.com"
    " -addext subjectAltName=DNS:salt-api.example.com -keyout {0}/api.key -out {0}/api.crt"
)


class Nodes(NamedTuple):
    """`environment`: of programs that shall find them.  `api_port`: of the HTTP interface, which speaks TLS."""

    site: Site
    environment: dict[str, str]
    api_port: int

    def bus(self, node: str) -> Path:
        """Return where clients of ours find the bus of the master or the minion."""
        path = self.site.bus if node == "master" else self.site.minion_bus
        return path if path.exists() else path.with_name("bus.tcp")


@contextlib.contextmanager
def running_nodes(folder: Path, ipc_mode: str = "ipc") -> Generator[Nodes]:
    """Run a master, with its HTTP interface, and a minion that is let in."""
    site, api_port = Site(folder, MINION), free_port()
    files = folder / "salt"
    files.mkdir()
    site.master_file, site.minion_file = files / "master", files / "minion"
    subprocess.run(shlex.split(CERTIFICATE.format(folder)), check=True, capture_output=True, timeout=WITHIN_S)
    ports = {name: str(free_port()) for name in ("tcp_master_pub_port", "tcp_master_pull_port")}
    roots = f"{{base: [{folder / 'srv' / 'salt'}]}}"
    site.write(
        site.master_file, "m", interface="127.0.0.1", ret_port=str(site.port), id="master", ipc_mode=ipc_mode, file_roots=roots,
        rest_cherrypy=f"{{host: 127.0.0.1, port: {api_port}, ssl_crt: {folder}/api.crt, ssl_key: {folder}/api.key}}", **ports,
    )  # fmt: skip
    ports = {name: str(free_port()) for name in ("tcp_pub_port", "tcp_pull_port")}
    site.configure_minion(acceptance_wait_time="1", ipc_mode=ipc_mode, file_roots=roots, **ports)
    # Whoever calls the interface by the name in Salt's documentation gets to ours.
    (folder / ".curlrc").write_text(f"connect-to = salt-api.example.com:8000:127.0.0.1:{api_port}\n")
    environment = {
        **shim_environment(), "SALT_CONFIG_DIR": str(files), "HOME": str(folder),
        "PATH": os.pathsep.join((str(write_programs(folder / "bin")), os.environ["PATH"])),
    }  # fmt: skip
    nodes = Nodes(site, environment, api_port)
    with site.master(), site.minion("--trust-first-master"):
        _let_in(nodes)
        yield nodes


def _let_in(nodes: Nodes) -> None:
    with Client.connect(nodes.bus("master")) as bus:
        bus.wait("salt/auth", where="data.act == 'pend'", since="oldest", timeout_s=WITHIN_S)
        run_program(ACCEPT.format(data=str(nodes.site.data), bus=str(nodes.bus("master"))))
        bus.wait(f"salt/minion/{MINION}/start", since="oldest", timeout_s=WITHIN_S)


def write_programs(folder: Path) -> Path:
    """Write the programs of the distribution in compat/ as an installation makes them; return their folder."""
    folder.mkdir()
    project = tomllib.loads((ROOT / "compat" / "pyproject.toml").read_text())["project"]
    for name, entry in project["scripts"].items():
        module, _, function = entry.partition(":")
        program = folder / name
        program.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        program.chmod(0o755)
    return folder
