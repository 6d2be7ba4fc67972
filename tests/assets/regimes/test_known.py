"""When a day was known, by the rows that are of it."""

from datetime import date, datetime

import duckdb
import pandas as pd

from assets.regimes.known import FACTS, known_at

#: The facts, without rows.
NO_FACTS = "".join(
    f"create table marts.{fact} ({time} timestamp, base_asset varchar, known_at timestamp);" for fact, (time, _) in FACTS.items()
)


def test_a_day_waits_for_its_own_rows_and_no_others() -> None:
    day, before = date(2025, 10, 10), date(2025, 10, 9)
    with duckdb.connect() as db:
        db.execute(f"""
            create schema marts; {NO_FACTS}
            insert into marts.fct_candles values ('2025-10-10 22:00', 'BTC', '2025-10-10 23:01'),
                ('2025-10-10 23:00', 'BTC', '2025-10-11 00:01'),
                ('2025-10-10 20:00', 'SOL', '2025-10-10 21:01'), ('2025-10-11 00:00', 'BTC', '2025-10-11 01:01');
            -- the settlement at midnight pays for the day before it
            insert into marts.fct_funding_rates values
                ('2025-10-11 00:00', 'BTC', '2025-10-11 00:02'),
                ('2025-10-10 00:00', 'BTC', '2025-10-10 00:02');
            insert into marts.fct_open_interest values ('2025-10-10 23:00', 'ETH', '2025-10-12 23:00');
            insert into marts.fct_liquidations values ('2025-10-10 21:00', null, '2026-01-01');
        """)
        frame = pd.DataFrame(
            [(day, "BTC"), (before, "BTC"), (day, "SOL"), (day, "ETH"), (day, "XRP"), (day, "MARKET")], columns=["day", "asset"]
        ).set_index(pd.Index([9, 8, 7, 6, 5, 4]))
        assert known_at(db, frame).to_dict() == {
            9: datetime(2025, 10, 11, 0, 2), 8: datetime(2025, 10, 10, 0, 2), 7: datetime(2025, 10, 11),
            6: datetime(2025, 10, 12, 23), 5: datetime(2025, 10, 11), 4: datetime(2025, 10, 12, 23),
        }  # fmt: skip
        assert known_at(db, frame, "fct_candles")[9] == datetime(2025, 10, 11, 0, 1)
