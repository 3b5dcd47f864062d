"""docs/scale.md: what the benchmark writes stands between its marks, and takes nothing else away."""

from __future__ import annotations

from bench.scale_model import LinkPrices
from bench.scale_page import BEGIN, END, SCALE_PAGE, carries_table, most_table, says, sites_table, with_says
from tests.bench.test_scale_model import TRUE

PAGE = """## The link

| 10 000 idle sessions at one link: memory of the link, each | 35 KiB |  |  | 64 KiB | yes |

| 1,000 simulated minions | 9,000/s | none | 61 µs | 40 KiB |

## Jobs

| `test.ping` to | p50 | p99 | least to most | runs |
|---|---|---|---|---|
| 100 simulated minions | 31.0 ms | 50.0 ms | 30 to 60 ms | 30 |

## Streams over HTTP

| stream | clients | all answered within | more |
|---|---|---|---|
| `/v1/events` | 1 000 | 2.1 s | x |
"""


def test_what_is_generated_stands_between_the_marks() -> None:
    page = SCALE_PAGE.read_text()
    assert page.count(BEGIN) == page.count(END) == 1
    changed = with_says(page, "new")
    assert f"{BEGIN}\n\nnew\n\n{END}" in changed
    assert with_says(changed, page.partition(BEGIN)[2].partition(END)[0]) == with_says(
        page, page.partition(BEGIN)[2].partition(END)[0]
    )
    assert (changed.partition(BEGIN)[0], changed.partition(END)[2]) == (
        page.partition(BEGIN)[0],
        page.partition(END)[2],
    )


def test_figures_of_one_master_are_those_of_the_other_benchmarks() -> None:
    assert carries_table(PAGE).splitlines()[4:] == [
        "| The link | 10 000 idle sessions at one link: memory of the link, each | 35 KiB |",
        "| The link | 1,000 simulated minions | 9,000/s |",
        "| Jobs | 100 simulated minions | 31.0 ms |",
        "| Streams over HTTP | `/v1/events`, 1 000 | 2.1 s |",
    ]
    assert carries_table("") == ""


def test_sites_get_the_fewest_streams_that_are_enough() -> None:
    link = LinkPrices(5e-6, 6e-5)
    rows = [line.split(" | ") for line in sites_table(TRUE, link).splitlines() if line.startswith("| 100 000")]
    streams = [cells[4] for cells in rows]
    assert "1" in streams
    assert {"2", "5", "10", "20", "none is enough"} & set(streams)
    assert "/s" in most_table(TRUE)
    assert "1 000" in says(TRUE, link)
