"use strict";
/* The page asks itself: the address names a view, an asset and a range of days (#BTC/2025-09-01/2025-10-01), and everything
   on the page is drawn from `data` (assets/report/series.py) for these. Null is unknown: a gap in a figure, "–" in a table. */

const data = JSON.parse(document.getElementById("data").textContent);
const { days, names: assets } = data;
const VIEWS = ["market", "asset", "forecasts", "coverage", "claims"];
const DAY = 86400;
const noon = days.map((day) => Date.parse(`${day}T12:00:00Z`) / 1000);
const state = { view: "market", asset: assets[0], from: 0, to: days.length - 1, anchor: null };
const sorted = new Map(); // table → the column and direction that the reader chose
let plots = [];

const $ = (id) => document.getElementById(id);

/** An element with properties, attributes (under `attrs`) and children; texts are never read as HTML. */
function make(tag, properties = {}, ...children) {
  const { attrs = {}, ...others } = properties;
  const element = Object.assign(document.createElement(tag), others);
  for (const [name, value] of Object.entries(attrs)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/* Values. Every list ends with the last day; a shorter one begins later. */

const at = (table, name, i) => {
  const values = table?.[name];
  return values ? (values[i - days.length + values.length] ?? null) : null;
};
const word = (table, name, i) => data.texts[at(table, name, i)] ?? null;
const shown = (table, name) => range().map((i) => at(table, name, i));
const range = () => Array.from({ length: state.to - state.from + 1 }, (_, n) => state.from + n);
const known = (values) => values.filter((value) => value !== null);
const sum = (values) => (known(values).length ? known(values).reduce((a, b) => a + b, 0) : null);
const mean = (values) => (known(values).length ? sum(values) / known(values).length : null);
const growth = (now, before) => (now === null || !before ? null : now / before - 1);

/* Texts of values. */

const fixed = (value, digits) => value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const or = (format) => (value) => (value === null || value === undefined ? "–" : format(value));
const signed = (value, text) => (value > 0 && /[1-9]/.test(text) ? `+${text}` : text).replace("-", "−");
const usd = or((value) => {
  for (const [size, unit] of [[1e12, " tn"], [1e9, " bn"], [1e6, " m"], [1e3, " k"]])
    if (Math.abs(value) >= size) return fixed(value / size, Math.abs(value / size) >= 100 ? 0 : Math.abs(value / size) >= 10 ? 1 : 2) + unit;
  return fixed(value, 0);
});
const price = or((value) => value.toLocaleString("en-US", { maximumSignificantDigits: 6 }));
const percent = or((value) => `${fixed(value * 100, 1)} %`);
const change = or((value) => signed(value, `${fixed(value * 100, 2)} %`));
const rate = or((value) => signed(value, `${fixed(value * 100, 4)} %`));
const charge = or((value) => signed(value, `${fixed(value * 100, 3)} %`));
const yearly = (value) => (value === null ? null : value * 3 * 365);
const count = or((value) => value.toLocaleString("en-US"));

/* Colours: a venue has the same one everywhere; the named ones are in report.css, the others share one. */

const NAMED = ["binance", "bybit", "okx", "hyperliquid", "bitget", "gate", "kraken"];
const colourName = (venue) => `--venue-${NAMED.includes(venue) ? venue : "other"}`;
/** A colour of report.css as the canvas needs it: of the theme in use. */
function colour(name) {
  const probe = $("probe");
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
const swatch = (venue) => make("i", { className: "swatch", attrs: { style: `background: var(${colourName(venue)})` } });

/* Figures. */

/** The days of ticks, about one in 90 pixels. */
function ticks(width) {
  const chosen = range();
  const step = Math.max(1, Math.ceil(chosen.length / Math.max(2, Math.floor(width / 90))));
  return chosen.filter((_, n) => n % step === 0).map((i) => noon[i]);
}
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
function dates(_, splits) {
  let year = null;
  return splits.map((second) => {
    const day = new Date(second * 1000);
    const text = `${day.getUTCDate()} ${MONTHS[day.getUTCMonth()]}`;
    const isNew = day.getUTCFullYear() !== year;
    year = day.getUTCFullYear();
    return isNew ? `${text}\n${year}` : text;
  });
}

/** Behind the lines: regimes shaded with a strip above, and hatching on days without any value. */
function background(series, labels) {
  return (plot) => {
    const { ctx, bbox } = plot;
    const edge = (second) => Math.min(Math.max(plot.valToPos(second, "x", true), bbox.left), bbox.left + bbox.width);
    range().forEach((i, n) => {
      const left = edge(noon[i] - DAY / 2);
      const width = edge(noon[i] + DAY / 2) - left;
      const regime = labels && data.regimes[labels[n]];
      ctx.save();
      if (series.every(({ values }) => values[n] === null)) {
        ctx.fillStyle = hatching(ctx);
        ctx.fillRect(left, bbox.top, width, bbox.height);
      }
      if (regime) {
        ctx.fillStyle = regime.is_marked ? regime.colour : colour("--line");
        ctx.fillRect(left, bbox.top, width, 6 * devicePixelRatio);
        ctx.globalAlpha = 0.16;
        if (regime.is_marked) ctx.fillRect(left, bbox.top, width, bbox.height);
      }
      ctx.restore();
    });
  };
}
function hatching(ctx) {
  const tile = make("canvas", { width: 8, height: 8 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour("--hatch");
  pen.stroke(new Path2D("M-2 2 L2 -2 M0 8 L8 0 M6 10 L10 6"));
  return ctx.createPattern(tile, "repeat");
}

/** The values of the day under the pointer. */
function tooltip(series, heading) {
  const box = make("div", { className: "tooltip", hidden: true });
  return {
    hooks: {
      init: (plot) => plot.over.append(box),
      setCursor: (plot) => {
        const { idx, left, top } = plot.cursor;
        box.hidden = idx === null || idx === undefined || left < 0 || !plot.over.matches(":hover");
        if (box.hidden) return;
        const lines = series.map(({ label, values, colour: mark, format }) =>
          make("div", {}, make("i", { className: "swatch", attrs: { style: `background: ${mark}` } }), `${label}: ${format(values[idx])}`));
        box.replaceChildren(make("b", {}, heading(idx)), ...lines);
        const isRight = left > plot.over.clientWidth / 2;
        box.style.left = isRight ? "auto" : `${left + 14}px`;
        box.style.right = isRight ? `${plot.over.clientWidth - left + 14}px` : "auto";
        box.style.top = `${Math.max(0, Math.min(top, plot.over.clientHeight - box.offsetHeight))}px`;
      },
    },
  };
}

/** A value between two unknown ones has no line, so it gets a point. */
const alone = (plot, series, areAll) => {
  if (areAll) return null;
  const values = plot.data[series];
  return values.flatMap((value, n) => (value !== null && (values[n - 1] ?? null) === null && (values[n + 1] ?? null) === null ? [n] : []));
};

/**
 * A figure with its heading, its values as CSV, and a text for those who don't see it.
 * `series`: label, values, colour, format, and perhaps `bar` (its side: -1, 0, 1), `dash`, `drawn` (what is drawn in place of the values).
 */
function figure(host, heading, note, series, { format, labels = null, x = null, height = 220, zero = false, floor = null, top = null } = {}) {
  const present = series.filter(({ values }) => known(values).length);
  const days_ = range().map((i) => days[i]);
  const first = (n) => (x ? fixed(x.values[n], 2) : days_[n] + (labels && labels[n] ? ` · ${data.regimes[labels[n]].title}` : ""));
  const csv = () => [[x ? x.label : "day", ...series.map(({ label }) => label)],
    ...(x ? x.values : days_).map((value, n) => [value, ...series.map(({ values }) => values[n])])];
  const plotted = make("div", { className: "plot", attrs: { role: "img", "aria-label": spoken(heading, present, days_) } });
  host.append(make("figure", {}, make("figcaption", {}, make("h3", {}, heading), csvButton(heading, csv), make("p", { className: "note" }, note)), plotted));
  if (!present.length) return plotted.append(make("p", { className: "empty" }, "no data"));
  for (const one of present) one.format ??= format;
  const muted = colour("--muted");
  const axis = { stroke: muted, font: "12px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: plotted.clientWidth,
    height,
    plugins: [tooltip(present, first)],
    padding: [10, 24, 0, 0],
    cursor: { sync: x ? {} : { key: "days" }, drag: { x: !x, y: false, setScale: false }, y: false },
    legend: { live: false },
    scales: {
      x: { time: false, range: x ? [0, x.top] : () => [noon[state.from] - DAY / 2, noon[state.to] + DAY / 2] },
      y: { range: (_, low, high) => limits(low, high, { zero, floor, top }) },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 42, ...(x ? { values: (_, splits) => splits.map(percent) } : { splits: () => ticks(plotted.clientWidth), values: dates }) },
      { ...axis, size: 74, space: 36, values: (_, splits) => splits.map(format) },
    ],
    series: [{}, ...present.map(({ label, colour: mark, bar, dash }) => ({
      label,
      stroke: mark,
      width: bar === undefined ? 1.7 : 0,
      dash,
      fill: bar === undefined ? undefined : mark,
      paths: bar === undefined ? undefined : uPlot.paths.bars({ size: bar ? [0.45, 40] : [1, Infinity], align: bar }),
      points: bar === undefined ? { size: 5, fill: mark, filter: alone } : { show: false },
    }))],
    hooks: {
      drawClear: x ? [] : [background(present, labels)],
      setSelect: [(plot) => {
        if (plot.select.width < 4) return;
        const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((left) => plot.posToIdx(left));
        plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        if (from < to) choose({ from: state.from + from, to: state.from + to });
      }],
    },
  };
  const plot = new uPlot(options, [x ? x.values : range().map((i) => noon[i]), ...present.map(({ values, drawn }) => drawn ?? values)], plotted);
  if (!x) plot.over.addEventListener("dblclick", () => choose({ from: 0, to: days.length - 1 }));
  plots.push(plot);
}

function limits(low, high, { zero, floor, top }) {
  if (low === null) return [0, 1];
  const [least, most] = zero ? [Math.min(low, 0), Math.max(high, 0)] : [low, high];
  const margin = (most - least || Math.abs(most) || 1) * 0.08;
  return [floor ?? (zero && least === 0 ? 0 : least - margin), top ?? most + margin];
}

function spoken(heading, series, days_) {
  const parts = series.map(({ label, values, format }) => {
    const all = known(values);
    const say = format ?? String;
    return `${label} from ${say(all[0])} to ${say(all.at(-1))}, lowest ${say(Math.min(...all))}, highest ${say(Math.max(...all))}`;
  });
  const kind = data.synthetic ? " (synthetic data)" : "";
  return `${heading}${kind}, ${days_[0]} to ${days_.at(-1)}: ${parts.join("; ") || "no data"}.`;
}

/** Shares of a whole by venue, one above the other: the named venues and the others as one. */
function shares(host, heading, note, name) {
  const venues = Object.keys(data.venues);
  const others = venues.filter((venue) => !NAMED.includes(venue));
  const groups = [...NAMED.filter((venue) => venues.includes(venue)).map((venue) => [venue, colourName(venue), [venue]]),
    ...(others.length ? [[`other (${others.length})`, "--venue-other", others]] : [])];
  let below = range().map(() => 0);
  const series = groups.map(([label, mark, members]) => {
    const values = range().map((i) => sum(members.map((venue) => at(data.venues[venue], name, i))));
    below = below.map((value, n) => value + (values[n] ?? 0));
    return { label, colour: colour(mark), values, drawn: below.map((value, n) => (values[n] === null ? null : value)), bar: 0 };
  });
  figure(host, heading, note, series.reverse(), { format: percent, floor: 0, top: 1 });
}

/* Tables. A cell has its raw value in `data-v`: sorting and CSV read it. */

/** `columns`: head, value (raw, of a row), text (its form), and perhaps `words` (a text column), `long` (of sentences), `cell` (fills the cell), `help`. */
function table(host, name, columns, rows, { caption = "" } = {}) {
  const head = make("tr", {}, ...columns.map(({ head, words, help }) =>
    make("th", { className: words ? "" : "n", attrs: { scope: "col", ...(help ? { title: help } : {}) } }, head)));
  const body = rows.map((row) => make("tr", row.attrs ? { attrs: row.attrs } : {}, ...columns.map(({ value, text = or(String), words, long, cell, trust }, n) => {
    const raw = value(row);
    const td = make(n ? "td" : "th", { className: long ? "text" : words ? "d" : "n", attrs: { "data-v": raw ?? "", ...(n ? {} : { scope: "row" }) } });
    if (cell) cell(td, row);
    else td.append(text(raw));
    if (trust) mark(td, trust(row));
    return td;
  })));
  const element = make("table", { attrs: { "data-name": name } }, make("caption", { hidden: !caption }, caption), make("thead", {}, head), make("tbody", {}, ...body));
  host.append(make("div", { className: "scroll", tabIndex: 0 }, element));
  ask(element);
}

/** Beside a number, a sign of the class that its column of trust begins with; why is its tooltip. None: it is whole, or unknown. */
const SIGNS = { part: "*", estimated: "≈", "lower bound": "≥", suspect: "?" };
function mark(td, trust) {
  const sign = SIGNS[(trust ?? "").split(":")[0]];
  if (!sign) return;
  td.append(make("sup", { className: "sign" }, sign));
  td.title = trust;
}

/** Gives a table sorting by its heads, a filter where it is long, and a CSV button. */
function ask(element) {
  const { name } = element.dataset;
  const heads = [...element.tHead.rows[0].cells];
  heads.forEach((head, n) => {
    const button = make("button", { type: "button", onclick: () => sort(element, n) }, ...head.childNodes);
    head.replaceChildren(button);
  });
  const tools = make("div", { className: "tools" });
  if (element.tBodies[0].rows.length > 15)
    tools.append(make("input", { type: "search", placeholder: "filter rows", attrs: { "aria-label": `filter ${name}` }, oninput: ({ target }) => {
      for (const rows of together(element)) {
        const isFound = rows.some((row) => row.textContent.toLowerCase().includes(target.value.toLowerCase()));
        for (const row of rows) row.hidden = !isFound;
      }
    } }));
  const value = (cell) => cell.dataset.v ?? cell.textContent.trim();
  tools.append(csvButton(name, () => [...element.rows].filter((row) => !row.matches("[hidden], .said, .elsewhere")).map((row) => [...row.cells].map(value))));
  element.parentElement.before(tools);
  if (sorted.has(name)) sort(element, ...sorted.get(name));
}

/** The rows of a table, each with the sentence under it (`said`). */
function together(element) {
  const groups = [];
  for (const row of element.tBodies[0].rows) row.classList.contains("said") ? groups.at(-1).push(row) : groups.push([row]);
  return groups;
}

function sort(element, n, direction = null) {
  const head = element.tHead.rows[0].cells[n];
  const isNumber = head.classList.contains("n");
  const now = direction ?? (head.ariaSort === "descending" || (!head.ariaSort && !isNumber) ? "ascending" : "descending");
  for (const other of element.tHead.rows[0].cells) other.ariaSort = null;
  head.ariaSort = now;
  sorted.set(element.dataset.name, [n, now]);
  const raw = (row) => row.cells[n].dataset.v ?? row.cells[n].textContent.trim();
  const less = (a, b) => (isNumber ? a - b : a.localeCompare(b)) * (now === "ascending" ? 1 : -1);
  const absent = (text) => text === "" || text === "–";
  const groups = together(element).sort(([a], [b]) => absent(raw(a)) - absent(raw(b)) || (absent(raw(a)) ? 0 : less(raw(a), raw(b))));
  element.tBodies[0].append(...groups.flat());
}

function csvButton(name, rows) {
  return make("button", { type: "button", className: "csv", attrs: { "aria-label": `${name} as CSV` }, onclick: () => {
    const [head, ...others] = rows();
    const lines = [[...head, "origin"], ...others.map((row) => [...row, data.origin])];
    const file = new Blob([lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
    const link = make("a", { href: URL.createObjectURL(file), download: `perplake ${data.origin} ${name} ${days[state.from]} ${days[state.to]}.csv`.replace(/[^\w.-]+/g, "-") });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } }, "CSV");
}
/** A value of a CSV; a text that a spreadsheet would take for a formula gets an apostrophe. */
const quoted = (value) => {
  const text = String(value ?? "");
  const safe = /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

/* Views. */

const words = (head, value, cell) => ({ head, value, words: true, cell, text: (text) => text || "–" });
const largest = (rows, value) => rows.sort((a, b) => (value(b) ?? -1) - (value(a) ?? -1));
const venueColumn = words("Venue", ({ venue }) => venue, (td, { venue }) => {
  td.append(swatch(venue), venue);
  td.title = data.venue_names[venue]?.title ?? venue;
});
const trusted = (table, name, i) => {
  const trust = word(table, `${name}_trust`, i);
  return trust && make("span", { className: `trust ${trust === "whole" ? "" : "doubt"}` }, `trust: ${trust}`);
};
const tile = (head, value, ...notes) => make("div", { className: "tile" }, make("dt", {}, head), make("dd", {}, value), ...known(notes).map((note) => make("dd", { className: "note" }, note)));

/** Liquidations of the day: complete lists and lower bounds are never added. */
function liquidationTiles(table_, i, trust) {
  const part = (kind) => ["long_usd", "short_usd", "venues"].map((name) => at(table_, `${kind}_${name}`, i));
  const said = ([long, short, venues], heading, prefix, trust = null) => tile(heading, long === null && short === null ? "–" : prefix + usd((long ?? 0) + (short ?? 0)),
    venues ? `longs ${usd(long)}, shorts ${usd(short)} · ${venues} of ${at(table_, "venues_total", i)} venues` : "no venue with such a list", trust);
  return [said(part("complete"), "Liquidations, complete lists", "", trust), said(part("lower_bound"), "Liquidations, other lists", "at least ")];
}
function headline(table_, liquidations, i) {
  const known_ = at(table_, "funding_weight_known", i);
  return [
    tile("Volume, USD", usd(at(table_, "volume_usd", i)), `${change(growth(at(table_, "volume_usd_chained", i), at(table_, "volume_usd_chained", i - 1)))} in a day, same venues`, trusted(table_, "volume", i)),
    tile("Open interest, USD", usd(at(table_, "oi_usd", i)), `${change(growth(at(table_, "oi_usd_chained", i), at(table_, "oi_usd_chained", i - 1)))} in a day, same venues`, trusted(table_, "oi", i)),
    tile("Funding per 8 hours", rate(at(table_, "funding_8h", i)), `${change(yearly(at(table_, "funding_8h", i)))} a year`, known_ === null ? null : `weighted; ${percent(known_)} of the weights are open interest`, trusted(table_, "funding", i)),
    ...liquidationTiles(liquidations, i, trusted(table_, "liquidations", i)),
  ];
}
const classes = { 1: "complete", 0: "lower bound" };
const regimeCell = (td, label) => td.append(...(label ? [make("i", { className: "swatch", attrs: { style: `background: ${data.regimes[label].colour}` } }), data.regimes[label].title] : ["–"]));

function market() {
  const i = state.to;
  $("market-day").textContent = days[i];
  const prices = assets.slice(0, 2).map((asset) => tile(asset, price(at(data.assets[asset], "close", i)), `${change(at(data.assets[asset], "return_1d", i))} in a day`, trusted(data.assets[asset], "price", i)));
  $("market-tiles").replaceChildren(...prices, ...headline(data.market, data.market, i));

  table($("market-assets"), "assets", [
    words("Asset", ({ asset }) => asset, (td, { asset }) => td.append(make("a", { href: address({ view: "asset", asset }) }, asset))),
    { head: "Price", value: ({ t }) => at(t, "close", i), text: price, trust: ({ t }) => word(t, "price_trust", i) },
    { head: "Change", value: ({ t }) => at(t, "return_1d", i), text: change },
    { head: "Volume, USD", value: ({ t }) => at(t, "volume_usd", i), text: usd, trust: ({ t }) => word(t, "volume_trust", i) },
    { head: "Open interest, USD", value: ({ t }) => at(t, "oi_usd", i), text: usd, trust: ({ t }) => word(t, "oi_trust", i) },
    { head: "its change", value: ({ t }) => at(t, "oi_change_1d", i), text: change, help: "in contracts, over the instruments known on both days" },
    { head: "Funding per 8 h", value: ({ t }) => at(t, "funding_8h", i), text: rate, help: "weighted by open interest", trust: ({ t }) => word(t, "funding_trust", i) },
    { head: "a year", value: ({ t }) => yearly(at(t, "funding_8h", i)), text: change },
    { head: "Liquidated, complete lists", value: ({ l }) => sum([at(l, "complete_long_usd", i), at(l, "complete_short_usd", i)]), text: usd, help: "longs and shorts, USD, over the venues with complete lists" },
    { head: "at least, other lists", value: ({ l }) => sum([at(l, "lower_bound_long_usd", i), at(l, "lower_bound_short_usd", i)]), text: usd, help: "longs and shorts, USD, over the venues with sampled or undocumented lists: a lower bound" },
    words("Regime", ({ label }) => label ?? "", (td, { label }) => regimeCell(td, label)),
  ], assets.map((asset) => ({ asset, t: data.assets[asset], l: data.liquidations[asset], label: word(data.labels[asset], "label", i) })));

  table($("market-venues"), "venues", [
    venueColumn,
    words("Kind", ({ venue }) => data.venue_names[venue]?.kind ?? ""),
    { head: "Volume, USD", value: ({ t }) => at(t, "volume_usd", i), text: usd, trust: ({ t }) => word(t, "volume_trust", i) },
    { head: "share", value: ({ t }) => at(t, "volume_share", i), text: percent },
    { head: "Open interest, USD", value: ({ t }) => at(t, "oi_usd", i), text: usd, trust: ({ t }) => word(t, "oi_trust", i) },
    { head: "share", value: ({ t }) => at(t, "oi_share", i), text: percent },
    { head: "Funding per 8 h", value: ({ t }) => at(t, "funding_8h", i), text: rate, trust: ({ t }) => word(t, "funding_trust", i) },
    { head: "Liquidated, USD", value: ({ venue }) => liquidated(assets, venue, i), text: usd, help: "over the assets of this page" },
    words("Its list is", ({ t }) => listed(t, i)),
    { ...words("Volume in doubt", ({ t }) => word(t, "suspect_volume_reason", i) ?? ""), long: true },
  ], largest(Object.entries(data.venues).map(([venue, t]) => ({ venue, t })).filter(({ t }) => at(t, "instruments", i) !== null), ({ t }) => at(t, "volume_usd", i)));

  const level = (name, label) => [
    { label: `${label}, same venues from day to day`, values: shown(data.market, `${name}_chained`), colour: colour("--ink") },
    { label: `${label}, all venues known that day`, values: shown(data.market, name), colour: colour("--soft-ink"), dash: [3, 3] },
  ];
  const host = $("market-figures");
  figure(host, "Open interest, USD", "One-sided, at the day’s end. The dashed line jumps where a venue’s history begins or ends; the full line doesn’t.", level("oi_usd", "open interest"), { format: usd });
  figure(host, "Volume a day, USD", "The dashed line jumps where a venue’s history begins or ends; the full line doesn’t.", level("volume_usd", "volume"), { format: usd });
  shares(host, "Share of volume by venue", "Of the venues that reported it that day. Hatched: unknown, as a large venue is absent.", "volume_share");
  shares(host, "Share of open interest by venue", "Of the venues that reported it that day. Hatched: unknown, as a large venue is absent.", "oi_share");
  figure(host, "Funding per 8 hours, weighted", "Above zero longs pay shorts.", [{ label: "funding", values: shown(data.market, "funding_8h"), colour: colour("--ink") }], { format: rate, zero: true });
  liquidationFigure(host, "Liquidations a day, USD", data.market);
  heat();
  spreads();
}

/** Liquidations of a venue, of both sides; null where none is known. */
const liquidated = (of, venue, i) => sum(of.flatMap((asset) => ["liq_long_usd", "liq_short_usd"].map((name) => at(data.cells[asset]?.[venue], name, i))));
const listed = (t, i) => (at(t, "coverage_liquidations", i) > 0.999 ? "complete" : at(t, "coverage_liquidations_listed", i) > 0 ? "a lower bound" : "not loaded");

function liquidationFigure(host, heading, table_) {
  const down = (values) => values.map((value) => (value === null ? null : -value));
  const part = (kind, side) => shown(table_, `${kind}_${side}_usd`);
  const one = (kind, side, label, mark, bar) => ({ label, values: part(kind, side), drawn: side === "long" ? down(part(kind, side)) : part(kind, side), colour: colour(mark), bar });
  figure(host, heading, "Shorts up, longs down. Complete lists and lower bounds are of different venues and are never added.", [
    one("complete", "short", "shorts, complete lists", "--short", -1), one("complete", "long", "longs, complete lists", "--long", -1),
    one("lower_bound", "short", "shorts, at least", "--short-pale", 1), one("lower_bound", "long", "longs, at least", "--long-pale", 1),
  ], { format: or((value) => usd(Math.abs(value))), zero: true });
}

/** Funding by asset and venue: the mean of the range's days. */
function heat() {
  const venues = [...new Set(assets.flatMap((asset) => Object.keys(data.cells[asset] ?? {})))].sort();
  const rows = assets.map((asset) => ({ asset, means: Object.fromEntries(venues.map((venue) => {
    const values = shown(data.cells[asset]?.[venue], "funding_8h");
    return [venue, { value: mean(values), days: known(values).length, low: Math.min(...known(values)), high: Math.max(...known(values)) }];
  })) }));
  const sizes = known(rows.flatMap(({ means }) => Object.values(means).map(({ value }) => value))).map(Math.abs).sort((a, b) => a - b);
  const full = sizes[Math.floor(sizes.length * 0.95)] || 1;
  table($("heat"), "funding by asset and venue", [
    words("Asset", ({ asset }) => asset, (td, { asset }) => td.append(make("a", { href: address({ view: "asset", asset }) }, asset))),
    ...venues.map((venue) => ({ head: venue, value: ({ means }) => means[venue].value, cell: (td, { asset, means }) => {
      const { value, days: n, low, high } = means[venue];
      td.append(value === null ? "–" : signed(value, fixed(value * 100, 4)));
      td.classList.add("heat");
      td.title = value === null ? `${asset} on ${venue}: no funding known` : `${asset} on ${venue}: ${rate(value)} per 8 h on average over ${n} days, ${rate(low)} to ${rate(high)}`;
      if (value) td.style.background = `color-mix(in srgb, var(${value > 0 ? "--long-pays" : "--short-pays"}) ${Math.round(Math.min(1, Math.abs(value) / full) * 70)}%, transparent)`;
    } })),
  ], rows);
}

/** What a long on one venue and a short on another earned by funding in the range: the days on which both are known. */
function earned(asset, long, short) {
  const [paid, got] = [long, short].map((venue) => shown(data.cells[asset]?.[venue], "funding_charged"));
  const values = got.map((value, n) => (value === null || paid[n] === null ? null : value - paid[n]));
  return { total: sum(values), days: known(values).length };
}
const pairs = (asset) => Object.keys(data.cells[asset] ?? {}).flatMap((long, _, venues) => venues.filter((short) => short !== long).map((short) => ({ long, short, ...earned(asset, long, short) })));

function spreads() {
  const i = state.to;
  const rows = assets.filter((asset) => data.spreads[asset]).map((asset) => ({ asset, s: data.spreads[asset], best: pairs(asset).filter(({ total }) => total !== null).sort((a, b) => b.total - a.total)[0] }));
  const venue = (name) => ({ s }) => word(s, name, i) ?? "";
  table($("spreads"), "funding spreads", [
    words("Asset", ({ asset }) => asset, (td, { asset }) => td.append(make("a", { href: address({ view: "asset", asset }) }, asset))),
    words("Highest on", venue("highest_funding_venue")),
    { head: "per 8 h", value: ({ s }) => at(s, "highest_funding_rate_8h", i), text: rate },
    words("Lowest on", venue("lowest_funding_venue")),
    { head: "per 8 h", value: ({ s }) => at(s, "lowest_funding_rate_8h", i), text: rate },
    { head: "Spread per 8 h", value: ({ s }) => at(s, "spread_8h", i), text: rate },
    { head: "a year", value: ({ s }) => at(s, "spread_apr", i), text: change },
    { head: "Days in a row", value: ({ s }) => at(s, "consecutive_days", i), text: count },
    { head: "Earned in the range, pair of the day before", value: ({ s }) => sum(shown(s, "known_pair_charged")), text: charge, help: "each day between the venues that had the widest spread the day before: no hindsight" },
    { head: "by the best fixed pair, in hindsight", value: ({ best }) => best?.total ?? null, text: charge, help: "the one pair of venues that earned most over the range" },
    words("Best pair", ({ best }) => (best ? `long ${best.long}, short ${best.short}` : "")),
  ], rows);
}

function asset() {
  const { asset: name, to: i } = state;
  const t = data.assets[name];
  const labels = range().map((day) => word(data.labels[name], "label", day));
  const label = labels.at(-1);
  $("asset-name").textContent = name;
  $("asset-day").textContent = days[i];
  $("asset-tiles").replaceChildren(
    tile("Price", price(at(t, "close", i)), `${change(at(t, "return_1d", i))} in a day`, `median of ${at(t, "price_venues", i) ?? 0} venues`, trusted(t, "price", i)),
    ...headline(t, data.liquidations[name], i),
    tile("Regime", label ? data.regimes[label].title : "–", label ? `confidence ${fixed(at(data.labels[name], "confidence", i), 2)}` : null, label ? data.regimes[label].meaning : null),
  );
  const host = $("asset-figures");
  const line = (text, column, mark = "--ink", more = {}) => ({ label: text, values: shown(t, column), colour: colour(mark), ...more });
  figure(host, `${name}: price`, "Daily close, median over venues. Strip and shading: the day’s regime.", [line("close", "close")], { format: price, labels, height: 260 });
  figure(host, `${name}: open interest, USD`, "One-sided. The dashed line jumps where a venue’s history begins or ends; the full line doesn’t.", [
    line("same venues from day to day", "oi_usd_chained"), line("all venues known that day", "oi_usd", "--soft-ink", { dash: [3, 3] })], { format: usd, labels });
  figure(host, `${name}: funding per 8 hours, weighted`, "Above zero longs pay shorts.", [line("funding", "funding_8h")], { format: rate, labels, zero: true });
  figure(host, `${name}: volatility of 7 days, annualised`, "By hourly closes, and by the hours’ highs and lows (Parkinson), which see moves within an hour.", [
    line("by closes", "realised_vol_7d"), line("by ranges", "range_vol_7d", "--soft-ink", { dash: [3, 3] })], { format: percent, labels, floor: 0 });
  liquidationFigure(host, `${name}: liquidations a day, USD`, data.liquidations[name]);
  figure(host, `${name}: volume a day, USD`, "The dashed line jumps where a venue’s history begins or ends; the full line doesn’t.", [
    line("same venues from day to day", "volume_usd_chained"), line("all venues known that day", "volume_usd", "--soft-ink", { dash: [3, 3] })], { format: usd, labels });
  const cells = Object.entries(data.cells[name] ?? {});
  figure(host, `${name}: funding per 8 hours by venue`, "Of each venue’s perpetual with the highest volume of the day.", cells.map(([venue, cell]) => ({ label: venue, values: shown(cell, "funding_8h"), colour: colour(colourName(venue)) })), { format: rate, zero: true, height: 260 });
  figure(host, `${name}: coverage`, "Share of the expected observations seen; what isn’t seen is missing in every number.", [
    line("price", "coverage_price"), line("funding", "coverage_funding", "--venue-gate"), line("open interest", "coverage_oi", "--venue-binance"),
    line("liquidations, complete", "coverage_liquidations", "--venue-hyperliquid"), line("liquidations, any list", "coverage_liquidations_listed", "--venue-hyperliquid", { dash: [3, 3] })], { format: percent, floor: 0, top: 1.02 });

  table($("asset-venues"), `${name} by venue`, [
    venueColumn,
    { head: "Volume, USD", value: ({ cell }) => at(cell, "volume_usd", i), text: usd },
    { head: "Open interest, USD", value: ({ cell }) => at(cell, "oi_usd", i), text: usd },
    { head: "Funding per 8 h", value: ({ cell }) => at(cell, "funding_8h", i), text: rate },
    { head: "a year", value: ({ cell }) => yearly(at(cell, "funding_8h", i)), text: change },
    { head: "Charged in the range", value: ({ cell }) => sum(shown(cell, "funding_charged")), text: charge, help: "by the funding of the days whose hours are all paid; positive: longs paid" },
    { head: "Longs liquidated, USD", value: ({ cell }) => at(cell, "liq_long_usd", i), text: usd },
    { head: "Shorts liquidated, USD", value: ({ cell }) => at(cell, "liq_short_usd", i), text: usd },
    words("Its list is", ({ cell }) => classes[at(cell, "liq_is_complete", i)] ?? ""),
  ], largest(cells.map(([venue, cell]) => ({ venue, cell })), ({ cell }) => at(cell, "volume_usd", i)));
  table($("asset-pairs"), `${name} pairs`, [
    words("Long on", ({ long }) => long), words("Short on", ({ short }) => short),
    { head: "Earned in the range", value: ({ total }) => total, text: charge },
    { head: "Days known", value: ({ days: n }) => n, text: count },
    { head: "Spread per 8 h", value: ({ spread }) => spread, text: rate, help: "of the range’s last day" },
  ], pairs(name).filter(({ total }) => total > 0).sort((a, b) => b.total - a.total).map((pair) => ({ ...pair,
    spread: difference(at(data.cells[name][pair.short], "funding_8h", i), at(data.cells[name][pair.long], "funding_8h", i)) })));
  table($("asset-regimes"), `${name} regimes`, [
    words("Day", ({ day }) => day), words("Regime", ({ label: is }) => is, (td, { label: is }) => regimeCell(td, is)),
    { head: "Confidence", value: ({ confidence }) => confidence, text: or((value) => fixed(value, 2)) },
    { ...words("Reasons, and inputs that are missing", ({ reasons }) => reasons), long: true },
  ], data.reasons[name] ?? []);
}
const difference = (a, b) => (a === null || b === null ? null : a - b);

function forecasts() {
  const name = state.asset;
  const f = data.forecasts[name] ?? {};
  const host = $("forecast-figures");
  for (const [key, { title: heading, about }] of Object.entries(host ? data.headlines : {})) {
    const flags = shown(f, `${key}_flag`);
    const values = shown(f, `${key}_probability`);
    figure(host, `${name}: ${heading.toLowerCase()}`, `Probability by day, from the past of its day alone: ${about}. Bars: days with a flag, the top tenth of the past year.`, [
      { label: "flag", values: flags.map((flag, n) => (flag ? values[n] : null)), colour: colour("--long-pale"), bar: 0 },
      { label: "probability", values, colour: colour("--ink") }], { format: percent, floor: 0 });
  }
  for (const { heading, probability, frequency, days: n } of data.calibration) {
    const most = Math.max(0.1, ...probability, ...frequency) * 1.05;
    figure(host, `Calibration: ${heading}`, `Share of days that it followed, by tenths of the probability (${count(sum(n))} days, all assets). On the thin line it is perfect.`, [
      { label: "perfect", values: probability, colour: colour("--soft-ink"), dash: [3, 3] }, { label: "share of days", values: frequency, colour: colour("--ink") }],
    { format: percent, x: { label: "mean probability", values: probability, top: most }, floor: 0, top: most });
  }
  for (const row of document.querySelectorAll("tr[data-asset]")) row.classList.toggle("elsewhere", ![name, "MARKET", "all"].includes(row.dataset.asset));
}

/* The address, the controls, drawing. */

function address(changes = {}) {
  const { view, asset: name, from, to } = { ...state, ...changes };
  const whole = from === 0 && to === days.length - 1;
  return `#${encodeURIComponent(view === "asset" ? name : view)}${whole ? "" : `/${days[from]}/${days[to]}`}`;
}
const choose = (changes) => { location.hash = address(changes); };

function read() {
  const [name, from, to] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const section = name && !VIEWS.includes(name) && !assets.includes(name) ? $(name)?.closest("[data-view]") : null;
  const day = (text, otherwise) => { const i = days.indexOf(text); return i < 0 ? otherwise : i; };
  if (assets.includes(name)) Object.assign(state, { view: "asset", asset: name });
  else state.view = section ? section.dataset.view : VIEWS.includes(name) ? name : "market";
  Object.assign(state, { from: day(from, 0), to: day(to, days.length - 1), anchor: section ? $(name) : null });
  if (state.from > state.to) Object.assign(state, { from: 0, to: days.length - 1 });
}

function draw() {
  for (const plot of plots) plot.destroy();
  plots = [];
  for (const host of document.querySelectorAll("[data-drawn]")) host.replaceChildren();
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== state.view;
  for (const link of document.querySelectorAll("[data-link]")) {
    link.href = address({ view: link.dataset.link });
    link.ariaCurrent = link.dataset.link === state.view ? "page" : null;
  }
  $("asset").value = state.asset;
  $("from").value = days[state.from];
  $("to").value = days[state.to];
  for (const button of document.querySelectorAll("[data-days]"))
    button.ariaPressed = String(state.to === days.length - 1 && state.from === (days.length - Number(button.dataset.days) || 0));
  ({ market, asset, forecasts })[state.view]?.();
}

function controls() {
  $("asset").append(...assets.map((name) => make("option", { value: name }, name)));
  $("asset").onchange = ({ target }) => (state.view === "forecasts" ? (state.asset = target.value, draw()) : choose({ view: "asset", asset: target.value }));
  for (const name of ["from", "to"]) {
    Object.assign($(name), { min: days[0], max: days.at(-1) });
    $(name).onchange = () => {
      const [from, to] = ["from", "to"].map((end) => days.indexOf($(end).value));
      if (from >= 0 && to >= from) choose({ from, to });
    };
  }
  for (const button of document.querySelectorAll("[data-days]")) {
    const first = days.length - Number(button.dataset.days);
    button.hidden = first <= 0; // false for "all", which is no number
    button.onclick = () => choose({ from: first || 0, to: days.length - 1 });
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  $("theme").onclick = () => {
    const { style } = document.documentElement;
    style.colorScheme = (style.colorScheme || (dark.matches ? "dark" : "light")) === "dark" ? "light" : "dark";
    draw();
  };
  dark.addEventListener("change", draw);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  addEventListener("hashchange", show);
}

let last = null;
function show() {
  read();
  draw();
  if (state.anchor) state.anchor.scrollIntoView();
  else if (last !== state.view + state.asset) scrollTo(0, 0);
  last = state.view + state.asset;
}

document.documentElement.classList.add("asked");
for (const section of document.querySelectorAll("[data-view]")) section.removeAttribute("id"); // or the browser scrolls to it
for (const element of document.querySelectorAll("table[data-name]")) ask(element);
controls();
show();
