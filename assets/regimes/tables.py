"""All tables that the regime steps publish, by name: the schema of each has its columns' and its own description.

The steps that write the tables read the descriptions here (`TABLES[name].description`, `TABLES[name].columns[c].description`),
and so does the generated documentation.

Alone: ``python -c "from assets.regimes.tables import TABLES; print(*TABLES)"``.
"""

from assets.regimes.audit import CHANGES
from assets.regimes.forecasts.schemas import EVENTS, FORECASTS, SCORECARD
from assets.regimes.last_day import LAST_DAY
from assets.regimes.posture import POSTURE
from assets.regimes.schemas import FEATURES, LABELS
from assets.regimes.signals import SIGNALS

SCHEMAS = (FEATURES, LABELS, POSTURE, FORECASTS, EVENTS, SCORECARD, CHANGES, SIGNALS, LAST_DAY)
TABLES = {schema.name: schema for schema in SCHEMAS}
