"""Links that open a slide's files in web viewers of others, each given what it draws right.

Measured in 2026: hms-dbmi's Vizarr and Avivator draw no labels, so they get the picture with the
attention map burnt in; BioNGFF's fork of Vizarr draws labels, so it gets the slide with them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGINS = (
    "https://biongff.github.io",
    "https://hms-dbmi.github.io",
    "https://avivator.gehlenborglab.org",
    "https://ome.github.io",
    "https://neuroglancer-demo.appspot.com",
)
"""Pages of other makers that may read what is served; no other page on the web may."""
PERMISSION = (
    "If the browser asks whether the page may reach this device or your local network, allow it; "
    "it says “Failed to fetch” otherwise."
)
"""What Chromium demands since version 142 of pages from the web, whatever a server says."""


@dataclass(frozen=True)
class Link:
    """A link to a viewer.

    Attributes
    ----------
    title : str
        Name of the viewer.
    url : str
    note : str
        What one sees there, and what to click.
    """

    title: str
    url: str
    note: str

    def as_json(self) -> dict[str, str]:
        """Return the link as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Linker:
    """Makes links to files that are served at an address.

    Attributes
    ----------
    base_url : str
        Address of the page, ending in a slash.
    """

    base_url: str

    def links(self, manifest: Mapping[str, Any], files: str) -> list[Link]:
        """Return the links of a slide, those first that show most.

        Parameters
        ----------
        manifest : mapping
            What the slide's ``maps.json`` says.
        files : str
            Where its files are served, below the base, ending in a slash.
        """
        found = []
        image = manifest.get("image")
        flat = next((each["flat"] for each in manifest["maps"] if each.get("flat")), None)
        if image:
            source = self._quoted(files, image)
            found.append(Link(
                "Vizarr (BioNGFF)", f"https://biongff.github.io/vizarr/?source={source}",
                "slide and all maps as labels, which are off at first: turn one on with the round "
                "button under “labels”. " + PERMISSION,
            ))  # fmt: skip
        if flat:
            source = self._quoted(files, flat)
            note = "the slide with a map burnt in, as it draws no labels"
            found += [
                Link("Vizarr", f"https://hms-dbmi.github.io/vizarr/?source={source}", note),
                Link("Avivator", f"https://avivator.gehlenborglab.org/?image_url={source}", note),
            ]
        if image:
            source = self._quoted(files, image)
            found.append(Link(
                "OME-NGFF validator", f"https://ome.github.io/ome-ngff-validator/?source={source}",
                "whether the file keeps to the specification",
            ))  # fmt: skip
        return found

    def _quoted(self, files: str, name: str) -> str:
        """Return a file's absolute address, fit to stand in a query."""
        return quote(urljoin(self.base_url, f"{files}{quote(name)}"), safe="")
