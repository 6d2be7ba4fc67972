"""Today's names of published tables, columns and values with those of 0.1, under which publishing makes views for one release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OldNames:
    """A table's names in 0.1: its own where that changed, and by today's column the column's and those of its values."""

    columns: Mapping[str, str]
    table: str | None = None
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


RENAMED = {
    "daily_assets": OldNames({"oi_to_volume": "leverage"}, table="daily_markets"),
    "daily_funding_spreads": OldNames(
        {
            "highest_funding_venue": "dearest_venue",
            "lowest_funding_venue": "cheapest_venue",
            "highest_funding_instrument_id": "dearest_instrument_id",
            "lowest_funding_instrument_id": "cheapest_instrument_id",
            "highest_funding_rate_8h": "dearest_8h",
            "lowest_funding_rate_8h": "cheapest_8h",
            "consecutive_days": "days_held",
        }
    ),
    "daily_industry": OldNames(
        {
            "suspect_volume_share": "doubted_volume_share",
            "perp_volume_reported_usd": "perp_volume_told_usd",
            "spot_volume_reported_usd": "spot_volume_told_usd",
        }
    ),
    "daily_venues": OldNames({"suspect_volume_reason": "volume_doubt"}),
    "dim_instruments": OldNames({"usd_method": "usd_basis"}),
    "fct_candles": OldNames({"volume_usd_method": "volume_usd_basis", "usd_method": "usd_basis"}),
    "fct_funding_rates": OldNames({"interval_method": "interval_basis"}),
    "fct_open_interest": OldNames({"usd_method": "usd_basis", "mark_method": "mark_basis"}),
    "fct_references": OldNames({"is_self_reported": "of_itself"}),
    "reconciliation_daily": OldNames({"our_value": "ours", "reported_value": "theirs", "reported_unmatched": "theirs_unmatched"}),
    "regime_changes": OldNames(
        {"level_before": "before", "level_after": "after", "days_to_label_change": "label_days"},
        values={"series": {"oi_to_volume": "leverage"}},
    ),
    "regime_events": OldNames({"deepest_fall": "worst", "after_calm": "fresh"}),
    "regime_features": OldNames(
        {
            "oi_to_volume": "leverage",
            "oi_to_volume_high_quantile": "leverage_high_quantile",
            "oi_to_volume_high_limit": "leverage_high_limit",
            "oi_change_liq_incomplete": "oi_change_unrefuted",
        }
    ),
    "regime_forecasts": OldNames({"run_type": "basis"}),
    "regime_scorecard": OldNames(
        {
            "auroc_over_volatility_low": "over_low",
            "auroc_over_volatility_high": "over_high",
            "perp_data_gain": "perps_add",
            "perp_data_gain_low": "perps_add_low",
            "perp_data_gain_high": "perps_add_high",
            "p_max_t": "p_best",
            "calibration_bias": "calibration",
            "p_shifted_flags": "p_shifted",
            "recall_after_calm": "recall_fresh",
            "events_after_calm": "fresh_events",
        }
    ),
}
