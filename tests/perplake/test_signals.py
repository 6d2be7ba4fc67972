"""Signals: each change since a key or a day, in one order, with the posture's numbers."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

import perplake
from assets.cli import app
from perplake.signals import line, worst
from tests.perplake.conftest import MARTS, publish

ETH, CASCADE, FLAG = "ETH:2025-10-09:neutral", "BTC:2025-10-10:cascade", "BTC:2025-10-09:flag"
FORECASTS = """
create table marts.regime_forecasts as select *, 'BTC' as asset, 'crash10' as target, 'logistic' as method
from (values (date '2025-10-09', 'backtest', 0.31::double, true), ('2025-10-10', 'backtest', 0.2, false),
    ('2025-10-10', 'live', 0.9, true)) as t(day, run_type, probability, flag)
"""


def keys(home: Path, since: str | None = None) -> list[str]:
    return [signal.key for signal in perplake.open(home).signals(since)]


def test_each_change_is_a_signal_with_its_severity_and_posture(home: Path) -> None:
    eth, cascade = perplake.open(home).signals()
    assert (eth.key, eth.day, eth.before, eth.label) == (ETH, date(2025, 10, 9), "quiet", "neutral")
    assert (eth.severity, eth.max_leverage) == ("notice", None), "its volatility is unknown"
    assert (cascade.key, cascade.severity, cascade.reasons) == (CASCADE, "critical", "a deep low")
    # Half of the margin over 2.33 deviations of a week of 100 % volatility: 0.5 / (2.33 * (7 / 365) ** 0.5) = 1.5496; that move
    # is 32.27 % of a holding, of which 10 % may be lost.
    assert cascade.max_leverage == pytest.approx(1.5496, abs=1e-4) and cascade.hedge_ratio == pytest.approx(0.6901, abs=1e-4)
    assert cascade.title.startswith("SYNTHETIC DATA. BTC: regime changed from quiet to cascade")
    assert json.loads(line(cascade)) == {**cascade.as_json(), "day": "2025-10-10"}
    assert worst([eth, cascade]) == "critical" and worst([]) is None


def test_flags_are_signals_of_their_day(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.perplake.conftest.MARTS", (*MARTS, "regime_forecasts"))
    publish(home, FORECASTS)
    assert keys(home) == [FLAG, ETH, CASCADE]
    [flag] = [signal for signal in perplake.open(home).signals() if signal.kind == "red_flag"]
    assert (flag.probability, flag.severity) == (0.31, "warning") and "31% for a low 10 %" in flag.reasons


def test_those_since_a_key_come_after_it_and_those_since_a_day_are_its_own_too(home: Path) -> None:
    assert keys(home) == [ETH, CASCADE]
    assert keys(home, ETH) == [CASCADE] and keys(home, CASCADE) == []
    assert keys(home, "2025-10-09") == [ETH, CASCADE] and keys(home, "2025-10-10") == [CASCADE]
    assert keys(home, "BTC:2025-10-09:stress") == [ETH, CASCADE], "a key that a later run has not any more"
    with pytest.raises(ValueError, match="neither a signal's key, such as"):
        keys(home, "yesterday")


@pytest.mark.parametrize(("since", "status", "found"), [(None, 5, [ETH, CASCADE]), (ETH, 5, [CASCADE]), (CASCADE, 0, [])])
def test_watch_prints_a_line_a_signal_and_ends_with_its_severity(
    since: str | None, status: int, found: list[str], home: Path
) -> None:
    options = ["--since", since] if since else []
    ended = CliRunner().invoke(app, ["watch", *options, "--json", "--home", str(home)])
    assert ended.exit_code == status
    assert [json.loads(each) for each in ended.output.splitlines()] == [
        signal.as_json() for signal in perplake.open(home).signals() if signal.key in found
    ]
    ended = CliRunner().invoke(app, ["watch", *options, "--format", "json", "--home", str(home)])
    assert ended.exit_code == status and [row["key"] for row in json.loads(ended.output)] == found


def test_watch_says_what_is_no_key(home: Path) -> None:
    ended = CliRunner().invoke(app, ["watch", "--since", "now", "--home", str(home)])
    assert ended.exit_code == 2 and ended.output.startswith("perps: 'now' is neither a signal's key")
