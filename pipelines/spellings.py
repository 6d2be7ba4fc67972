"""What people write for a time, a number, a venue, a coin or a column, read as one form. Texts in, values out.

    instants(["2025-10-10 08-PM"]), floats(["1.234,5"], ","), venue_name("Binance USDM"), coin_name("PF_XBTUSD")

A text with more than one meaning (`10/11/2025` alone, `117,000` alone, a clock of `EST`) is not read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from pipelines.registry import source_rows

#: The venues whose wire format the emulator speaks from a recording.
SERVED = ("binance", "bybit", "hyperliquid", "kraken")
_QUOTES = "\"'`´‘’“”„«»"


def plain(text: str) -> str:
    """A text without quotes and blanks around it; digits, blanks and signs as ASCII has them."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    return text.strip().strip(_QUOTES).strip()


# --- columns

_COLUMNS = {
    "timestamp": "time date datetime ts t utc time_utc date_utc datetime_utc timestamp_utc unix unix_time epoch timestamp_ms "
    "timestamp_s time_ms open_time start start_time opened_at candle_begin_time bar_time funding_time funding_rate_timestamp "
    "calc_time settled_at settlement_time create_time observed_at",
    "venue": "exchange exchange_name exchange_id venue_name",
    "coin": "symbol asset ticker instrument instrument_id instrument_name pair contract base base_asset base_coin base_currency",
    "open": "o open_price",
    "high": "h high_price",
    "low": "l low_price",
    "close": "c close_price",
    "volume_base": "volume vol v base_volume",
    "volume_usd": "quote_volume volume_quote quote_asset_volume turnover usd_volume volume_usdt",
    "mark_price": "mark mark_px",
    "funding_rate": "funding rate last_funding_rate",
    "oi_usd": "open_interest_usd open_interest_value sum_open_interest_value oi_value",
    "oi_base": "open_interest_base sum_open_interest oi_coins open_interest_coins",
}
_NAMED = {word.replace("_", ""): name for name, words in _COLUMNS.items() for word in (name, *words.split())}


def column_name(text: str) -> str:
    """The format's name of a column: `Open time`, `fundingRate`, `OI (USD)`; an unknown one in snake case, `%` as a word."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain(text.lstrip("\ufeff"))).replace("%", " percent ")
    key = re.sub(r"\W+", "_", words.lower()).strip("_")
    return _NAMED.get(key.replace("_", ""), key)


# --- venues and coins

_ENDINGS = re.compile(
    r"(usdm|usdtm|usdt|usd|futures?|fapi|perpetuals?|perps?|linear|swaps?|derivatives|dex|global|exchange|com|v\d)$"
)
_OTHER_NAMES = {
    "hl": "hyperliquid", "okex": "okx", "gateio": "gate", "huobi": "htx", "bnb": "binance", "bin": "binance",
    "cryptofacilities": "kraken",
}  # fmt: skip


@lru_cache(maxsize=1)
def _venues() -> dict[str, str]:
    known = {row.venue for row in source_rows().values() if row.venue} | set(SERVED)
    return {re.sub(r"[^a-z0-9]", "", venue): venue for venue in known} | _OTHER_NAMES


def venue_name(text: str) -> str:
    """`Binance`, `BINANCE_USDM`, `binance-futures` -> `binance`; an unknown name in lower case."""
    key = re.sub(r"[^a-z0-9]", "", text.lower())
    while key not in _venues() and (shorter := _ENDINGS.sub("", key)) not in ("", key):
        key = shorter
    return _venues().get(key, text.strip().lower())


#: Coins whose own name ends in USD.
_STABLE = re.compile(r"(FD|PY|RL|AU|EU)USD")
_PREFIX = re.compile(r"(?i)^(PF_|PI_|FF_|PERP_(?!USD))")
#: Nothing else may follow the quote: a date names another contract.
_SEPARATED = re.compile(
    r"(?i)([^\s\-_/:]+)[\-_/:\s]+(?:USD[TCME]?|FDUSD|BUSD|PERP|SWAP|PERPETUAL|P)"
    r"(?:[\-_/:\s.]+(?:USD[TCME]?|FDUSD|BUSD|PERP|SWAP|PERPETUAL|P|INTX|\w+(?<=:USD[TC])))*"
)
_JOINED = re.compile(r"(.+?)(USDT|USDC|FDUSD|BUSD|PERP|(?<=[A-Z0-9]{2})USD)(\.P|M|PERP)?")
#: Hyperliquid's coins of a thousand.
_KILO = {"PEPE", "SHIB", "BONK", "FLOKI", "LUNC", "NEIRO", "DOGS"}


def coin_name(text: str) -> str:
    """The coin as a venue lists it: `BTCUSDT`, `BTC-USDT-SWAP`, `BTC/USDT:USDT`, `PF_XBTUSD` -> `BTC`; `kPEPE`, `007` stay."""
    exchange, _, symbol = text.strip().partition(":")
    coin = _PREFIX.sub("", symbol if symbol and venue_name(exchange) in _venues().values() else text.strip())
    if match := _SEPARATED.fullmatch(coin):
        coin = match[1]
    is_kilo = re.fullmatch(r"k[A-Z][A-Z0-9]*", coin) is not None or (coin[:1] in "kK" and coin[1:].upper() in _KILO)
    coin = "k" + coin[1:].upper() if is_kilo else coin.upper()
    if not _STABLE.fullmatch(coin) and (match := _JOINED.fullmatch(coin)):
        coin = match[1]
    return {"XBT": "BTC", "XDG": "DOGE"}.get(coin, coin)


# --- numbers

_GROUPS_AND_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d*),\d+([eE][+-]?\d+)?")
_MAY_BE_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_NOTHING = frozenset(("", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "\\n"))


def decimal_mark(texts: Iterable[str]) -> tuple[str, str]:
    """The sign before decimals in the numbers of a file, `.` or `,`; and a value that may be of either, where none decides."""
    by_comma = by_point = False
    doubtful = ""
    for text in texts:
        if _MAY_BE_GROUPS.fullmatch(text):
            doubtful = doubtful or (text if "," in text else "")
        elif "," in text:
            is_decimal = _GROUPS_AND_COMMA.fullmatch(text) is not None
            by_comma, by_point = by_comma or is_decimal, by_point or not is_decimal
        elif "." in text:
            by_comma, by_point = by_comma or text.count(".") > 1, by_point or text.count(".") == 1
    if by_comma != by_point:
        doubtful = ""
    return "," if by_comma and not by_point else ".", doubtful


def floats(texts: Iterable[str], mark: str = ".") -> list[Any]:
    """Numbers; None for nothing, False for what is no number. Thousands may be set apart."""
    group, point = (",", r"\.") if mark == "." else (r"\.", ",")
    number = re.compile(rf"[+-]?(\d{{1,3}}([{group} '_]\d{{3}})+|\d+)?({point}\d*)?([eE][+-]?\d+)?")
    return [_float(plain(text), number, mark) for text in texts]


def _float(text: str, number: re.Pattern[str], mark: str) -> float | bool | None:
    with suppress(ValueError):  # nearly all, and fast
        if mark == "." and "_" not in text and isfinite(value := float(text)):
            return value
    if text.lower() in _NOTHING:
        return None
    if re.fullmatch(r"[+-]?inf(inity)?", text, re.IGNORECASE):
        return float(text)
    if not number.fullmatch(text) or not re.search(r"\d", text):
        return False
    whole, point, rest = text.partition(mark)
    return float(re.sub(r"[,.' _]", "", whole) + ("." if point else "") + rest)


# --- times

_DAY_FIRST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(.*)")
_TIME_FIRST = re.compile(r"^(\d{1,2}:\d{2}(?::\d{2})?)[\s,]+(\d.*)$")
_ISO = re.compile(r"(\d{4})[-/.]?(\d{1,2})[-/.]?(\d{1,2})(?:[T\s_,]+(.*)|-(\d{1,2}))?", re.IGNORECASE)
_TIME = re.compile(
    r"(\d{1,2})(?::?(\d{2}))?(?::?(\d{2})(?:[.,](\d{1,9}))?)?\s*(?:-?\s*([ap]\.?m\.?))?"
    r"\s*(z|(?:utc|gmt)?[+-]\d{1,2}:?(?:\d{2})?(?:\s+[A-Za-z]{1,5})?|utc|gmt)?\s*(?:\[utc\]|\[?([A-Za-z]+/[^\]\s]+)\]?)?",
    re.IGNORECASE,
)
#: `2025101020`, with minutes and seconds too: as a number of seconds it would be a time after 2033.
_DIGITS = re.compile(r"(20[1-3]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))((?:[01]\d|2[0-3])(?:[0-5]\d){0,2})?")
#: Days since 1899-12-30, as spreadsheets count, of 2014 to 2040.
_SERIAL = (41_640, 51_136)
#: Seconds, milliseconds, microseconds, nanoseconds since 1970: below which number, and the factor to milliseconds.
_UNITS = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (1e19, 1e-6))


def instants(texts: Iterable[str]) -> list[int | None]:
    """UTC milliseconds by any unambiguous spelling; None where there is none."""
    texts = [_TIME_FIRST.sub(r"\2 \1", plain(text)) for text in texts]
    parts = [match for text in texts if (match := _DAY_FIRST.fullmatch(text))]
    day_first = any(int(m[1]) > 12 or m[2] == "." for m in parts)
    month_first = any(int(m[3]) > 12 for m in parts)
    order = (1, 3) if day_first and not month_first else (3, 1) if month_first and not day_first else None
    return [_instant(text, order) for text in texts]


def _instant(text: str, order: tuple[int, int] | None) -> int | None:
    if match := _DIGITS.fullmatch(text):
        return _parsed(" ".join(part for part in match.groups() if part))
    if re.fullmatch(r"\d{1,3}(,\d{3})+", text):
        text = text.replace(",", "")
    if re.fullmatch(r"[+-]?\d+(\.\d*)?([eE]\+?\d+)?", text):
        return _counted(text)
    if match := _DAY_FIRST.fullmatch(text):
        if order is None and match[1] != match[3]:
            return None
        order = order or (1, 3)
        text = f"{match[4]}-{match[order[1]]}-{match[order[0]]}{match[5]}"
    return _parsed(text)


def _counted(text: str) -> int | None:
    """A number of seconds, milliseconds, microseconds or nanoseconds since 1970, or of days as spreadsheets have them."""
    number = abs(float(text))
    unit = next((factor for bound, factor in _UNITS if number < bound), None)
    if unit is None:
        return None
    if _SERIAL[0] <= float(text) < _SERIAL[1]:
        return round((float(text) - 25_569) * 86_400) * 1000
    if not text.lstrip("+-").isdigit():
        return round(float(text) * unit)
    return int(text) // int(1 / unit) if unit < 1 else int(text) * int(unit)


def _parsed(text: str) -> int | None:
    with suppress(ValueError):  # nearly all, and fast
        if text[4:5] == "-" and text[10:11] in ("T", " ") and text[13:14] == ":":
            at = datetime.fromisoformat(text)
            return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000 + 0.5)
    try:
        if not (match := _ISO.fullmatch(text)):
            return _in_words(text)
        year, month, day, rest, hour_alone = match.groups()
        hour = minute = second = micro = 0
        zone: Any = UTC
        if rest := (rest or hour_alone or "").strip():
            if not (time := _TIME.fullmatch(rest)):
                return None
            hour, minute, second = (int(time[i] or 0) for i in (1, 2, 3))
            micro = int(f"{time[4] or 0:<09}"[:6]) if time[4] else 0
            if time[5]:
                if not 1 <= hour <= 12:
                    return None
                hour = hour % 12 + (12 if time[5].lower().startswith("p") else 0)
            if time[7]:
                zone = ZoneInfo(time[7])
            if time[6] and (offset := re.search(r"([+-])(\d{1,2}):?(\d{2})?", time[6])):
                zone = datetime.strptime(f"{offset[1]}{int(offset[2]):02d}{offset[3] or '00'}", "%z").tzinfo
        later = timedelta(days=hour == 24 and minute == second == 0)  # the end of a day, by ISO 8601
        at = datetime(int(year), int(month), int(day), 0 if later else hour, minute, second, micro, zone) + later
        if at.astimezone(UTC).astimezone(zone) != at or (at.replace(fold=1).utcoffset() != at.utcoffset()):
            return None  # an hour that clocks skip or repeat
        return int(at.timestamp() * 1000 + 0.5)
    except (ValueError, KeyError, OSError, OverflowError):
        return None


def _in_words(text: str) -> int | None:
    """Dates in words (`Oct 10, 2025 8:00 PM`, `10-Oct-25 20:00`, RFC 2822), as pandas reads them, of UTC or with an offset."""
    import pandas as pd

    text = re.sub(r"^(\d{1,2})[-/\s]([A-Za-z]{3})[-/\s](\d{2})(?=\s|$)", r"\1 \2 20\3", text)
    zone = re.search(r"\d\s*([A-Za-z]{2,5})$", text)  # pandas takes a zone that it doesn't know for UTC
    is_other_zone = zone and zone[1].upper() not in ("UTC", "GMT", "AM", "PM")
    if is_other_zone or not re.search(r"[A-Za-z]{3}", text) or not re.search(r"\d{4}", text):
        return None
    found = pd.to_datetime(text, utc=True, errors="coerce")
    return None if pd.isna(found) else int(found.timestamp() * 1000)
