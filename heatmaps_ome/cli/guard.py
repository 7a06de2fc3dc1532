"""Runs a command: its errors become one sentence each and an exit code, whatever the streams do."""

from __future__ import annotations

import errno
import logging
import sys
from typing import TYPE_CHECKING

from heatmaps_ome.cli.layout import for_people
from heatmaps_ome.cli.stop_signals import Stopped, stoppable
from heatmaps_ome.cli.streams import BesideBars, OneLineFormatter, guarded_streams, one_line
from heatmaps_ome.errors import HeatmapsError, OptionError
from heatmaps_ome.memory import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


def guarded(work: Callable[[], int]) -> int:
    """Return the exit code of some work; errors are printed, and no stream's failure ends it.

    A reader that closes its pipe has enough, as with ``| head``: the exit code is the work's. If
    the standard output is closed or full, something that was wanted is lost, which is a failure.

    SIGTERM and SIGHUP stop the work as Ctrl-C does: what is half written is removed.
    """
    with guarded_streams() as (out, err):
        code = _code_of(work)
        out.flush()
        if out.error is not None and out.error.errno != errno.EPIPE:
            err.write(_sentence(
                f"the standard output cannot be written ({out.error.strerror}); its text is lost, "
                "and files that were written are complete"
            ))  # fmt: skip
            code = code or 1
        return code


def log_to_stderr(*, verbose: bool) -> None:
    """Send the package's log messages to the standard error, a line each."""
    handler = BesideBars(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(levelname)s: %(message)s", sys.stderr))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("heatmaps_ome").setLevel(logging.DEBUG if verbose else logging.WARNING)


def _code_of(work: Callable[[], int]) -> int:
    """Return the exit code of some work, with its errors printed."""
    try:
        with stoppable():
            return work()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except HeatmapsError as error:
        problems = getattr(error, "problems", [error])
        sys.stderr.write("".join(map(_sentence, problems)))
        return 2 if all(isinstance(problem, OptionError) for problem in problems) else 1
    except Stopped as stop:
        sys.stderr.write(str(stop))
        return stop.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nheatmaps-ome: stopped; the same command goes on from here\n")
        return 130
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        logger.debug("the error in full", exc_info=error)
        sys.stderr.write(_sentence(_unforeseen(error)))
        return 1


def _unforeseen(error: Exception) -> str:
    """Return a sentence about an error that no other place has one for."""
    lack = out_of_memory(error)
    if lack is not None:
        return lack
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (
        f"a fault of the program: {type(error).__name__}: {error}; please report it with the lines "
        "that python -X dev -m heatmaps_ome.cli.main prints for the same command"
    )


def _sentence(problem: object) -> str:
    return f"{for_people(f'heatmaps-ome: {one_line(problem)}', sys.stderr)}\n"
