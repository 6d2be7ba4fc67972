"""What sampled streams miss: the rule is the emulator's, the shares of small markets are worked by hand."""

import numpy as np
import pandas as pd
import pytest

from infra.bench.streams import heard_hours, kept, missed_by_rate, orders, scores
from infra.emulator.store import Listing
from infra.emulator.streams import Forced, largest_a_symbol


def test_one_order_a_second_is_shown_as_the_emulator_shows_it() -> None:
    rng = np.random.default_rng(3)
    times, usd = np.sort(rng.integers(0, 60_000, 200)), rng.pareto(1.5, 200) + 1
    listing = Listing("binance", "BTC", "BTC", 1, 0, None, ())
    shown = kept(times, usd)
    for second in range(60):
        inside = np.flatnonzero(times // 1000 == second)
        events = [Forced("binance", listing, int(times[n]), True, 1.0, float(usd[n])) for n in inside]
        assert [float(usd[n]) for n in inside if shown[n]] == [event.size for event in largest_a_symbol(events)]


def test_the_largest_or_the_latest_by_hand() -> None:
    times, usd = np.array([0, 999, 1000, 2500, 2501]), np.array([5.0, 1.0, 3.0, 1.0, 2.0])
    assert kept(times, usd).tolist() == [True, False, True, False, True]
    assert kept(times, usd, "latest").tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("bias", [0.5, 0.8])
def test_an_hour_is_cut_into_orders_that_add_up(bias: float) -> None:
    times, sizes = orders(1e7, 10_000, bias, np.random.default_rng(1))
    assert len(times) == 1000 and sizes.sum() == pytest.approx(1e7)
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] < 3_600_000


def test_more_is_missed_where_orders_come_in_bursts() -> None:
    hour = pd.DataFrame({"venue": "binance", "asset": "BTC", "hour": 0, "usd": [2e7] * 5})
    even, bursts = (1 - heard_hours(hour, bias, 1)["largest_usd"].sum() / 1e8 for bias in (0.5, 0.8))
    assert 0 < even < bursts < 1


def test_at_one_order_a_second_a_third_is_missed() -> None:
    assert missed_by_rate(1)[1] == "36.8%"  # 1 - (1 - 1/e)


def test_scores_by_hand() -> None:
    """Two cascades, one of two days; three days are named, two of them of the first cascade."""
    truth = pd.DataFrame({"day": [1, 2, 9], "asset": "BTC", "event": [0, 0, 1]})
    labels = pd.DataFrame({"day": [1, 2, 5, 9], "asset": "BTC", "label": ["cascade"] * 3 + ["stress"]})
    labels["cascade_evidence"] = ["liquidations", "open_interest", "liquidations", None]
    assert scores(labels, truth) == {"named": 3, "right": 2, "cascades": 2, "found": 1, "by_liquidations": 2}
