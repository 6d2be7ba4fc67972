"""A small published copy, made as a run makes it, of a warehouse made by hand."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from assets.defs.regimes import write_table
from assets.defs.snapshot import copy_marts
from assets.regimes import posture, signals
from pipelines.meta_tables import create_meta_tables
from pipelines.settings import Settings

MARTS = ("daily_assets", "regime_labels", "regime_posture", "regime_signals", "coverage_daily", "dim_venues")
WAREHOUSE = f"""
{create_meta_tables()};
insert into meta.scope values ('synthetic-7', 'synthetic', 'synthetic', '2025-10-08', '2025-10-11', '2025-10-11', ['BTC'],
    ['binance'], false, ['binance_usdm:binance']);
create schema marts;
create table marts.daily_assets as
    select day, asset, volatility as realised_vol_7d, 100.0::double as close, 101.0::double as high, 99.0::double as low,
        0.0::double as return_1d, -0.01::double as low_vs_prev_close, 1e9::double as volume_usd, 1e8 as oi_usd,
        1e-4::double as funding_8h, 4 as venues_total, 4 as price_venues, 4 as funding_venues, 4 as oi_venues, 1 as liq_venues,
        'synthetic' as origin
    from (values (date '2025-10-08', 'BTC', 0.5::double), ('2025-10-09', 'BTC', 0.5), ('2025-10-10', 'BTC', 1.0),
        ('2025-10-09', 'ETH', null)) as t(day, asset, volatility);
comment on table marts.daily_assets is 'A row per day and asset.';
comment on column marts.daily_assets.oi_usd is 'Open interest, US dollars. [USD]';
create table marts.regime_labels as
    select *, day + interval 1 day as known_at
    from (values (date '2025-10-08', 'BTC', 'quiet', 'calm'), ('2025-10-09', 'BTC', 'quiet', 'calm'),
        ('2025-10-10', 'BTC', 'cascade', 'a deep low'), ('2025-10-08', 'ETH', 'quiet', 'calm'),
        ('2025-10-09', 'ETH', 'neutral', 'no rule')) as t(day, asset, label, reasons);
create table marts.coverage_daily as from (values ('candles', 'binance_usdm', 24, 24), ('candles', 'binance_usdm', 12, 24),
    ('liquidations', 'binance_usdm', 0, 0)) as t(dataset, source, seen, expected);
create table marts.dim_venues as select 'binance' as venue;
"""


@pytest.fixture
def home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a warehouse and its published copy, copied from one that is made once."""
    made = tmp_path_factory.getbasetemp() / "published"
    if not made.exists():
        settings = Settings(home=made)
        settings.database.parent.mkdir(parents=True)
        with duckdb.connect(str(settings.database)) as db:
            db.execute(WAREHOUSE)
        publish(made)
    return Path(shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True))


def publish(home: Path, sql: str = "") -> Path:
    """Change the warehouse, and publish it again."""
    settings = Settings(home=home)
    with duckdb.connect(str(settings.database)) as db:
        db.execute(sql)
        table = posture.build(db.sql("from marts.daily_assets").df())
        write_table(db, "regime_posture", table.assign(known_at=table["day"] + timedelta(days=1, minutes=5)))
        write_table(db, "regime_signals", signals.read(db))
    return copy_marts(settings.database, settings.published, dict.fromkeys(MARTS), "a run")
