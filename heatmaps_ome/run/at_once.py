"""Work on several items at once in threads, whose results come in the order of the items."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from threading import Thread
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
    that wants no more. A second Ctrl-C does not wait for them.

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
    done: list[Future[DoneT]] = [Future() for _ in items]
    left = deque(zip(items, done, strict=True))
    threads = [
        Thread(target=_work_off, args=(work, left), name=f"slide-{number}", daemon=True)
        for number in range(min(n, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for future in done:
            yield future.result()
    except BaseException:
        left.clear()
        stop()
        raise
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _work_off(work: Callable[[ItemT], DoneT], left: deque[tuple[ItemT, Future[DoneT]]]) -> None:
    """Do the work on one item after the other until none is left."""
    while True:
        try:
            item, future = left.popleft()
        except IndexError:
            return
        try:
            future.set_result(work(item))
        # It ends the consumer, not this thread.
        except BaseException as error:  # noqa: BLE001
            future.set_exception(error)
