"""The report in a browser, where Chromium is installed: it draws, answers, fits both widths, and loads nothing.

The page is driven by the DevTools protocol over a WebSocket on loopback.
"""

from __future__ import annotations

import asyncio
import csv
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pandas as pd
import pytest

from assets.report.page import write_report
from tests.assets.report.conftest import write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: the report's page was not opened in a browser"
)

#: A browser that says nothing for this long is a failure; it would hold up all other tests.
PATIENCE_SECONDS = 60

PROBE = """(() => {
    const width = document.documentElement.clientWidth;
    const start = (e) => e.outerHTML.slice(0, 80);
    const seen = [...document.body.querySelectorAll("*")].filter((e) => e.offsetParent !== null && !e.closest("script"));
    const texts = seen.filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
    return {
        overflow: document.documentElement.scrollWidth - width,
        wide: seen.filter((e) => !e.closest(".scroll table") && e.getBoundingClientRect().right > width + 1).map(start),
        small: texts.filter((e) => parseFloat(getComputedStyle(e).fontSize) < 11).map(start),
        plots: document.querySelectorAll("canvas").length,
        ground: getComputedStyle(document.body).backgroundColor,
    };
})()"""


class Tab:
    """A tab: `call` a command of the protocol, `run` JavaScript, `open` a page.

    What comes while an answer is waited for counts, too: `loaded` pages, `downloaded` files, and `faults`, which are exceptions
    and requests.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.number, self.loaded, self.downloaded = socket, 0, 0, 0
        self.faults: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while (message := await self.receive()).get("id") != self.number:
            self.hear(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json(timeout=PATIENCE_SECONDS)
        return message

    def hear(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message["params"]
        self.loaded += method == "Page.loadEventFired"
        self.downloaded += method == "Browser.downloadProgress" and params["state"] == "completed"
        if method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.faults.append(str(params))
        if method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(
            ("file:", "about:", "blob:", "data:")
        ):
            self.faults.append(params["request"]["url"])

    async def run(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def open(self, url: str, width: int = 1440, mode: str = "light") -> dict[str, Any]:
        """Load a page, and return what `PROBE` finds."""
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        for address in ("about:blank", url):  # another fragment alone would load nothing
            before = self.loaded
            await self.call("Page.navigate", url=address)
            while self.loaded == before:
                self.hear(await self.receive())
        found: dict[str, Any] = await self.run(PROBE)
        return found


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0",
        f"--user-data-dir={folder / 'profile'}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        # Not from its error output: a pipe that nobody reads on stops the browser once it is full.
        port = folder / "profile" / "DevToolsActivePort"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not port.exists() or not (lines := port.read_text().split()):
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{int(lines[0])}/json") as listed:
                [tab] = [tab for tab in await listed.json(content_type=None) if tab["type"] == "page"]
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                opened = Tab(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await opened.call(f"{domain}.enable")
                yield opened
    finally:
        process.kill()
        await process.wait()


@pytest.fixture(scope="module")
def page(marts: dict[str, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    path: Path = write_report(write(marts, folder / "warehouse.duckdb"), folder)["html"]
    return path


def test_the_page_draws_and_answers(page: Path, marts: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    """One browser for all, as it takes a second to start."""

    async def ask() -> None:
        async with browser(tmp_path) as tab:
            grounds = set()
            for view, plots in {"market": 6, "BTC": 8, "forecasts": 2, "coverage": 0, "claims": 0}.items():
                for width, mode in ((390, "dark"), (1440, "light")):
                    found = await tab.open(f"{page.as_uri()}#{view}", width, mode)
                    grounds.add((mode, found["ground"]))
                    assert not found["overflow"] and not found["wide"] and not found["small"], (view, width, found)
                    assert found["plots"] == plots, (view, found)
            assert len(grounds) == 2, "dark and light have each one ground"
            await numbers(tab)
            await ranges(tab)
            await downloads(tab)
            assert not tab.faults

    async def numbers(tab: Tab) -> None:
        """The first screen's numbers are the last day's rows, and a click sorts them."""
        await tab.open(f"{page.as_uri()}#market")
        tiles = await tab.run("document.getElementById('market-tiles').textContent")
        day = marts["daily_assets"].query("day == day.max()").set_index("asset")
        assert f"BTC{day['close']['BTC']:,.1f}"[:8] in tiles and "at least" in tiles and "1 of 4 venues" in tiles
        for trust in ("suspect: turnover", "part: 0.75 of hours", "estimated: 0.5", "lower bound: 0.25 of lists"):
            assert f"trust: {trust}" in tiles
        signs = await tab.run(
            "[...document.querySelector('[data-name=assets] tbody tr').cells].map((c) => [c.title, c.textContent.at(-1)])"
        )
        assert [(sign, why.split(":")[0]) for why, sign in signs if why] == [("?", "suspect"), ("*", "part"), ("≈", "estimated")]
        await tab.run("document.querySelector('[data-name=assets] thead th:nth-child(2) button').click()")
        order = await tab.run("[...document.querySelectorAll('[data-name=assets] tbody th')].map((cell) => cell.textContent)")
        assert order == day["close"].sort_values(ascending=False).index.tolist()
        cells = "[data-name='funding by asset and venue'] tbody td:nth-child(3)"
        unknown = await tab.run(f"[...document.querySelectorAll(`{cells}`)].map((cell) => cell.textContent)")
        assert unknown == ["–"] * 5, "Bybit's funding is unknown, not zero"

    async def ranges(tab: Tab) -> None:
        """An address and a drag choose days; the tooltip shows the day under the pointer."""
        await tab.open(f"{page.as_uri()}#ETH/2025-02-01/2025-02-28")
        assert await tab.run(
            "[document.getElementById('asset-name').textContent, document.getElementById('asset-day').textContent]"
        ) == ["ETH", "2025-02-28"]
        close = marts["daily_assets"].query("asset == 'ETH'").set_index("day")["close"]["2025-02-28"]
        assert f"{close:,.0f}"[:4] in await tab.run("document.getElementById('asset-tiles').textContent")
        left, top, width = await tab.run(
            "(() => { const b = document.querySelector('.u-over').getBoundingClientRect(); return [b.left, b.top, b.width]; })()"
        )
        await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + width - 1, y=top + 20)
        tip = await tab.run(
            "new Promise(requestAnimationFrame).then(() => document.querySelector('.tooltip:not([hidden])').textContent)"
        )
        assert tip.startswith("2025-02-28") and f"{close:,.0f}"[:4] in tip
        for kind, x, buttons in (("mousePressed", 0.52, 1), ("mouseMoved", 0.9, 1), ("mouseReleased", 0.9, 0)):
            await tab.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=left + width * x,
                y=top + 20,
                button="left",
                buttons=buttons,
                clickCount=1,
            )
        assert await tab.run("decodeURIComponent(location.hash)") == "#ETH/2025-02-15/2025-02-26"

    async def downloads(tab: Tab) -> None:
        """The CSV has the values of the figure, empty where unknown, and says that they are synthetic."""
        await tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path), eventsEnabled=True)
        await tab.open(f"{page.as_uri()}#BTC/2025-03-28/2025-04-03")
        await tab.run("document.querySelector('[aria-label=\"BTC: open interest, USD as CSV\"]').click()")
        while not tab.downloaded:
            tab.hear(await tab.receive())
        [file] = tmp_path.glob("perplake-synthetic-BTC-open-interest*.csv")
        rows = list(csv.DictReader(file.open()))
        level = marts["daily_assets"].query("asset == 'BTC'").set_index("day")["oi_usd"]
        assert [row["day"] for row in rows] == [f"{day:%Y-%m-%d}" for day in pd.date_range("2025-03-28", "2025-04-03")]
        for row in rows:
            value = level[pd.Timestamp(row["day"])]
            got = row["all venues known that day"]
            assert row["origin"] == "synthetic" and (
                got == "" if pd.isna(value) else float(got) == pytest.approx(value, rel=5e-6)
            )

    asyncio.run(ask())
