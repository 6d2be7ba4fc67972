"""The source for any venue of ccxt: compared with our own sources on the emulator; its requests, its errors, its settings.

Live, a venue that has a source of its own is refused; on the emulator both run side by side.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from infra.emulator.testing import Served
from pipelines.clock import Clock
from pipelines.fetch import FetchResult, fetch
from pipelines.load import load
from pipelines.run import EmulatorInfo, Run
from pipelines.settings import Settings
from pipelines.source import Instrument, Request, Source
from pipelines.sources import expand_multi_venue
from pipelines.windows import HOUR, Window
from tests.sources.conftest import EverySource
from tests.sources.kit import DAY, NOW, WINDOW, get_source, next_request
from tests.whole import DAYS, database, perps, published

ccxt = pytest.importorskip("ccxt.async_support")
#: By ccxt's name: our source, and the endpoints of open interest that ccxt has for the venue.
PAIRS = {
    "binanceusdm": ("binance_usdm", {"open_interest", "open_interest_now"}),
    "bybit": ("bybit_linear", {"open_interest", "open_interest_now"}),
    "krakenfutures": ("kraken_futures", set()),
    "okx": ("okx", {"open_interest", "open_interest_now"}),
}
ALL = ",".join(PAIRS)


def ccxt_source(name: str, origin: str = "synthetic") -> Source:
    [source], _ = expand_multi_venue("ccxt", (name,), origin)
    return source


def fetch_by_ccxt(emulator: Served, home: Path, names: str, over: Window = WINDOW, **settings: Any) -> tuple[Run, FetchResult]:
    """BTC and PEPE of these venues of ccxt, fetched into landing."""
    chosen = {"home": home, "assets": ["BTC", "PEPE"], "timeout_seconds": 2, "tries": 3, "limits_scale": 1e6, "venues": []}
    chosen |= {"ccxt_venues": names, **settings}
    run = Run.begin(Settings(**chosen), over, Clock(NOW), EmulatorInfo(emulator.url, "synthetic; seed=7"))
    [result] = asyncio.run(fetch(run, run.chosen_sources()[0]))
    return run, result


def raw(run: Run, result: FetchResult, sql: str) -> list[tuple[Any, ...]]:
    """The pages loaded, and a query of the warehouse."""
    assert not result.failures and not result.quarantined, [*map(str, result.failures), *result.quarantined]
    load(run, get_source("ccxt"), result.entries)
    with duckdb.connect(str(run.settings.database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


# --- compared with our own sources ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(every_source: EverySource) -> tuple[Path, str]:
    """A run of the four venues both ways, from HTTP to the published copy: its home and its output."""
    return every_source.home, every_source.output


#: Canonical rows after staging, sizes in one unit: the columns that are compared.
CANONICAL = {
    "funding_rates": "epoch_ms(settled_at), stamp, raw_rate, rate_interval",
    "candles": "epoch_ms(opened_at), open, high, low, close, "
    "case f.raw_volume_unit when 'contracts' then raw_volume * i.contract_size else raw_volume end",
    "open_interest": "epoch_ms(f.observed_at), is_snapshot, stamp, "
    "case f.raw_unit when 'contracts' then one_sided * i.contract_size else one_sided end",
    "instruments": "0, i.base_asset, i.multiplier, i.quote_asset, i.settle_asset, i.contract_type, i.contract_size, i.status",
}


def canonical(home: Path, dataset: str, name: str, native: str) -> list[tuple[Any, ...]]:
    sql = f"""
        select f.instrument_id, {CANONICAL[dataset]}
        from intermediate.int_{dataset} as f
        inner join (select * from intermediate.int_instruments where source = '{name}') as i using (instrument_id)
        where f.source = '{name}' and instrument_id in (
            select instrument_id from intermediate.int_instruments where source = '{native}' and base_asset in ('BTC', 'PEPE')
            and quote_asset in ('USDT', 'USD')
        ) order by all"""
    with duckdb.connect(str(database(home)), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("dataset", CANONICAL)
@pytest.mark.parametrize("exchange", PAIRS)
def test_ccxt_and_our_own_source_give_the_same_rows(exchange: str, dataset: str, whole: tuple[Path, str]) -> None:
    native, given = PAIRS[exchange]
    ours = canonical(whole[0], dataset, native, native)
    if dataset == "open_interest":
        kinds = {snapshot for *_, snapshot, _, _ in ours if ("open_interest_now" if snapshot else "open_interest") in given}
        ours = [row for row in ours if row[2] in kinds]
        assert kinds == ({False, True} if given else set())
    theirs = canonical(whole[0], dataset, "ccxt", native)
    assert len(theirs) == len(ours) and (ours or exchange == "krakenfutures")
    for mine, other in zip(ours, theirs, strict=True):
        assert [other[n] for n, value in enumerate(mine) if not isinstance(value, float)] == [
            value for value in mine if not isinstance(value, float)
        ]
        numbers = [(value, other[n]) for n, value in enumerate(mine) if isinstance(value, float)]
        np.testing.assert_allclose(*zip(*numbers, strict=True), rtol=1e-9) if numbers else None


def test_our_own_source_precedes_ccxt_for_an_instrument_of_both(whole: tuple[Path, str]) -> None:
    with duckdb.connect(str(published(whole[0])), read_only=True) as connection:
        for fact in ("fct_candles", "fct_funding_rates", "fct_open_interest", "dim_instruments"):
            names, sources = zip(*connection.execute(f"select instrument_id, source from marts.{fact}").fetchall(), strict=True)
            assert {"binance:BTCUSDT", "bybit:1000PEPEUSDT", "kraken:PF_XBTUSD", "okx:BTC-USDT-SWAP"} <= set(names)
            assert "ccxt" not in sources
        facts = connection.execute("select fact, value, verified from marts.dim_venue_facts where source = 'ccxt'").fetchall()
        assert ("sides_of_openInterestAmount", "1", False) in facts and ("unit_of_volume", "unknown", False) in facts


def test_an_endpoint_or_a_venue_that_is_left_out_is_reported_once(whole: tuple[Path, str]) -> None:
    output = " ".join(whole[1].split())
    assert output.count("ccxt krakenfutures has no open_interest:") == 1
    assert output.count("ccxt krakenfutures has no open_interest_now:") == 1
    assert output.count("ccxt phemex is left out: the emulator does not speak as phemex") == 1


@pytest.fixture(scope="module")
def replayed(whole: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], Path]:
    """OKX by ccxt alone, rebuilt from landing without a request: the settings, and the warehouse."""
    home = tmp_path_factory.mktemp("again")
    files = {"landing": whole[0] / "synthetic-7" / "landing", "warehouse": home / "w.duckdb"}
    chosen = {"venues": "kraken", "ccxt_venues": "okx", "assets": "BTC,PEPE", "mode": "replay", **files}
    ended = perps(home, "http://127.0.0.1:9", "run", **chosen)
    assert ended.status == 0, ended.output
    return {**chosen, "home": home}, home / "w.duckdb"


@pytest.mark.slow
def test_tables_are_rebuilt_from_landing_alone(whole: tuple[Path, str], replayed: tuple[dict[str, object], Path]) -> None:
    raw = "select * exclude (_run) from raw.ccxt__candles where venue = 'okx' order by all"
    facts = """select instrument_id, base_asset, opened_at, close, volume_base, oi_base, rate_8h
        from marts.fct_candles join marts.fct_open_interest using (instrument_id, base_asset)
        left join marts.fct_funding_rates using (instrument_id, base_asset)
        where instrument_id like 'okx:%' and opened_at = observed_at and settled_at = opened_at order by all"""
    with duckdb.connect(str(database(whole[0])), read_only=True) as one, duckdb.connect(str(replayed[1])) as other:
        assert one.execute(raw).fetchall() == other.execute(raw).fetchall() != []
        ours, theirs = one.execute(facts).fetchall(), other.execute(facts).fetchall()
        assert other.execute("select distinct source from marts.fct_candles where venue = 'okx'").fetchall() == [("ccxt",)]
    assert [row[:3] for row in ours] == [row[:3] for row in theirs] and len(ours) >= 16
    np.testing.assert_allclose([row[3:] for row in theirs], [row[3:] for row in ours], rtol=1e-9)


@pytest.mark.slow
def test_a_number_is_traced_to_the_bytes_that_the_venue_sent(replayed: tuple[dict[str, object], Path]) -> None:
    chosen, _ = replayed
    command = ("explain", "fct_funding_rates", "okx:BTC-USDT-SWAP", f"{DAYS[1]}T08:00")
    explained = perps(
        Path(str(chosen["home"])), "http://127.0.0.1:9", *command, **{k: v for k, v in chosen.items() if k != "home"}
    )
    assert explained.status == 0, explained.output
    output = explained.output.replace("\n", "")
    assert "raw.ccxt__funding_rates" in output and "https://www.okx.com/api/v5/public/funding-rate-history?" in output


# --- requests ---------------------------------------------------------------------------------------------------------------


def test_two_days_make_exactly_these_requests() -> None:
    """Newest first, in runs of four days from the epoch on: the two days lie in two of these."""
    over = Window(1795046400000 - DAY, 1795046400000 + DAY)
    plans = {
        endpoint.name: [(r.path, dict(r.params)) for r in endpoint.plan(Instrument("BTCUSDT", "BTC"), over)]
        for endpoint in ccxt_source("bybit").endpoints
    }
    ask = {"symbol": "BTCUSDT", "since": 1794960000000, "until": 1795132799999}
    halves = [{**ask, "since": 1795046400000, "limit": 96}, {**ask, "until": 1795046399999, "limit": 96}]
    assert plans == {
        "instruments": [("/bybit/loadMarkets", {})],
        "open_interest_now": [("/bybit/fetchOpenInterest", {"symbol": "BTCUSDT"})],
        "funding_rates": [("/bybit/fetchFundingRateHistory", half) for half in halves],
        "open_interest": [("/bybit/fetchOpenInterestHistory", half) for half in halves],
        "candles": [("/bybit/fetchOHLCV", {**ask, "limit": 1000})],
    }


def test_every_request_of_ccxt_goes_through_our_client(emulator: Served, tmp_path: Path) -> None:
    emulator.clear_requests()
    run, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    assert not result.failures and len(emulator.requests()) >= len(result.entries)
    for entry in result.entries:
        page = json.loads(run.landing.body(entry))
        assert page["answers"] and all(json.loads(a["body"])["retCode"] == 0 for a in page["answers"]), "the bytes as sent"
        assert page["answers"][-1]["url"].startswith("https://api.bybit.com/v5/market/"), "the URL of a live request"
    with sqlite3.connect(run.settings.folder / "limits.sqlite") as db:
        spent = db.execute("select total(weight) from spent where name = 'bybit.ms'").fetchone()[0]
    assert spent >= len(emulator.requests()) * ccxt.bybit().rateLimit, "as ccxt counts: milliseconds of the venue's time"


def test_pages_follow_where_a_venue_sends_fewer_rows_at_once() -> None:
    start = NOW - DAY
    request = Request("/x/fetchOHLCV", {"symbol": "A", "since": start, "until": NOW - 1, "limit": 24})

    def bars(*hours: int) -> dict[str, Any]:
        return {"answers": [], "rows": [[start + h * HOUR, 1, 1, 1, 1, None] for h in hours]}

    assert next_request("ccxt", "candles", request, bars(*range(24))) is None
    after = next_request("ccxt", "candles", request, bars(*range(10)))
    assert after and after.params == {**request.params, "since": start + 9 * HOUR + 1}
    before = next_request("ccxt", "candles", request, bars(*range(14, 24)))
    assert before and before.params == {**request.params, "until": start + 14 * HOUR - 1}
    assert next_request("ccxt", "candles", request, bars()) is None, "an empty page is the last"


def test_history_that_the_venue_does_not_keep_is_reported_once_and_not_requested_again(emulator: Served, tmp_path: Path) -> None:
    """OKX's funding through ccxt is always its latest rows; Binance refuses open interest older than 30 days."""
    emulator.clear_requests()
    run, result = fetch_by_ccxt(emulator, tmp_path, "binanceusdm,okx", Window(NOW - 80 * DAY, NOW), assets=["BTC"])
    assert len(result.warnings) == 3 and not result.failures
    assert any("open_interest: rows are due and none came for 5 of 21 requests, such as BTC-USDT" in w for w in result.warnings)
    assert any(
        "/binanceusdm/fetchOpenInterestHistory: this venue refuses windows that ended by 2026-10-2" in w for w in result.warnings
    )
    assert any("/okx/fetchFundingRateHistory" in w and "latest rows, whatever the window" in w for w in result.warnings)
    refused = [r for r in emulator.requests() if r["status"] == 400]
    assert 0 < len(refused) <= 17, "of each concurrent request, and of OKX's another that asks for more rows"
    rates = "select venue, count(*) from raw.ccxt__funding_rates group by 1 order by 1"
    # A request is for 96 rows, the newest of which lies on the window's end.
    assert raw(run, result, rates) == [("binance", 240), ("okx", 95)]


# --- errors -----------------------------------------------------------------------------------------------------------------


def failures(emulator: Served, home: Path, **settings: Any) -> list[str]:
    return [str(failure) for failure in fetch_by_ccxt(emulator, home, "bybit", assets=["BTC"], **settings)[1].failures]


def test_a_symbol_that_ccxt_does_not_know(emulator: Served, tmp_path: Path) -> None:
    run, _ = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["NOPE"])
    source = ccxt_source("bybit")

    async def one() -> Any:
        async with run.client(source) as client:
            endpoint = source.endpoint("candles")
            return await client.fetch_page(next(iter(endpoint.plan(Instrument("NOPE", "NOPE"), WINDOW))), endpoint)

    with pytest.raises(Exception, match=r"ccxt /bybit/fetchOHLCV: BadSymbol: bybit does not have market symbol NOPE.*Look the"):
        asyncio.run(one())


def test_a_rate_limit_is_waited_for_and_reported(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("429", venue="bybit", path_contains="/v5/market/kline", retry_after=1, times=1)
    _, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    assert not result.failures
    assert [w for w in result.warnings if "ccxt /bybit/fetchOHLCV: RateLimitExceeded" in w and "waited 1 s" in w]


def test_a_lost_connection_is_retried_and_reported(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("reset", venue="bybit", path_contains="/v5/market/kline", times=100)
    lines = failures(emulator, tmp_path)
    assert [line for line in lines if line.startswith("ccxt /bybit/fetchOHLCV: NetworkError: the connection failed")]


def test_a_method_that_ccxt_does_not_support_is_a_warning_and_no_failure(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: Any, *_: Any, **__: Any) -> Any:
        raise ccxt.NotSupported("bybit fetchOpenInterest() is for linear markets only")

    monkeypatch.setattr(ccxt.bybit, "fetch_open_interest", refuse)
    _, result = fetch_by_ccxt(emulator, tmp_path, "bybit")
    assert not result.failures and len(result.warnings) == 1
    assert result.warnings[0].startswith("ccxt /bybit/fetchOpenInterest: bybit fetchOpenInterest() is for linear markets only")


@pytest.mark.parametrize("kind", ["truncated", "html"])
def test_a_truncated_answer_is_requested_again(kind: str, emulator: Served, tmp_path: Path) -> None:
    emulator.fault(kind, venue="bybit", path_contains="/v5/market/kline", **({"status": 200} if kind == "html" else {}))
    run, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    assert raw(run, result, "select count(*) from raw.ccxt__candles where symbol = 'BTCUSDT'") == [(48,)]


def test_no_instruments_names_the_venue(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("500", venue="bybit", path_contains="/v5/market/instruments-info", times=1000)
    lines = failures(emulator, tmp_path, tries=2)
    assert lines[0].startswith("ccxt /bybit/loadMarkets: ") and lines[-1].startswith(
        "ccxt instruments of bybit: the list could not"
    )


def test_one_venue_that_fails_leaves_the_others(emulator: Served, tmp_path: Path) -> None:
    emulator.fault("region", venue="bybit", times=1000)
    _, result = fetch_by_ccxt(emulator, tmp_path, "bybit,okx", assets=["BTC"], tries=2)
    assert all("bybit" in str(failure) for failure in result.failures) and result.failures
    assert {e.context.get("venue") for e in result.entries} == {"okx"}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("null", "got `null`"),
        ('[{"timestamp":1700000000000,"fundingRate":null}]', "got `null`"),
        ('[{"timestamp":1700000000,"fundingRate":1}]', ">= 1388534400000"),
    ],
)
def test_rows_that_ccxt_could_not_read_go_to_quarantine(rows: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        get_source("ccxt").endpoint("funding_rates").read(f'{{"rows":{rows},"answers":[]}}'.encode())


def test_an_answer_on_which_ccxt_fails_is_kept(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *_: Any) -> Any:
        raise KeyError("fundingRateTimestamp")

    monkeypatch.setattr(ccxt.bybit, "parse_ohlcv", fail)
    run, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    assert {(e.endpoint_name, e.field, e.value) for e in result.quarantined} == {("candles", "$.rows", "None")}
    page = json.loads(run.landing.body(result.quarantined[0]))
    assert page["ccxt"] == "KeyError('fundingRateTimestamp')" and json.loads(page["answers"][0]["body"])["result"]["list"]


def test_a_row_in_which_ccxt_reads_no_time_costs_that_row(
    emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ccxt itself leaves such a row out, and says nothing of it."""
    parse = ccxt.bybit.parse_ohlcv

    def at_five(self: Any, row: Any, market: Any = None) -> Any:
        time, *rest = parse(self, row, market)
        return [None if time % DAY == 5 * HOUR else time, *rest]

    monkeypatch.setattr(ccxt.bybit, "parse_ohlcv", at_five)
    _, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    flaws = [(entry.endpoint_name, flaw.problem) for entry in result.entries for flaw in entry.flaws]
    assert set(flaws) == {("candles", "Expected `int`, got `null`")} and not result.quarantined


def test_a_row_on_which_ccxt_fails_costs_that_row(emulator: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = ccxt.bybit.parse_ohlcv

    def at_five(self: Any, row: Any, market: Any = None) -> Any:
        return parse(self, row if int(row[0]) % DAY != 5 * HOUR else {}["volume"], market)

    monkeypatch.setattr(ccxt.bybit, "parse_ohlcv", at_five)
    run, result = fetch_by_ccxt(emulator, tmp_path, "bybit", assets=["BTC"])
    sent = [json.loads(run.landing.body(entry))["rows"][-len(entry.flaws) :] for entry in result.entries if entry.flaws]
    lost = {int(row[1][0]) for rows in sent for row in rows}
    assert lost and {time % DAY // HOUR for time in lost} == {5} and not result.quarantined


# --- settings ---------------------------------------------------------------------------------------------------------------


def test_venues_are_named_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ccxt" not in Settings().sources and "ccxt" not in Settings(venues=["all"]).sources
    monkeypatch.setenv("PERPLAKE_CCXT_VENUES", "phemex, bingx")
    live = Settings(mode="live", venues=["okx"])
    assert live.ccxt_venues == ["phemex", "bingx"] and live.sources == ["okx", "ccxt"]
    sources, lines = live.expand_multi_venue("ccxt")
    assert [(p.name, p.venue, p.base_url) for p in sources] == [
        ("ccxt", "phemex", "ccxt://phemex"),
        ("ccxt", "bingx", "ccxt://bingx"),
    ]
    assert [d.name for d in sources[0].endpoints] == ["instruments", "open_interest_now", "funding_rates", "candles"]
    assert "ccxt phemex has no open_interest: ccxt 4.5.90 has no fetchOpenInterestHistory for it" in lines


def test_a_venue_that_ccxt_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"ccxt_venues: ccxt 4\.\S+ knows no 'phemx'; near it: phemex"):
        _ = Settings(mode="live", ccxt_venues=["phemx"]).sources


@pytest.mark.parametrize("name", ["bybit", "binanceusdm", "krakenfutures", "kucoinfutures", "okxus"])
def test_a_venue_with_a_source_of_its_own_is_refused_when_live(name: str) -> None:
    with pytest.raises(ValueError, match=rf"ccxt_venues: {name} has a source of its own, .*name '\w+' in `venues`"):
        _ = Settings(mode="live", ccxt_venues=[name]).sources
    assert ccxt_source(name).venue in name, "on the emulator it has our name of the venue"


def test_instruments_by_the_rules_of_names() -> None:
    def market(symbol: str, base: str, listed: str, **more: Any) -> dict[str, Any]:
        fields = {"id": symbol, "symbol": symbol, "base": base, "baseId": listed, "quote": "USDT", "settle": "USDT"}
        return {**fields, "linear": True, "inverse": False, "contractSize": 1.0, "active": True, **more}

    rows = [
        market("1000PEPEUSDT", "1000PEPE", "1000PEPE"), market("kBONK", "KBONK", "kBONK"), market("PF_XBTUSD", "BTC", "XBT"),
        market("0", "HYPE", "0"), market("BTCUSD", "BTC", "BTC", quote="USD", settle="BTC", linear=False, inverse=True),
        market("BTCEUR", "BTC", "BTC", quote="EUR"), market("GONE", "GONE", "GONE", active=False),
        market("QUANTO", "ETH", "ETH", linear=None, inverse=None),
    ]  # fmt: skip
    page = get_source("ccxt").endpoint("instruments").read(json.dumps({"rows": rows, "answers": []}).encode())
    parsed = get_source("ccxt").parse_instruments(page)  # type: ignore[misc]
    assert [(i.symbol, i.base_asset) for i in parsed] == [
        ("1000PEPEUSDT", "PEPE"), ("kBONK", "BONK"), ("PF_XBTUSD", "BTC"), ("0", "HYPE"), ("BTCUSD", "BTC"),
    ]  # fmt: skip
