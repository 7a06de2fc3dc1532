"""The slides that every reader's contract is checked with: each module here has CASES of a reader.

A reader joins by a module with a tuple CASES, which is picked up by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from reader_cases.case import ReaderCase

__all__ = ["ReaderCase", "all_cases"]


def all_cases() -> list[ReaderCase]:
    """Return the cases of all readers."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    return [case for module in modules for case in getattr(module, "CASES", ())]
