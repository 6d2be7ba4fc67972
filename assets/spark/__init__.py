"""Facts and marts made on a Spark cluster: the same models as in DuckDB, for more rows than one machine reprocesses.

    warehouse or lake ──► Parquet of what the models read ──► each model's SQL as Spark's ──► Parquet, `perplake.duckdb`

`translate` turns a model's compiled SQL into Spark's dialect, `rebuild` exports, runs and writes. `perps spark` is the command;
`python -m infra.spark` starts a cluster of this machine for it.
"""
