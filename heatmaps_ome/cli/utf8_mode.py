"""Starts Python anew in its UTF-8 mode where the locale cannot name every file."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def use_utf8() -> None:
    """Replace this process by one in UTF-8 mode, if names of files are not UTF-8 in this locale.

    Classes and slides name files of results. In a locale such as C or de_DE.ISO-8859-1 Python could
    not write most of them, nor read results that were made elsewhere. What is printed keeps the
    locale's encoding. See PEP 540.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.name != "posix" or not sys.executable:
        return
    printed = getattr(sys.stdout or sys.stderr, "encoding", None) or "ascii"
    environment = {"PYTHONIOENCODING": printed, **os.environ}
    # An error leaves things as they are.
    with suppress(OSError):
        os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)
