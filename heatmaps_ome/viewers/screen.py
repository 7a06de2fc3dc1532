"""Whether there is a screen to open windows on."""

from __future__ import annotations

import os
import sys


def has_screen() -> bool:
    """Return whether programs can open windows here."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
