"""The venues' colours differ for the common kinds of colour blindness, and stand out from the page, in both themes.

Simulation: Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE
Transactions on Visualization and Computer Graphics 15 (2009), severity 1. Distances are in CIELAB (D65), contrast is WCAG's.
"""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from assets import report

STYLE = (Path(report.__file__).parent / "report.css").read_text()
VISION = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]])


def colours(name: str, theme: int) -> dict[str, np.ndarray]:
    """The colours of both themes whose variables begin with `name`, as linear light."""
    found = re.findall(rf"--({name}[\w-]*): light-dark\((#\w+), (#\w+)\)", STYLE)
    return {name: linear(pair[theme]) for name, *pair in found}


def linear(code: str) -> np.ndarray:
    digits = code[1:] if len(code) == 7 else "".join(digit * 2 for digit in code[1:])
    share = np.array(list(bytes.fromhex(digits))) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    ratio = XYZ @ np.clip(light, 0, 1) / XYZ.sum(axis=1)
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_venues_differ_for_every_kind_of_sight(vision: str, theme: int) -> None:
    seen = {name: lab(np.array(VISION[vision]) @ light) for name, light in colours("venue", theme).items()}
    assert len(seen) == 8
    close = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    assert min(close.values()) > 20, min(close, key=lambda pair: close[pair])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(theme: int) -> None:
    [ground] = colours("ground", theme).values()
    contrasts = {"ink": 7, "muted": 4.5, "link": 4.5, "alarm": 4.5, "amber": 4.5, "venue": 2, "long": 2, "short": 2}
    for name, least in contrasts.items():
        for each, light in colours(name, theme).items():
            if each.endswith("-pays"):  # a ground, with ink on it
                continue
            high, low = sorted((XYZ[1] @ light + 0.05, XYZ[1] @ ground + 0.05), reverse=True)
            assert high / low > least, each
