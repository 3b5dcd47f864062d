"""NATS servers and masters with a network between each two of them, which a test can cut, stop and slow down.

The routes of a server lead to the others through proxies, and what it says of its own address leads nowhere: so no two of
them find each other by another way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path

from sylvite.cluster.dev import HOST, DevCluster, Server
from sylvite.cluster.nkey import Nkey
from tests.faults.link_proxy import WAYS, Network, network

NOWHERE = f"{HOST}:9"
DELAY_S = 0.1


class PartedCluster(DevCluster):
    """Three servers; masters reach them by `urls_of`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._stack = ExitStack()
        self._links: dict[tuple[str, str, int], Network] = {}

    def stop(self) -> None:
        super().stop()
        self._links.clear()
        self._stack.close()

    def urls_of(self, node: str) -> tuple[str, ...]:
        """Return the addresses of the servers for a master."""
        return tuple(f"nats://{HOST}:{self._link(node, each.name, each.port).port}" for each in self.servers)

    def part(self, *groups: Collection[str], stalled: bool = False) -> None:
        """Let nobody of one group reach one of another.  `stalled`: connections stay, and nothing comes through."""
        for (one, other, _), link in self._links.items():
            if any((one in group) != (other in group) for group in groups):
                if stalled:
                    link.stall(*WAYS)
                else:
                    link.cut()

    def delay(self) -> None:
        """Let all that is said take DELAY_S longer."""
        for link in self._links.values():
            link.delay_s = DELAY_S

    def heal(self) -> None:
        for link in self._links.values():
            link.heal()

    @property
    def happened(self) -> int:
        """Return how much was done to connections."""
        return sum(link.happened.total() for link in self._links.values())

    def _link(self, one: str, other: str, port: int) -> Network:
        if (one, other, port) not in self._links:
            self._links[one, other, port] = self._stack.enter_context(network(port))
        return self._links[one, other, port]

    def _settings(self, server: Server, keys: Mapping[str, Nkey]) -> str:
        text = super()._settings(server, keys)
        for other in self.servers:
            if other != server:
                link = self._link(server.name, other.name, other.route_port)
                text = text.replace(f"@{HOST}:{other.route_port}", f"@{HOST}:{link.port}")
        return text.replace("  no_advertise: true\n", f'  no_advertise: true\n  advertise: "{NOWHERE}"\n')
