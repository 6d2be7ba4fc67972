"""The report: one HTML page that opens offline and answers questions, from the marts alone.

    DuckDB file ──► marts.Marts ──► series, regimes, claims ──► page.write_report (*.html.j2, *.js, *.css) ──► report.html

`series` reads what `report.js` draws, `regimes` and `claims` compute the values of their views.

Alone: ``write_report(Path("perplake.duckdb"), Path("out"))``.
"""
