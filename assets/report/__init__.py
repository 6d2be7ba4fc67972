"""The report: one HTML page that opens offline, and a PNG of its main figure, from the marts alone.

`page.write_report` reads a DuckDB file with the schema `marts`, `figure` draws, `template.html.j2` lays the page out.
"""

from assets.report.page import write_report

__all__ = ["write_report"]
