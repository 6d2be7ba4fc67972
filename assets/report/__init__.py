"""The report: HTML pages that open offline, and a PNG of the main figure, from the marts alone.

`page.write_report` reads a DuckDB file with the schema `marts` (`marts.Marts`), `figure` draws, `*.html.j2` lay the pages out;
`regimes` and `claims` have what their pages show.
"""

from assets.report.page import write_report

__all__ = ["write_report"]
