"""Everything that talks to the outside world: fetch raw pages into landing, load them typed into `raw`.

Two steps that never mix. `fetch` asks venues and writes only landing; `load` reads landing and writes only the `raw`
schema of the warehouse. Units, signs and joins are SQL's work (`dbt_project/`); orchestration is `assets/`'s.
"""

__version__ = "0.1.0"
