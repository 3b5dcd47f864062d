"""The model of what masters cost: prices that were known come out again, and grow what it says as they must."""

from __future__ import annotations

import random

import pytest

from bench.scale_model import LinkPrices, Sample, Site, cost, done, fit, load_of, most_events, predicted, prices_of

TRUE = {
    "broker": {"second": 2e-3, "own event": 4e-6, "other's event": 6e-6, "turn": 3e-4, "batch": 1e-4, "batch to a listener": 2e-5,
               "event to a listener": 1e-6},
    "bridge": {"second": 5e-3, "own turn": 4e-4, "other's turn": 2e-4, "own batch": 2e-4, "own event": 3e-6, "other's batch": 1e-4, "other's event": 2e-6},
    "servers": {"second": 2e-2, "turn": 1e-3, "batch": 9e-4, "batch to a master": 5e-5, "event": 1e-6},
}  # fmt: skip


def sample(rng: random.Random, masters: int, *, noise: float = 0.0) -> Sample:
    own, each = rng.uniform(100, 10_000), rng.choice((1, 5, 50))
    sent = own / each
    made = Sample(
        rng.uniform(4, 9),
        masters,
        own,
        own * (masters - 1),
        sent,
        sent * masters,
        sent / rng.choice((1, 10)),
        rng.choice((1, 10, 100)),
        0,
        0,
        0,
    )
    spent = {
        f"{part}_s": cost(prices, done(made, part)) * rng.uniform(1 - noise, 1 + noise) for part, prices in TRUE.items()
    }
    return made._replace(**spent)


def test_prices_come_out_again() -> None:
    rng = random.Random(1)
    found = prices_of([sample(rng, masters) for masters in (1, 2, 3) for _ in range(8)])
    for part, prices in TRUE.items():
        assert found[part] == pytest.approx(prices, rel=1e-3)


def test_noise_in_what_was_measured_stays_about_as_large_in_what_is_predicted() -> None:
    rng = random.Random(2)
    found = prices_of([sample(rng, masters, noise=0.05) for masters in (1, 2, 3) for _ in range(12)])
    for masters in (1, 2, 3):
        fresh = sample(rng, masters)
        for part in TRUE:
            assert predicted(found, fresh, part) == pytest.approx(getattr(fresh, f"{part}_s"), rel=0.15)


def test_no_price_is_below_nothing() -> None:
    rows = [{"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 3.0}]
    assert fit(rows, [3.0, 2.0, 1.0])["b"] == 0.0


def test_more_masters_share_minions_and_hear_all_of_each_other() -> None:
    link = LinkPrices(1e-5, 5e-5)
    few = load_of(Site(10_000, 0.01, 2, 10), TRUE, link)
    many = load_of(Site(10_000, 0.01, 4, 10), TRUE, link)
    assert many.link == pytest.approx(few.link / 2)
    assert many.broker > few.broker / 2
    apart = load_of(Site(10_000, 0.01, 4, 10, streams=2), TRUE, link)
    assert apart.broker < many.broker
    alone = load_of(Site(2_500, 0.01, 1, 10), TRUE, link)
    assert load_of(Site(10_000, 0.01, 4, 10, streams=4), TRUE, link) == pytest.approx(alone)


def test_the_most_events_of_a_stream_are_as_many_as_its_busiest_part_takes() -> None:
    most = most_events(TRUE, 3, 10, 0.5)
    assert load_of(Site(1, most, 3, 10), TRUE, LinkPrices(0, 0)).busiest == pytest.approx(0.5)
    assert most_events(TRUE, 3, 100, 0.5) < most
