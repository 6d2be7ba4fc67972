"""Extract and load: `fetch` writes venues' responses into landing, `load` decodes them into the warehouse's schema `raw`.

The two steps are separate: `fetch` writes landing alone, `load` reads landing alone. Units, signs and joins are SQL
(`dbt_project/`); orchestration is in `assets/`.
"""

__version__ = "0.1.0"
