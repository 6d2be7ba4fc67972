"""Bybit's public archive, inverse perpetuals: as the linear ones (`bybit_linear_archive`), in dollars, and out of trades alone.

`size` counts dollars, `foreignNotional` coins (published rows of BTCUSD of 2021 and 2022).
Alone: `perps fetch --mode live --venues bybit_inverse_archive --from 2024-02-01 --to 2024-02-29`.
"""

from __future__ import annotations

import re

from pipelines.sources.bybit_linear_archive import source

#: Dated ones have a letter and a year at their end (`BTCUSDZ22`).
PERPETUAL = re.compile(r"(?P<base>\w+)USD")
SOURCE = source("bybit_inverse_archive", PERPETUAL)
