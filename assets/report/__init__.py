"""The report: HTML pages that open offline, and a PNG of the main figure, from the marts alone.

    DuckDB file ──► marts.Marts ──► figure, regimes, claims ──► page.write_report (*.html.j2) ──► HTML and PNG

`figure` draws, `regimes` and `claims` compute the values of their pages.

Alone: ``write_report(Path("perplake.duckdb"), Path("out"))``.
"""
