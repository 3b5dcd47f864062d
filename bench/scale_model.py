"""A model of what a master, and the servers of a cluster, cost: a sum of what is done, each times its price.

The prices are found from some measurements, and tried on others.  Nothing here measures anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Row = Mapping[str, float]
"""How much of each thing was done."""
SMALL = 1e-12
TICK_S = 0.01
"""The system counts processor time in these: of little time it says little."""


class Sample(NamedTuple):
    """One measurement: of each master on average, but `servers_s` of all NATS servers together.

    `own`, `others`: events of this master and of all others together; `batches`: the ones that its broker has taken, own and
    others'; `sent`: its own; `turns`: how often some of its own came together.  `listeners`: each is handed all of it.
    """

    seconds: float
    masters: int
    own: float
    others: float
    sent: float
    batches: float
    turns: float
    listeners: int
    broker_s: float
    bridge_s: float
    servers_s: float

    def broker(self) -> Row:
        return {
            "second": self.seconds,
            "own event": self.own,
            "other's event": self.others,
            "turn": self.turns * self.masters,
            "batch": self.batches,
            "batch to a listener": self.batches * self.listeners,
            "event to a listener": (self.own + self.others) * self.listeners,
        }

    def bridge(self) -> Row:
        return {
            "second": self.seconds,
            "own turn": self.turns,
            "other's turn": self.turns * (self.masters - 1),
            "own batch": self.sent,
            "own event": self.own,
            "other's batch": self.batches - self.sent,
            "other's event": self.others,
        }

    def servers(self) -> Row:
        messages = self.sent * self.masters
        return {
            "second": self.seconds,
            "turn": self.turns * self.masters,
            "batch": messages,
            "batch to a master": messages * self.masters,
            "event": self.own * self.masters,
        }


PARTS = ("broker", "bridge", "servers")
"""What is priced: methods of Sample, each beside a field of its seconds."""
Prices = Mapping[str, Mapping[str, float]]
"""Of each part, seconds of processor time for each thing."""


def spent(sample: Sample, part: str) -> float:
    found: float = getattr(sample, f"{part}_s")
    return found


def done(sample: Sample, part: str) -> Row:
    found: Row = getattr(sample, part)()
    return found


def prices_of(samples: Sequence[Sample]) -> dict[str, dict[str, float]]:
    return {
        part: fit([done(each, part) for each in samples], [spent(each, part) for each in samples]) for part in PARTS
    }


def predicted(prices: Prices, sample: Sample, part: str) -> float:
    return cost(prices[part], done(sample, part))


def cost(prices: Mapping[str, float], row: Row) -> float:
    return sum(price * row[name] for name, price in prices.items())


def fit(rows: Sequence[Row], values: Sequence[float]) -> dict[str, float]:
    """Return the prices with the least squared relative errors.  None is below nothing: that of such a thing is zero."""
    names = list(rows[0])
    # A tenth too much is as wrong where little is done, but for what the clock cannot tell.
    weights = [1 / max(value, 20 * TICK_S) for value in values]
    wanted = [value * weight for value, weight in zip(values, weights, strict=True)]
    while True:
        lines = [[row[name] * weight for name in names] for row, weight in zip(rows, weights, strict=True)]
        found = dict(zip(names, _least_squares(lines, wanted), strict=True))
        worst = min(found, key=found.__getitem__)
        if found[worst] >= 0 or len(names) == 1:
            return {name: max(found.get(name, 0.0), 0.0) for name in rows[0]}
        names.remove(worst)


def _least_squares(lines: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """Return x with `lines` times x as near to what is wanted as can be: the normal equations, each unknown in its own unit."""
    count = len(lines[0])
    units = [max(max(abs(line[at]) for line in lines), SMALL) for at in range(count)]
    scaled = [[value / unit for value, unit in zip(line, units, strict=True)] for line in lines]
    matrix = [[sum(line[row] * line[column] for line in scaled) for column in range(count)] for row in range(count)]
    for at in range(count):
        matrix[at][at] += SMALL  # Two things that were always done together share the price.
    right = [sum(line[row] * value for line, value in zip(scaled, wanted, strict=True)) for row in range(count)]
    return [value / unit for value, unit in zip(_solve(matrix, right), units, strict=True)]


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss, with the largest pivot."""
    count = len(right)
    for at in range(count):
        pivot = max(range(at, count), key=lambda row: abs(matrix[row][at]))
        matrix[at], matrix[pivot] = matrix[pivot], matrix[at]
        right[at], right[pivot] = right[pivot], right[at]
        for row in range(at + 1, count):
            factor = matrix[row][at] / matrix[at][at]
            right[row] -= factor * right[at]
            matrix[row] = [one - factor * other for one, other in zip(matrix[row], matrix[at], strict=True)]
    found = [0.0] * count
    for at in reversed(range(count)):
        known = sum(matrix[at][column] * found[column] for column in range(at + 1, count))
        found[at] = (right[at] - known) / matrix[at][at]
    return found


# -- What it says of a site --------------------------------------------------------------------------------------------


TURN_S = 0.002
"""What comes to a master within so long a time is taken in one turn: about what it takes to write and sync."""


class Site(NamedTuple):
    """A site as it may be: `rate`: events a second of each minion, each a batch of its own.  `listeners`: at each master, to all
    that happens.  `streams`: into how many its masters are divided, each of which knows its own stream alone."""

    minions: int
    rate: float
    masters: int
    listeners: int
    streams: int = 1


class Load(NamedTuple):
    """Parts of one core: of each master, and `servers` of all NATS servers of one stream."""

    link: float
    broker: float
    bridge: float
    servers: float

    @property
    def busiest(self) -> float:
        """Of the processes of a master, which have a core each at most."""
        return max(self.link, self.broker, self.bridge)


class LinkPrices(NamedTuple):
    """`session`: a part of a core for an idle minion; `event_s`: processor time for each event that it brings."""

    session: float
    event_s: float


def load_of(site: Site, prices: Prices, link: LinkPrices) -> Load:
    """Return what a second of this site costs, which the prices say; events go round as single batches."""
    together = site.masters / site.streams
    own = site.minions * site.rate / site.masters
    others, carried, turns = own * (together - 1), own * together, own / (1 + own * TURN_S)
    second = Sample(1.0, 1, own, others, own, carried, turns, site.listeners, 0.0, 0.0, 0.0)
    broker = {**second.broker(), "turn": turns * together}
    bridge = {**second.bridge(), "other's turn": turns * (together - 1)}
    servers = {
        "second": 1.0, "turn": turns * together, "batch": carried, "batch to a master": carried * together, "event": carried,
    }  # fmt: skip
    return Load(
        site.minions / site.masters * link.session + own * link.event_s,
        cost(prices["broker"], broker),
        cost(prices["bridge"], bridge),
        cost(prices["servers"], servers),
    )


def most_events(prices: Prices, masters: int, listeners: int, core: float) -> float:
    """Return how many events a second one stream carries, over all its masters, until a broker or bridge needs so much of a core."""
    least, most = 0.0, 1e6
    link = LinkPrices(0.0, 0.0)
    for _ in range(50):
        middle = (least + most) / 2
        if load_of(Site(1, middle, masters, listeners), prices, link).busiest > core:
            most = middle
        else:
            least = middle
    return least
