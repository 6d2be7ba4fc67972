"""A replay covers what landing has and was asked for, not what a run would cover by default."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.defs.raw import load_tables
from assets.defs.resources import SettingsResource, run_config
from assets.runtime.job import from_landing
from assets.runtime.session import Session
from pipelines.fetch import SETTLED_LATE_MS
from pipelines.landing import Landing, Scope
from pipelines.registry import source_rows
from pipelines.settings import Settings
from pipelines.windows import DAY, Window
from tests.pipelines.test_landing import entry


def test_a_replay_covers_what_landing_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources that were asked for, also without a page; sources of older landings by their pages."""
    given = {"home": tmp_path, "mode": "replay", "landing": str(tmp_path / "landing")}
    settings = Settings(**given)
    for run, source, scope in (
        ("r1", "gate", Scope(["gate", "kraken_futures"], ["BTC"])),
        ("r2", "okx", Scope(["okx"], ["ETH"], vendor_venues=["bybit"])),
        ("r3", "bitmex", None),
    ):
        landing = Landing(settings.landing_root, run)
        if scope:
            landing.note_scope(scope)
        window = (5 * DAY, 6 * DAY + SETTLED_LATE_MS)
        landing.put(entry(run.encode(), run, source=source, market="live", window=window, observed_at=9 * DAY), run.encode())
        landing.flush()
    assert from_landing(settings).window == Window(5 * DAY, 6 * DAY), "no day that was not asked for"
    replayed = from_landing(settings).settings
    assert replayed.sources == [n for n in source_rows() if n in ("gate", "kraken_futures", "okx", "bitmex")]
    assert (replayed.assets, replayed.vendor_venues, replayed.market) == (["BTC", "ETH"], ["bybit"], "live")
    resource = SettingsResource(**run_config(replayed)["resources"]["settings"]["config"])
    assert (resource.resolve().sources, resource.resolve().assets) == (replayed.sources, replayed.assets)
    chosen = from_landing(Settings(**given, venues="gate")).settings
    assert chosen.sources == ["gate"]
    monkeypatch.setenv("PERPLAKE_ASSETS", "DOGE")
    assert from_landing(Settings(**given)).settings.assets == ["DOGE"]


def test_a_page_in_landing_that_can_not_be_read_is_named_where_no_fetch_tells_of_it(tmp_path: Path) -> None:
    day = datetime.now(UTC).date() - timedelta(days=3)
    window = Window.of_days(day, day)
    landing = Landing(str(tmp_path / "landing"), "r1")
    about = {"source": "kraken_futures", "market": "live", "observed_at": window.end + DAY}
    landing.put(entry(b"<html>", window=(window.start, window.end), **about), b"<html>")
    landing.flush()
    settings = from_landing(Settings(home=tmp_path, mode="replay", landing=landing.root)).settings
    session = Session()
    resources = {"settings": SettingsResource(**run_config(settings)["resources"]["settings"]["config"]), "session": session}
    chosen = [dg.AssetKey(["raw", "kraken_futures__candles"])]
    assert dg.materialize([load_tables], selection=chosen, partition_key=str(day), resources=resources).success
    [message] = session.messages
    assert re.match(r"kraken_futures \S+: page \w{16} is in quarantine: ", message)
