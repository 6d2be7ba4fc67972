"""The figures of the report, as matplotlib figures without pyplot (no global state, nothing to close).

A day covers its whole 24 hours, its values are at noon UTC. Missing values are hatched or left open: a line breaks, a bar is not
drawn, a heat strip shows hatching. A missing value is never drawn as zero.

Alone: ``png(market("BTC", daily, labels, "caption", synthetic=False))``.
"""

from collections.abc import Iterator
from io import BytesIO

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from assets.regimes.thresholds import REGIMES

# Paul Tol's "bright" set, which common kinds of colour blindness can distinguish, and some of his "muted" set. A venue has one
# colour in every figure.
VENUE_COLOURS = {
    "binance": "#ccbb44",
    "bybit": "#ee6677",
    "okx": "#4477aa",
    "hyperliquid": "#228833",
    "gate": "#66ccee",
    "bitget": "#aa3377",
    "kraken": "#332288",
    "mexc": "#882255",
    "deribit": "#44aa99",
}
_FREE_COLOURS = ("#999933", "#ddcc77", "#cc6677", "#117733", "#88ccee", "#aa4499")
OTHER_COLOUR = "#999999"
SHOWN_VENUES = 6
LONG, SHORT, INK, MUTED, GRID, HATCH = "#cc3311", "#228833", "#1c2430", "#5b6675", "#e3e6ea", "#c3c9d1"
COVERAGE = LinearSegmentedColormap.from_list("coverage", ["#d3e3ef", "#6fa8cf", "#12456e"])
DATASETS = {
    "price": "coverage_price",
    "funding": "coverage_funding",
    "open interest": "coverage_oi",
    "liquidations": "coverage_liquidations",
}
STYLE = {
    "text.parse_math": False,  # a coin's name may have a `$`
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "xtick.major.size": 0,
    "hatch.linewidth": 0.5,
    "hatch.color": HATCH,
    "legend.frameon": False,
}
_NOON = pd.Timedelta(hours=12)
_DAY = pd.Timedelta(days=1)


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as PNG bytes; the same data give the same bytes."""
    buffer = BytesIO()
    FigureCanvasAgg(figure)
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def market(asset: str, daily: pd.DataFrame, labels: pd.DataFrame, caption: str, *, synthetic: bool) -> Figure:
    """Price, open interest, volatility, funding, liquidations and coverage of one asset, its regimes shaded behind.

    `daily` and `labels` are the asset's rows of `marts.daily_assets` and `marts.regime_labels`.
    """
    rows = daily.set_index("day").sort_index().asfreq("D")
    regimes = labels.set_index("day")["label"].reindex(rows.index)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 11.6), facecolor="white")
        heights = {"regime": 0.22, "price": 2.0, "oi": 1.25, "vol": 1.25, "funding": 1.25, "liq": 1.45, "coverage": 0.8}
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()))
        figure.subplots_adjust(left=0.085, right=0.985, top=0.905, bottom=0.04, hspace=0.42)
        panel: dict[str, Axes] = dict(zip(heights, axes, strict=True))

        _regime_strip(panel["regime"], regimes)
        for name in ("price", "oi", "vol", "funding", "liq"):
            _shade(panel[name], regimes)
        _line(panel["price"], rows["close"], "Price, USD (daily close, median over venues)", _money)
        title = f"Open interest, USD (one-sided; {_venues(rows, 'oi_venues')}; a break where the venues change)"
        _line(panel["oi"], rows["oi_usd"], title, _money, breaks=rows["oi_venue_names"].ne(rows["oi_venue_names"].shift()))
        _line(
            panel["vol"],
            rows["realised_vol_7d"],
            "Realised volatility, 7 days, annualised, by hourly closes",
            _percent(0),
            floor=0,
        )
        funding_title = f"Funding per 8 hours, average ({_venues(rows, 'funding_venues')}); above zero longs pay"
        _line(panel["funding"], rows["funding_8h"], funding_title, _percent(3))
        panel["funding"].axhline(0, color=MUTED, linewidth=0.8)
        _liquidations(panel["liq"], rows)
        _strips(panel["coverage"], rows[list(DATASETS.values())].T.to_numpy(float), list(DATASETS), _days(rows))
        panel["coverage"].set_title("Coverage: share of the expected observations seen (dark: all; pale: few; hatched: none)")

        _dates(panel["coverage"], _days(rows))
        _heading(figure, f"{asset} perpetual futures", caption, synthetic=synthetic)
        keys = [Patch(color=regime.colour, label=regime.name.replace("_", " ")) for regime in REGIMES.values()]
        hatched = Patch(facecolor="white", edgecolor=HATCH, hatch="////", label="missing")
        figure.legend(
            handles=[*keys, hatched], loc="upper left", bbox_to_anchor=(0.079, 0.96), ncols=len(REGIMES) + 1, handlelength=1.2
        )
    return figure


def shares(venues: pd.DataFrame, caption: str, *, synthetic: bool) -> Figure:
    """Volume and open interest by venue as shares, from `marts.daily_venues`: the six largest by volume, and the others as one.

    The shares of a day are of the venues that reported on it; a day without any, or without a large one, is hatched.
    """
    sizes = venues.groupby("venue")["volume_usd"].sum().sort_values(ascending=False, kind="stable")
    names = sorted(sizes.index[:SHOWN_VENUES])
    others = sorted(sizes.index[SHOWN_VENUES:])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 5.6), facecolor="white")
        upper, lower = figure.subplots(2, 1, sharex=True)
        figure.subplots_adjust(left=0.085, right=0.985, top=0.825, bottom=0.075, hspace=0.3)
        for ax, column, title in (
            (upper, "volume_share", "Share of volume (venues that reported it)"),
            (lower, "oi_share", "Share of open interest (venues that reported it)"),
        ):
            wide = venues.pivot(index="day", columns="venue", values=column).reindex(columns=[*names, *others]).asfreq("D")
            if others:
                wide = wide[names].assign(other=wide[others].sum(axis=1, min_count=1))
            _stack(ax, wide)
            ax.set_title(title)
        _dates(lower, _days(venues.set_index("day").sort_index()))
        _heading(figure, "Venues", caption, synthetic=synthetic)
        handles = [Patch(color=_venue_colour(name), label=name) for name in names]
        handles += [Patch(color=OTHER_COLOUR, label=f"other ({len(others)})")] if others else []
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.079, 0.925), ncols=8, handlelength=1.2)
    return figure


def coverage(table: pd.DataFrame, caption: str, *, synthetic: bool) -> Figure:
    """A heat strip per dataset and source, and venue of a source of several; hatched where nothing was expected or is known.

    `table` is `marts.coverage_daily`.
    """
    several = table.groupby("source")["venue"].transform("nunique") > 1
    named = table.assign(strip=table["dataset"] + " · " + table["source"] + (", " + table["venue"]).where(several, ""))
    wide = named.pivot(index="day", columns="strip", values="coverage").asfreq("D")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 1.35 + 0.2 * wide.shape[1]), facecolor="white")
        ax = figure.subplots()
        inch = 1 / figure.get_size_inches()[1]
        figure.subplots_adjust(left=0.19, right=0.985, top=1 - 0.75 * inch, bottom=0.35 * inch)
        _strips(ax, wide.T.to_numpy(float), list(wide.columns), _days(wide))
        _dates(ax, _days(wide))
        _heading(figure, "Coverage by dataset and source", caption, synthetic=synthetic)
    return figure


def history(asset: str, forecasts: dict[str, pd.DataFrame], events: pd.DataFrame, caption: str, *, synthetic: bool) -> Figure:
    """Probabilities by day (`day`, `probability`, `flag`), a panel for each title, with flags as marks and events shaded.

    `events` has `started_on` and `ended_on`.
    """
    days = pd.DatetimeIndex(pd.concat([rows["day"] for rows in forecasts.values()]).sort_values().unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.4), facecolor="white")
        axes = figure.subplots(len(forecasts), 1, sharex=True)
        figure.subplots_adjust(left=0.085, right=0.985, top=0.77, bottom=0.075, hspace=0.45)
        for ax, (title, rows) in zip(axes, forecasts.items(), strict=True):
            by_day = rows.set_index("day").reindex(pd.date_range(days[0], days[-1]))
            for event in events.to_dict("records"):
                if event["ended_on"] >= days[0]:
                    ax.axvspan(_at(event["started_on"]), _at(event["ended_on"] + _DAY), color=LONG, alpha=0.25, linewidth=0)
            _line(ax, by_day["probability"], title, _percent(0), floor=0)
            raised = by_day["probability"][by_day["flag"].fillna(False).astype(bool)]
            ax.plot(_days(raised) + _NOON, raised, "o", color=LONG, markersize=3)
        _dates(axes[-1], days)
        _heading(figure, f"{asset}: the coming week", caption, synthetic=synthetic)
        keys = [
            Line2D([], [], color=INK, lw=1.4, label="probability, from the past of its day alone"),
            Line2D([], [], color=LONG, marker="o", markersize=3, linestyle="none", label="flag: top tenth of the past year"),
            Patch(color=LONG, alpha=0.25, label="event: a low 10 % under the highest close of the week before"),
        ]
        figure.legend(handles=keys, loc="upper left", bbox_to_anchor=(0.079, 0.905), ncols=3, handlelength=1.4)
    return figure


def calibration(curves: dict[str, pd.DataFrame], caption: str, *, synthetic: bool) -> Figure:
    """Frequency of targets by tenths of their probability (`reliability`), a panel each; the diagonal is perfect calibration."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.6), facecolor="white")
        axes = figure.subplots(1, len(curves), squeeze=False)[0]
        figure.subplots_adjust(left=0.085, right=0.985, top=0.76, bottom=0.13, wspace=0.25)
        for ax, (title, curve) in zip(axes, curves.items(), strict=True):
            top = max(0.1, float(curve[["probability", "frequency"]].to_numpy().max()) * 1.05)
            ax.plot([0, top], [0, top], color=MUTED, linewidth=0.8)
            ax.plot(curve["probability"], curve["frequency"], color=INK, marker="o", markersize=4, linewidth=1.2)
            ax.xaxis.set_major_formatter(_percent(0))
            ax.yaxis.set_major_formatter(_percent(0))
            ax.set_xlabel("mean probability")
            ax.set_ylabel("share of days that the target followed")
            ax.set_title(f"{title}\n({int(curve['days'].sum()):,} days in tenths)")
        _heading(figure, "Calibration", caption, synthetic=synthetic)
    return figure


def _heading(figure: Figure, title: str, caption: str, *, synthetic: bool) -> None:
    inch = 1 / figure.get_size_inches()[1]
    figure.text(0.085, 1 - 0.2 * inch, title, fontsize=15, fontweight="bold", va="top")
    figure.text(0.985, 1 - 0.26 * inch, caption, color=MUTED, ha="right", va="top")
    if synthetic:
        badge = {"facecolor": LONG, "edgecolor": "none", "boxstyle": "round,pad=0.35"}
        figure.text(0.5, 1 - 0.22 * inch, "SYNTHETIC DATA", color="white", weight="bold", ha="center", va="top", bbox=badge)
        figure.text(
            0.53, 0.5, "SYNTHETIC DATA", fontsize=min(70.0, 22 / inch), color=INK, alpha=0.08, weight="bold", ha="center",
            va="center", rotation=0 if inch > 1 / 8 else 30,
        )  # fmt: skip


def _dates(ax: Axes, days: pd.DatetimeIndex) -> None:
    locator = mdates.AutoDateLocator(minticks=4, maxticks=12)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    ax.set_xlim(_at(days[0]), _at(days[-1] + _DAY))


def _at(moment: pd.Timestamp) -> float:
    return float(mdates.date2num(moment.to_pydatetime()))


def _runs(values: pd.Series) -> Iterator[tuple[object, float, float]]:
    """(value, start, end) of each run of equal daily values, on the date axis; a run ends when its last day does."""
    for _, run in values.groupby(values.ne(values.shift()).cumsum()):
        days = _days(run)
        yield run.iloc[0], _at(days[0]), _at(days[-1] + _DAY)


def _shade(ax: Axes, regimes: pd.Series) -> None:
    for label, start, end in _runs(regimes.fillna("")):
        if (regime := REGIMES.get(str(label))) and regime.rule:
            ax.axvspan(start, end, color=regime.colour, alpha=0.22, linewidth=0, zorder=0)


def _regime_strip(ax: Axes, regimes: pd.Series) -> None:
    for label, start, end in _runs(regimes.fillna("")):
        if regime := REGIMES.get(str(label)):
            ax.axvspan(start, end, color=regime.colour, linewidth=0)
    _hatch(ax, regimes.isna())
    # A single day of a long window is too narrow to see, so shocks get a mark.
    for regime in REGIMES.values():
        if regime.is_shock:
            noon = _days(regimes)[regimes == regime.name] + _NOON
            ax.plot(noon, np.full(len(noon), 1.5), "v", color=regime.colour, markersize=5, clip_on=False)
    ax.set_yticks([0.5], ["regime"])
    ax.set_ylim(0, 1)
    ax.grid(False)
    ax.tick_params(axis="x", length=0)


def _hatch(ax: Axes, missing: pd.Series) -> None:
    for is_missing, start, end in _runs(missing):
        if is_missing:
            ax.axvspan(start, end, facecolor="white", edgecolor=HATCH, hatch="////", linewidth=0, zorder=0.5)
    if missing.all():
        box = {"facecolor": "white", "edgecolor": "none", "pad": 4}
        ax.text(0.5, 0.5, "no data", transform=ax.transAxes, ha="center", va="center", color=MUTED, bbox=box)
        ax.set_yticks([])


def _line(
    ax: Axes, values: pd.Series, title: str, form: FuncFormatter, floor: float | None = None, breaks: pd.Series | None = None
) -> None:
    """A line with a gap where a value is missing, and before each day on which `breaks` is true."""
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(form)
    ax.set_title(title)
    _hatch(ax, values.isna())
    if values.isna().all():
        return
    noon = _days(values) + _NOON
    parts = pd.Series(0, values.index) if breaks is None else breaks.cumsum()
    for _, part in values.groupby(parts):
        ax.plot(_days(part) + _NOON, part, color=INK, linewidth=1.4, solid_capstyle="round")
    # A single value between two gaps has no line to be drawn on.
    alone = (
        values.notna() & (parts.ne(parts.shift()) | values.shift().isna()) & (parts.ne(parts.shift(-1)) | values.shift(-1).isna())
    )
    ax.plot(noon[alone], values[alone], color=INK, marker="o", markersize=2.5, linestyle="none")
    ax.set_ylim(bottom=floor)


def _liquidations(ax: Axes, rows: pd.DataFrame) -> None:
    known = rows["liq_long_usd"].notna() | rows["liq_short_usd"].notna()
    ax.set_title(f"Liquidations, USD a day (lower bound; {_venues(rows, 'liq_venues')})")
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(_money_unsigned)
    _hatch(ax, ~known)
    if not known.any():
        return
    seen = rows[known]
    noon = _days(seen) + _NOON
    ax.bar(noon, seen["liq_short_usd"], width=0.8, color=SHORT)
    ax.bar(noon, -seen["liq_long_usd"], width=0.8, color=LONG)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    keys = [Line2D([], [], color=SHORT, lw=5, label="shorts, up"), Line2D([], [], color=LONG, lw=5, label="longs, down")]
    ax.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderpad=0, handlelength=1)


def _strips(ax: Axes, values: np.ndarray, names: list[str], days: pd.DatetimeIndex) -> None:
    """Rows of daily shares 0..1 as heat strips; null and zero are both hatched, zero on the palest colour."""
    extent = (_at(days[0]), _at(days[-1] + _DAY), len(names) - 0.5, -0.5)
    for row, series in enumerate(values):
        for absent, start, end in _runs(pd.Series(~(series > 0), days)):
            if absent:
                span = [(start, end - start)]
                ax.broken_barh(span, (row - 0.5, 1), facecolor="white", edgecolor=HATCH, hatch="////", linewidth=0)
    shown = np.ma.masked_where(~(values > 0), values)
    ax.imshow(shown, cmap=COVERAGE, vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent, zorder=2)
    ax.set_ylim(extent[2], extent[3])
    ax.set_yticks(range(len(names)), names)
    ax.hlines(np.arange(len(names) - 1) + 0.5, extent[0], extent[1], color="white", linewidth=2, zorder=3)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _stack(ax: Axes, wide: pd.DataFrame) -> None:
    known = wide.notna().any(axis=1)
    _hatch(ax, ~known)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylim(0, 1)
    # Each day is a step over its 24 hours, so that nothing is drawn between a known day and an unknown one.
    top = wide.fillna(0.0).where(known).cumsum(axis=1).to_numpy()
    bottom = np.zeros_like(top)
    bottom[:, 1:] = top[:, :-1]
    edges = mdates.date2num(_days(wide).append(_days(wide)[-1:] + _DAY))
    for i in range(wide.shape[1]):
        ax.stairs(top[:, i], edges, baseline=bottom[:, i], fill=True, color=_venue_colour(wide.columns[i]), linewidth=0)


def _days(frame: pd.DataFrame | pd.Series) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(frame.index)


def _venue_colour(venue: str) -> str:
    """The venue's own colour; of a venue without one, a colour that follows from its name alone."""
    free = _FREE_COLOURS[sum(venue.encode()) % len(_FREE_COLOURS)]
    return OTHER_COLOUR if venue == "other" else VENUE_COLOURS.get(venue, free)


def _venues(rows: pd.DataFrame, column: str) -> str:
    """ "2–4 of 4 venues": the number of venues with the quantity over the window."""
    low, high, total = rows[column].min(), rows[column].max(), rows["venues_total"].max()
    count = f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"
    return f"{count} of {total:.0f} venues"


def _dollars(value: float) -> str:
    for size, unit in ((1e12, " tn"), (1e9, " bn"), (1e6, " m")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:,.10g}"


_money = FuncFormatter(lambda value, _: _dollars(value))
_money_unsigned = FuncFormatter(lambda value, _: _dollars(abs(value)))


def _percent(decimals: int) -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value * 100:.{decimals}f} %")
