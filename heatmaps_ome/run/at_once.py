"""Work on several items at once in threads, whose results come in the order of the items."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")


def at_once(
    work: Callable[[ItemT], DoneT], items: Sequence[ItemT], n: int, stop: Callable[[], object]
) -> Iterator[DoneT]:
    """Yield what the work on each item returns, with ``n`` items at work.

    No thread is left at the end, whatever ends this: what the work raises, Ctrl-C, or a consumer
    that wants no more.

    Parameters
    ----------
    n : int
        1: in this thread, each when its result is asked for.
    stop : callable
        Called if the rest is not wanted any more; has the work end soon.
    """
    if n == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(n, thread_name_prefix="slide") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
