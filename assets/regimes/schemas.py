"""The shapes of the frames that go into and come out of the regime method (pandera, checked at both ends).

Days are UTC calendar days as naive midnights; rates, returns and shares are fractions; money is USD. Null means unknown.
"""

import sys

import pandera.pandas as pa

from assets.regimes.thresholds import INPUTS, READABLE, RULES, THRESHOLDS

KEY = ["day", "asset"]


def _number(low: float = -sys.float_info.max, high: float = sys.float_info.max, *, nullable: bool = True) -> pa.Column:
    return pa.Column(float, pa.Check.in_range(low, high), nullable=nullable, coerce=True)


def _count() -> pa.Column:
    return pa.Column(int, pa.Check.ge(0), coerce=True)


def _day() -> pa.Column:
    midnight = pa.Check(lambda day: day == day.dt.normalize(), error="not a UTC midnight")
    return pa.Column("datetime64[us]", midnight, coerce=True)


def _text(*allowed: str, nullable: bool = False, required: bool = True) -> pa.Column:
    return pa.Column(str, pa.Check.isin(allowed) if allowed else None, nullable=nullable, required=required, coerce=True)


_EVIDENCE = {
    "venues_total": pa.Column(int, pa.Check.ge(1), coerce=True),
    **{i.venues: _count() for i in INPUTS},
    **{i.coverage: _number(0, 1) for i in INPUTS},
    "funding_weighting": _text("oi", "equal", nullable=True),
    # Optional: comma-separated names of the venues behind open interest, shown in the reasons.
    "oi_venue_names": _text(nullable=True, required=False),
}

DAILY = pa.DataFrameSchema(
    {
        "day": _day(),
        "asset": _text(),
        "close": _number(0),
        "high": _number(0),
        "low": _number(0),
        "oi_change_1d": _number(-1),
        "funding_8h": _number(),
        "realised_vol_1d": _number(0),
        "realised_vol_7d": _number(0),
        "drawdown_7d": _number(-1, 0),
        "low_vs_prev_close": _number(-1),
        "oi_to_volume": _number(0),
        "liq_over_oi": _number(0),
        **_EVIDENCE,
    },
    unique=KEY,
    strict=False,
    name="daily_assets",
)

FEATURES = pa.DataFrameSchema(
    {
        "day": _day(),
        "asset": _text(),
        **{name: _number() for name in READABLE},
        **{f"{name}_quantile": _number() for name, t in THRESHOLDS.items() if t.quantile is not None},
        **{f"{name}_limit": _number(nullable=False) for name in THRESHOLDS},
        "history_days": _count(),
        **_EVIDENCE,
    },
    unique=KEY,
    strict=True,
    name="regime_features",
)

LABELS = pa.DataFrameSchema(
    {
        "day": _day(),
        "asset": _text(),
        "label": _text(*RULES),
        "confidence": _number(0, 1, nullable=False),
        "reasons": pa.Column(str, pa.Check.str_length(min_value=1)),
        "method": _text(),
    },
    unique=KEY,
    strict=True,
    name="regime_labels",
)
