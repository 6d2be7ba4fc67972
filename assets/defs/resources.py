"""What the assets of every layer share: daily partitions and the pool of the one writer."""

import dagster as dg

DAYS = dg.DailyPartitionsDefinition(start_date="2019-09-01", end_offset=1)
#: One writer at a time: the limit of this pool is set in the instance's dagster.yaml.
WAREHOUSE_POOL = "warehouse"
