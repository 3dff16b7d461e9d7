"""What the R process and its children print: read without waiting, in order, bounded."""

from __future__ import annotations

import os

__all__ = ["KEPT_BYTES", "Console"]

#: Of the output of one call at most this many bytes are kept, half of them from its beginning and half from its end.
KEPT_BYTES = 1 << 20
_CHUNK = 1 << 16
#: Read at one go; more than a pipe holds, so that what R had printed when it answered is read whole.
_ROUND = 1 << 20


class Console:
    """The reading end of the pipe that is a process's standard output and standard error.

    Parameters
    ----------
    descriptor : int
        The pipe; owned from now on.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.open = True
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0

    def read(self) -> None:
        """Read what is there; ``open`` is false once nobody can write any more."""
        done = 0
        while self.open and done < _ROUND:
            try:
                chunk = os.read(self.descriptor, _CHUNK)
            except BlockingIOError:
                return
            done += len(chunk)
            self.open = bool(chunk)
            self._keep(chunk)

    def take(self) -> str:
        """What was printed since the last time."""
        left_out = f"\n... {self._dropped} bytes left out ...\n".encode() if self._dropped else b""
        text = (bytes(self._head) + left_out + bytes(self._tail)).decode("utf-8", "replace")
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0
        return text

    def close(self) -> None:
        """Close the pipe."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor, self.open = -1, False

    def _keep(self, chunk: bytes) -> None:
        room = KEPT_BYTES // 2 - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        excess = len(self._tail) - KEPT_BYTES // 2
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess
