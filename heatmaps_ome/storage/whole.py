"""Link or copy files, so that a target is whole or absent."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def link(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if that is not possible.

    Raises
    ------
    OSError
        If the source does not exist, or the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        # The target may be a link to a file that must not change.
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
