"""The report in the machine's own Chromium: opened from disk, steered, and looked at."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import numpy as np
from PIL import Image

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Report:
    """A report that is open, and what it said and asked for."""

    page: object
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, **said) -> None:
        """Show a slide by the page's address, or all of them."""
        self.page.goto(f"{self.url}#{urlencode(said)}")
        self.settle()

    def settle(self) -> None:
        """Wait until what is asked for is drawn."""
        self.page.wait_for_function("() => window.report?.ready")
        self.page.evaluate(
            """async () => {
                await new Promise((done) => setTimeout(done));
                await window.report.ready;
                await window.report.shown?.comparison.ready;
                await window.report.shown?.controls.ready;
                const frame = () => new Promise((done) => requestAnimationFrame(done));
                await frame();
                await frame();
            }"""
        )

    def slide_to(self, control: str, share: float) -> None:
        """Move a slider."""
        self.page.locator(f"#{control}").evaluate(
            """(each, share) => {
                each.value = Math.round(share * 1000);
                each.dispatchEvent(new Event("input"));
            }""",
            share,
        )
        self.settle()

    def picture(self) -> np.ndarray:
        """Return what is seen of slide and map, (rows, cols, 3) float64."""
        show = """(shown) => {
            const laid = document.querySelectorAll(
                ".zoom-buttons, .scale-bar, .readout, .map-title");
            for (const each of laid) each.style.visibility = shown ? "" : "hidden";
        }"""
        self.page.evaluate(show, False)
        # Whole pixels of the screen: a screenshot of the element is rounded by up to one.
        box = self.page.locator("#picture").bounding_box()
        left, top = float(np.ceil(box["x"])), float(np.ceil(box["y"]))
        width, height = (
            float(np.floor(box[a] + box[side]) - np.ceil(box[a]))
            for a, side in (("x", "width"), ("y", "height"))
        )
        top += self.page.evaluate("window.scrollY")
        clip = {"x": left, "y": top, "width": width, "height": height}
        shot = self.page.screenshot(clip=clip, full_page=True)
        self.page.evaluate(show, True)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), np.float64)

    def screen_from_um(self, um) -> np.ndarray:
        """Return where a place in µm, (y, x), is in `picture`, in pixels (y, x), by the page."""
        y, x = self._on_canvas(um)
        box = self.page.locator("#picture").bounding_box()
        return np.array([y - (-box["y"] % 1), x - (-box["x"] % 1)])

    def _on_canvas(self, um) -> tuple[float, float]:
        """Return where a place in µm is from the canvas's own corner on."""
        to_screen = "([x, y]) => window.report.shown.stage.view.toScreen(x, y)"
        x, y = self.page.evaluate(to_screen, [float(um[1]), float(um[0])])
        return y, x

    def point(self, um) -> list[str]:
        """Put the mouse on a place in µm, (y, x), and return what is said of it, line by line."""
        box = self.page.locator("#picture").bounding_box()
        y, x = self._on_canvas(um)
        self.page.mouse.move(box["x"] + x, box["y"] + y)
        return self.page.locator("#readout > *").all_text_contents()

    def value(self, um) -> float:
        """Return the value that is said of a place in µm."""
        return float(self.point(um)[0].split(" ")[-1].replace("\u2212", "-"))


@contextmanager
def opened(chromium, path, size=WIDE, **context):
    """Open a report from disk; demand in the end that it complained of nothing and asked nobody."""
    page = chromium.new_page(viewport=size, **context)
    page.set_default_timeout(60_000)
    found = Report(page, path.as_uri())
    page.on("console", lambda message: found.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.complaints.append(f"exception: {error}"))
    page.on("request", lambda request: found.requests.append(request.url))
    try:
        page.goto(found.url)
        found.settle()
        yield found
    finally:
        page.close()
    assert not found.complaints
    assert {url.split("#")[0] for url in found.requests if not url.startswith("data:")} == {
        found.url
    }
