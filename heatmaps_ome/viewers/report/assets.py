"""The report's page as one text: its modules joined, with a content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.viewers.files import viewer_files

if TYPE_CHECKING:
    from pathlib import Path

_MODULES: Final = (
    "dom.js", "numbers.js", "terms.js", "trust.js", "data.js", "painting.js", "view.js",
    "scene.js", "legend.js", "differences.js", "stage.js", "controls.js", "comparison.js",
    "saving.js", "curves.js", "tiles.js", "sections.js", "sheet.js", "pictures.js", "slide.js",
    "truth.js", "rows.js", "cohort.js", "main.js",
)  # fmt: skip
"""Every module imports only modules before it."""
_IMPORT: Final = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(async |function|const|class|let))", re.MULTILINE)
_POLICY: Final = '<meta http-equiv="Content-Security-Policy" content="{}">'


@dataclass(frozen=True)
class Page:
    """The page in two halves; the data go between them.

    Attributes
    ----------
    before, after : str
    """

    before: str
    after: str


def page(*, own_files: bool = False) -> Page:
    """Return the page, which requests nothing and runs nothing but its own script.

    Parameters
    ----------
    own_files : bool
        Whether it may show pictures that lie beside it.
    """
    folder = viewer_files() / "report"
    style = _read(folder / "style.css")
    script = joined_modules([_read(folder / name) for name in _MODULES])
    whole = _read(folder / "index.html")
    whole = whole.replace("<!-- policy -->", script_policy(style, script, own_files=own_files))
    whole = whole.replace("<!-- style -->", f"<style>{style}</style>")
    before, after = whole.split("<!-- data -->")
    return Page(
        before, after.replace("<!-- script -->", f'<script type="module">{script}</script>')
    )


def script_policy(style: str, script: str, *, own_files: bool = False) -> str:
    """Return the element by which a page requests nothing and runs nothing but one script.

    Parameters
    ----------
    own_files : bool
        Whether pictures of the page's own server or disk are allowed.
    """
    pictures = "'self' file: data: blob:" if own_files else "data: blob:"
    policy = (
        f"default-src 'none'; img-src {pictures}; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return _POLICY.format(policy)


def joined_modules(sources: list[str]) -> str:
    """Return JavaScript modules as one, in their order, without their imports and exports."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", source)) for source in sources)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a content security policy allows an inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
