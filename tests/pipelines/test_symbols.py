"""From the listed coin to the asset behind it."""

from __future__ import annotations

import pytest

from pipelines.symbols import base_asset


@pytest.mark.parametrize(
    ("listed", "base"),
    [
        ("BTC", "BTC"), ("XBT", "BTC"), ("MATIC", "POL"), ("LUNA", "LUNA"), ("1000PEPE", "PEPE"), ("1000000MOG", "MOG"), ("1MBABYDOGE", "BABYDOGE"), ("10000LADYS", "LADYS"),  # noqa: E501
        ("100000X", "X"), ("10000000AIDOGE", "AIDOGE"), ("1KX", "X"), ("EOS", "A"),
        ("BEAMX", "BEAM"), ("SHIB1000", "SHIB"), ("kPEPE", "PEPE"), ("kSHIB", "SHIB"),
        # coins whose names only look like a multiple of another
        ("1INCH", "1INCH"), ("KAVA", "KAVA"), ("1000", "1000"), ("k", "k"), ("HYPE", "HYPE"),
    ],
)  # fmt: skip
def test_base_asset(listed: str, base: str) -> None:
    assert base_asset(listed) == base
