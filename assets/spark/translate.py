"""A model's SQL in DuckDB's dialect as Spark's.

    compiled SQL ──► sqlglot: columns named, typed by DuckDB's schema ──► what Spark says otherwise (`_RULES`) ──► Spark's SQL

sqlglot knows most of both dialects; here is the rest, by node of its syntax tree. `functions.sql` has the functions that Spark
lacks. Alone: `print(translated("select arg_max(a, b) from x.t", MappingSchema({"x": {"t": {"a": "BIGINT", "b": "BIGINT"}}})))`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

FUNCTIONS = [statement for statement in Path(__file__).with_name("functions.sql").read_text().split(";\n") if statement.strip()]
#: Spark has no infinite times: the ends of its calendar stand for them.
INFINITE = {"infinity": "9999-12-31", "-infinity": "0001-01-01"}
_DIALECT = "databricks"  # Spark's, with `qualify`
_MICROS = {"MILLISECOND": 10**3, "SECOND": 10**6, "MINUTE": 60 * 10**6, "HOUR": 3600 * 10**6, "DAY": 86400 * 10**6}
_Type = exp.DataType.Type
_WHOLE = {_Type.TINYINT, _Type.SMALLINT, _Type.INT, _Type.BIGINT}
_REAL = {_Type.FLOAT, _Type.DOUBLE}
_LISTS = {_Type.ARRAY, _Type.LIST}


def translated(sql: str, schema: MappingSchema, name: str = "query") -> dict[str, str]:
    """A query of DuckDB's as Spark's, by its name: over views named by `view_name`, and after those that it needs for itself.

    Those are its CTEs `as materialized`, and those that compute something which is read twice and more: Spark puts any other into
    each place that reads it, to be planned and computed there again. Raises sqlglot's errors.
    """
    tree = qualify(sqlglot.parse_one(sql, dialect="duckdb"), dialect="duckdb", schema=schema, validate_qualify_columns=False)
    tree = annotate_types(tree, schema=schema, dialect="duckdb")
    for node in reversed(list(tree.walk(bfs=False))):  # what a node is made of comes first
        for kind, rule in _RULES:
            if isinstance(node, kind):
                new = rule(node)
                if new is not node:
                    new.type = new.type or node.type
                    tree = new if node is tree else tree
                    node.replace(new)
                break
    queries = _materialized(tree, name)
    return {**queries, name: tree.sql(_DIALECT)}


#: What is computed anew wherever a CTE is read.
_WORK = (exp.Join, exp.Window, exp.AggFunc, exp.Distinct, exp.SetOperation, exp.Unnest, exp.Explode)


def _materialized(tree: Any, name: str) -> dict[str, str]:
    """Put views in the place of CTEs that are made once; the views' queries, each with the other CTEs before it."""
    queries, others = {}, []
    reads = Counter(table.name for table in tree.find_all(exp.Table))
    for cte in list(tree.ctes):
        if not cte.args.get("materialized") and not (reads[cte.alias] > 1 and cte.this.find(*_WORK)):
            others.append(cte)
            continue
        view, query = view_name(name, cte.alias), cte.this
        for table in tree.find_all(exp.Table):
            if table.name == cte.alias:
                table.set("this", exp.to_identifier(view))
        for other in others:
            query = query.with_(other.alias, as_=other.this)
        queries[view] = query.sql(_DIALECT)
        cte.pop()
    return queries


def view_name(schema: str, table: str) -> str:
    return f"{schema}__{table}"


def _spark(template: str, **parts: exp.Expr) -> exp.Expr:
    """An expression in Spark's SQL, in which `:name` is a part."""
    tree = exp.replace_placeholders(sqlglot.parse_one(template, dialect="spark"), **parts)
    return exp.paren(tree) if isinstance(tree, exp.Binary) else tree


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A call as it is written; sqlglot would take the function for DuckDB's of this name."""
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


def _is(node: exp.Expr, kinds: set[Any]) -> bool:
    return bool(node.type and node.type.is_type(*kinds))


def _table(node: exp.Table) -> exp.Expr:
    return exp.to_table(view_name(node.db, node.name)).as_(node.alias or node.name) if node.db else node


def _literal(node: exp.Literal) -> exp.Expr:
    return exp.Literal.string(INFINITE[node.name]) if node.is_string and node.name in INFINITE else node


def _text(node: exp.Expr) -> exp.Expr:
    """A value as text, as DuckDB writes it."""
    return _call("text_of", node) if _is(node, _REAL) else node


def _texts(node: exp.Expr) -> exp.Expr:
    """What makes one text of values."""
    for name, value in list(node.args.items()):
        if isinstance(value, list):
            node.set(name, [_text(part) for part in value])
        elif isinstance(value, exp.Expr):
            node.set(name, _text(value))
    return node


def _cast(node: exp.Cast) -> exp.Expr:
    inner, to = node.this, node.to
    if isinstance(inner, exp.Explode):  # a list can be cast, the rows made of it can't
        inner.set("this", exp.cast(inner.this, exp.DataType.build(f"array<{to.sql('spark')}>", dialect="spark")))
        return inner
    if to.is_type(_Type.INT128):
        return _call("whole_of", inner)
    if to.this in _REAL and any(call.name == "whole_of" for call in inner.find_all(exp.Anonymous)):
        return _call("real_of", inner)
    if to.is_type(_Type.TEXT):
        return _text(inner) if _is(inner, _REAL) else node
    if to.this in _WHOLE and _is(inner, {*_REAL, _Type.DECIMAL, _Type.UNKNOWN}):  # DuckDB rounds
        node.set("this", _call("rint", inner))
    return node


def _time(node: exp.Expr) -> exp.Expr:
    """Spark truncates to a time of the session's zone, which is UTC."""
    return exp.cast(node.copy(), _Type.TIMESTAMPNTZ)


def _moved(node: exp.Binary) -> exp.Expr:
    """A date and an interval are a time; two dates are apart by days."""
    left, right = node.this, node.expression
    if _is(left, {_Type.DATE}) and _is(right, {_Type.DATE}):
        return _call("date_diff", left, right)
    if _is(left, {_Type.DATE}) and (isinstance(right, exp.Interval) or _is(right, {_Type.INTERVAL})):
        node.set("this", exp.cast(left.copy(), _Type.TIMESTAMPNTZ))
    return node


def _apart(node: exp.DateDiff) -> exp.Expr:
    unit = exp.Literal.number(_MICROS[node.text("unit").upper()])
    return _call("bounds_between", node.expression, node.this, unit)


def _series(node: exp.GenerateSeries) -> exp.Expr:
    first, last = node.args["start"], node.args["end"]
    if step := node.args.get("step"):
        return _spark("case when :first <= :last then sequence(:first, :last, :step) end", first=first, last=last, step=step)
    return _spark("sequence(:first, :last)", first=first, last=last - 1 if node.args.get("is_end_exclusive") else last)


def _arg(node: exp.ArgMax | exp.ArgMin) -> exp.Expr:
    """DuckDB's passes over nulls of what it gives."""
    new = _call("max_by" if isinstance(node, exp.ArgMax) else "min_by", node.this, node.expression)
    known = node.this.copy().is_(exp.null()).not_()
    if isinstance(node.parent, exp.Filter):
        where = node.parent.expression
        where.set("this", exp.and_(where.this, known))
        return new
    return exp.Filter(this=new, expression=exp.Where(this=known))


def _of_list(node: exp.Expr, item: exp.Expr, template: str, of: str = "collect_list", **parts: Any) -> exp.Expr:
    """An aggregate as an expression of the list of its items, `:items`. Its filter and its window are those of the list."""
    whole, collected = node, _call(of, item)
    while isinstance(whole.parent, exp.Filter | exp.Window) and whole.arg_key == "this":
        whole = whole.parent
    if whole is node:
        return _spark(template, items=collected, **parts)
    node.replace(collected)
    whole.replace(_spark(template, items=whole.copy(), **parts))
    return node


def _ordered(node: exp.ArrayAgg | exp.First) -> exp.Expr:
    """A list in an order is a sorted list of keys and values, without the keys."""
    if not isinstance(node.this, exp.Order):
        return node
    keys = [-key.this if key.args.get("desc") else key.this for key in node.this.expressions]
    fields = [*(exp.alias_(key, f"key_{n}") for n, key in enumerate(keys)), exp.alias_(node.this.this, "value")]
    one = isinstance(node, exp.First)
    template = "try_element_at(array_sort(:items), 1).value" if one else "transform(array_sort(:items), pair -> pair.value)"
    return _of_list(node, _call("struct", *fields), template)


def _joined(node: exp.GroupConcat) -> exp.Expr:
    """Texts in their own order."""
    value = node.this.this if isinstance(node.this, exp.Order) else node.this
    of = "collect_list"
    if isinstance(value, exp.Distinct):
        value, of = value.expressions[0], "collect_set"
    return _of_list(node, value, "nullif(array_join(array_sort(:items), :gap), '')", of, gap=node.args["separator"])


def _quantile(node: exp.PercentileDisc) -> exp.Expr:
    """Spark has none over a frame."""
    if isinstance(node.parent, exp.Window):
        place = "nullif(cast(ceil(:share * size(:items)) as int), 0)"
        return _of_list(node, node.this, f"try_element_at(array_sort(:items), {place})", share=node.expression)
    order = exp.Order(expressions=[exp.Ordered(this=node.this, nulls_first=True)])
    return exp.WithinGroup(this=_call("percentile_disc", node.expression), expression=order)


def _sum(node: exp.Sum) -> exp.Expr:
    """In any order."""
    if isinstance(node.this, exp.Order):
        node.set("this", node.this.this)
    return node


def _known(node: exp.IgnoreNulls) -> exp.Expr:
    return _call("any_value", node.this.this, exp.true()) if isinstance(node.this, exp.AnyValue) else node


def _format(node: exp.Format) -> exp.Expr:
    """`{}`, `{:.3g}` and what Java's formats have, too."""
    parts: list[exp.Expr] = []
    values = iter(node.expressions)
    for piece in filter(None, re.split(r"(\{.*?\})", node.this.name)):
        if not piece.startswith("{"):
            parts.append(exp.Literal.string(piece))
        elif piece == "{}":
            parts.append(_text(next(values)))
        elif found := re.fullmatch(r"\{:\.(\d)g\}", piece):
            parts.append(_call("digits_of", next(values), exp.Literal.number(found[1])))
        else:
            parts.append(_call("format_string", exp.Literal.string(f"%{piece[2:-1]}"), next(values)))
    return _call("concat", *parts)


def _groups(node: exp.RegexpExtract) -> exp.Expr:
    """Named groups of a pattern are fields."""
    names = node.args.get("group")
    if not isinstance(names, exp.Array):
        return node
    numbered = [(exp.Literal.number(n), name.name) for n, name in enumerate(names.expressions, 1)]
    return _call("struct", *(_call("regexp_extract", node.this, node.expression, n).as_(name) for n, name in numbered))


def _replaced(node: exp.RegexpReplace) -> exp.Expr:
    """Java writes a group as `$1`, and replaces all that it finds: the pattern is of one place, or DuckDB's `g` is there."""
    node.set("replacement", exp.Literal.string(re.sub(r"\\(\d)", r"$\1", node.args["replacement"].name)))
    node.set("modifiers", None)
    return node


def _in(node: exp.In) -> exp.Expr:
    """Rows among rows are columns among columns."""
    if isinstance(node.this, exp.Tuple) and (query := node.args.get("query")):
        for select in _selects(query):
            (row,) = select.expressions
            select.set("expressions", row.unalias().expressions)
    return node


def _slice(node: exp.Bracket) -> exp.Expr:
    part = node.expressions[0]
    if isinstance(part, exp.Slice) and not part.this:
        return _call("slice", node.this, exp.Literal.number(1), part.expression)
    return node


def _selects(query: exp.Expr) -> list[Any]:
    """The queries of which a union is made."""
    if isinstance(query, exp.Union):
        return [*_selects(query.left), *_selects(query.right)]
    return _selects(query.this) if isinstance(query, exp.Subquery) else [query]


def _union(node: exp.Union) -> exp.Expr:
    """A union by name is one by place of columns in one order, null where a query lacks one."""
    if node.args.get("by_name"):
        selects = _selects(node)
        names = list(dict.fromkeys(name for select in selects for name in select.named_selects))
        for select in selects:
            columns = dict(zip(select.named_selects, select.expressions, strict=True))
            select.set("expressions", [columns[name] if name in columns else exp.null().as_(name) for name in names])
        node.set("by_name", None)
    return node


def _asof(node: exp.Join) -> exp.Expr:
    """The last row at or before a time is the one whose next is after it: a row's end is the next one's beginning."""
    if node.args.get("method") != "ASOF":
        return node
    right, conditions = node.this, list(node.args["on"].flatten())
    (after,) = [condition for condition in conditions if isinstance(condition, exp.GTE)]
    since, sides = after.expression, [side for c in conditions if isinstance(c, exp.EQ) for side in (c.this, c.expression)]
    keys = ", ".join(side.name for side in sides if side.table == right.alias)
    rows = exp.select("*", f"lead({since.name}) over (partition by {keys} order by {since.name}) as _until")
    rows = rows.from_(exp.to_table(right.name) if isinstance(right, exp.Table) else right.this.subquery("_rows"))
    ends = exp.column("_until", table=right.alias)
    node.set("method", None)
    node.set("this", rows.subquery(right.alias))
    node.set("on", exp.and_(*conditions, exp.or_(ends.is_(exp.null()), after.this.copy() < ends)))
    return node


#: DuckDB's functions that sqlglot doesn't know, of one argument, `:a`.
_CALLS = {
    "epoch_us": "micros_of(:a)",
    "isfinite": "is_finite(:a)",
    "list_sum": "aggregate(:a, 0D, (x, y) -> x + y)",
    "to_hours": "make_dt_interval(0, :a)",
    "to_microseconds": "(:a) * interval '0.000001' second",
    "to_minutes": "make_dt_interval(0, 0, :a)",
    "try_strptime": "try_to_timestamp(:a, 'yyyyMMdd')",
}


def _function(node: exp.Anonymous) -> exp.Expr:
    name, arguments = node.name.lower(), node.expressions
    if name == "product":
        return _of_list(node, arguments[0], "aggregate(:items, 1D, (x, y) -> x * y)")
    if name == "hash":  # compared within one table
        return _call("xxhash64", exp.cast(_call("struct", *arguments), "string"))
    return _spark(_CALLS[name], a=arguments[0]) if name in _CALLS else node


_RULES: list[tuple[Any, Callable[[Any], exp.Expr]]] = [
    (exp.Table, _table),
    (exp.TableColumn, lambda node: _call("struct", exp.column(exp.Star(), table=node.name))),
    (exp.Join, _asof),
    (exp.Union, _union),
    (exp.Literal, _literal),
    (exp.Cast, _cast),
    ((exp.ConcatWs, exp.DPipe), _texts),
    (exp.Format, _format),
    (exp.RegexpExtract, _groups),
    (exp.RegexpReplace, _replaced),
    ((exp.TimestampTrunc, exp.DateTrunc), _time),
    ((exp.Add, exp.Sub), _moved),
    (exp.DateDiff, _apart),
    (exp.GenerateSeries, _series),
    (exp.UnixToTime, lambda n: _spark("from_micros(:a)" if n.text("scale") == "6" else "micros_of(:a) div 1000", a=n.this)),
    (exp.TimeToUnix, lambda node: _spark("micros_of(:a) / 1000000", a=node.this)),
    ((exp.ArgMax, exp.ArgMin), _arg),
    ((exp.ArrayAgg, exp.First), _ordered),
    (exp.GroupConcat, _joined),
    (exp.Median, lambda node: _call("percentile", node.this, exp.Literal.number("0.5"))),
    (exp.PercentileCont, lambda node: _call("percentile", node.this, node.expression)),
    (exp.PercentileDisc, _quantile),
    (exp.Sum, _sum),
    (exp.IgnoreNulls, _known),
    (exp.Length, lambda node: _call("size", node.this) if _is(node.this, _LISTS) else node),
    (exp.In, _in),
    (exp.Bracket, _slice),
    # Spark's own forms of these are no expressions, and fail around a function in SQL.
    (exp.Nullif, lambda node: _spark("case when :a = :b then null else :a end", a=node.this, b=node.expression)),
    (exp.Between, lambda n: _spark("(:a >= :low and :a <= :high)", a=n.this, low=n.args["low"], high=n.args["high"])),
    (exp.Anonymous, _function),
]
