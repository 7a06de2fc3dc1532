"""Our page in the machine's own Chromium: opened, steered, and looked at pixel by pixel."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import numpy as np
from PIL import Image

WAIT_MS = 60_000
_NOTHING_BUT_THE_SLIDE = (
    "#hud, #navigator, #zoom-buttons, #notices, #busy { visibility: hidden !important }"
)
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Opened:
    """A page that is open, and what it said and asked for since."""

    page: object
    url: str
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def go(self, **view) -> None:
        """Show a view, by its permalink, and wait until all of it is drawn."""
        hash_ = urlencode({name: value for name, value in view.items() if value is not None})
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{hash_}")
        self.settle()

    def settle(self) -> None:
        """Wait until all that is in view is drawn."""
        self.page.wait_for_function("() => window.heatmaps", timeout=WAIT_MS)
        self.page.evaluate("() => window.heatmaps.ready")
        self.page.wait_for_function(
            """() => {
                const {viewer} = window.heatmaps, {world} = viewer;
                for (let i = 0; i < world.getItemCount(); i++)
                    if (!world.getItemAt(i).getFullyLoaded()) return false;
                return !viewer.isAnimating || !viewer.isAnimating();
            }""",
            timeout=WAIT_MS,
        )
        self.page.wait_for_timeout(300)

    def state(self) -> dict:
        """Return what the page says it shows."""
        return self.page.evaluate("() => window.heatmaps.state()")

    def picture(self) -> np.ndarray:
        """Return what is seen of slide and map, (rows, cols, 3) float64, without any controls."""
        style = self.page.add_style_tag(content=_NOTHING_BUT_THE_SLIDE)
        shot = self.page.locator("#stage").screenshot()
        style.evaluate("each => each.remove()")
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float64)

    def screen_from_um(self, um) -> np.ndarray:
        """Return where a place in µm, (y, x), is in `picture`, in pixels (y, x) by the page."""
        told = self.page.evaluate(
            """([x, y]) => {
                const at = window.heatmaps.screenFromUm(x, y);
                const box = document.querySelector("#stage").getBoundingClientRect();
                return [at.y - box.top, at.x - box.left];
            }""",
            [float(um[1]), float(um[0])],
        )
        return np.array(told)


@contextmanager
def opened(chromium, url, size=WIDE, **context):
    """Open the page, and demand in the end that it neither complained nor asked anybody else."""
    page = chromium.new_page(viewport=size, **context)
    page.set_default_timeout(WAIT_MS)
    found = Opened(page, url)

    def heard(message):
        if message.type in ("error", "warning"):
            found.complaints.append(f"{message.type}: {message.text}")

    def asked(request):
        if not request.url.startswith((url, "data:", "blob:", "about:")):
            found.strangers.append(request.url)

    page.on("console", heard)
    page.on("pageerror", lambda error: found.complaints.append(f"exception: {error}"))
    page.on("request", asked)
    try:
        yield found
    finally:
        page.close()
    assert not found.complaints
    assert not found.strangers
