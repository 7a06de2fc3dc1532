"""Links that open a slide's files in other web viewers, each with a file that it draws right.

Measured in 2026: hms-dbmi's Vizarr and Avivator draw no labels, so they get the image with the
first map burnt in; BioNGFF's fork of Vizarr draws labels, so it gets the slide with them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from heatmaps_ome.display.display_map import first_map
from heatmaps_ome.exporters.flat import FLAT_ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

ORIGINS = (
    "https://biongff.github.io",
    "https://hms-dbmi.github.io",
    "https://avivator.gehlenborglab.org",
    "https://ome.github.io",
    "https://neuroglancer-demo.appspot.com",
)
"""Viewers of others that may read the served files; no other page on the web may."""
PERMISSION = (
    "If the browser asks whether the page may reach this device or your local network, allow it; "
    "otherwise it shows “Failed to fetch”."
)
"""Chromium asks the user since version 142, whatever headers the server sends."""


@dataclass(frozen=True)
class Link:
    """A link to a viewer.

    Attributes
    ----------
    title : str
        Name of the viewer.
    url : str
    note : str
        The files in view, and the buttons to click.
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
    composes : bool
        Whether pictures with a map burnt in are there although they are not stored.
    """

    base_url: str
    composes: bool = True

    def links(self, manifest: Mapping[str, Any], files: str) -> list[Link]:
        """Return the links of a slide; the viewers that show the largest part come first.

        Parameters
        ----------
        manifest : mapping
            Content of the slide's ``maps.json``.
        files : str
            Address of its files, relative to the base, ending in a slash.
        """
        links = []
        image = manifest.get("image")
        flat = _flat(manifest, composes=self.composes)
        if image:
            source = self._quoted(files, image)
            links.append(Link(
                "Vizarr (BioNGFF)", f"https://biongff.github.io/vizarr/?source={source}",
                "slide and all maps as labels, which are off at first: turn one on with the round "
                "button under “labels”. " + PERMISSION,
            ))  # fmt: skip
        if flat:
            source = self._quoted(files, flat)
            note = "the slide with a map burnt in, as it draws no labels"
            links += [
                Link("Vizarr", f"https://hms-dbmi.github.io/vizarr/?source={source}", note),
                Link("Avivator", f"https://avivator.gehlenborglab.org/?image_url={source}", note),
            ]
        if image:
            source = self._quoted(files, image)
            links.append(Link(
                "OME-NGFF validator", f"https://ome.github.io/ome-ngff-validator/?source={source}",
                "checks the file against the specification",
            ))  # fmt: skip
        return links

    def _quoted(self, files: str, name: str) -> str:
        """Return a file's absolute address, quoted for a query."""
        return quote(urljoin(self.base_url, f"{files}{quote(name)}"), safe="")


def _flat(manifest: Mapping[str, Any], *, composes: bool) -> str | None:
    """Return the name of the picture with the first map burnt in; None if there is none.

    It is stored, or composed of the image as it is asked for. Where neither can be, it is that of
    another map that is stored.
    """
    maps = manifest["maps"]
    if not composes or not manifest.get("image"):
        maps = [entry for entry in maps if entry.get("flat")]
    entry = first_map(maps, manifest["true_class"])
    if entry is None:
        return None
    return entry.get("flat") or f"{manifest['slide']['name']}.{entry['name']}{FLAT_ENDING}"
