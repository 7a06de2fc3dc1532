"""Connections of the server: a client that sends or takes nothing is dropped after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio


class PatientConnection(H11Protocol):
    """A connection that ends when its client keeps the server waiting for too long.

    A client may wait as long as it likes for an answer that takes long. Where there are too many
    connections, a new one takes the place of the one whose client has kept us waiting longest.
    """

    REQUEST_S: ClassVar = 30.0
    """Seconds in which a client must have sent a whole request."""
    STALL_S: ClassVar = 30.0
    """Seconds in which it must take some of an answer, of which 64 KiB wait at a time."""
    MOST: ClassVar = 2048
    """Connections at once: each takes up to 128 KiB."""

    _kept_waiting_since: float | None
    _timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; drop another one where there are too many."""
        super().connection_made(transport)
        self._kept_waiting_since = self.loop.time()
        self._timer = self.loop.call_later(self._patience_s / 4, self._check)
        if len(self.connections) > self.MOST:
            self._drop_one_of_others()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._timer.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what the client sent; once that is a whole request, it is our turn."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._kept_waiting_since = None

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._kept_waiting_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait until the client takes some of the answer."""
        super().pause_writing()
        self._kept_waiting_since = self.loop.time()

    def resume_writing(self) -> None:
        """Go on, as the client has taken some of the answer."""
        super().resume_writing()
        self._kept_waiting_since = None

    @property
    def _patience_s(self) -> float:
        return min(self.REQUEST_S, self.STALL_S)

    def _waited_s(self) -> float:
        """Return for how long the client has kept us waiting; 0 where it has not."""
        since = self._kept_waiting_since
        return 0.0 if since is None else self.loop.time() - since

    def _check(self) -> None:
        """Drop the client if it has kept us waiting for too long."""
        if self._waited_s() > (self.STALL_S if self.flow.write_paused else self.REQUEST_S):
            # close() would wait until the client has taken the rest.
            self.transport.abort()
        self._timer = self.loop.call_later(self._patience_s / 4, self._check)

    def _drop_one_of_others(self) -> None:
        others = [other for other in self.connections if other is not self]
        waited = [other for other in others if isinstance(other, PatientConnection)]
        longest = max(waited, key=PatientConnection._waited_s, default=None)
        if longest is not None and longest._waited_s() > 0:
            longest.transport.abort()
