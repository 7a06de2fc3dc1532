"""The kinds of artefacts, apart from their measures so that options know them without numpy."""

from typing import Final

KINDS: Final = ("pen", "dark", "blurred", "empty")
"""Kind k is number k + 1 in maps of artefacts; 0 is none."""
