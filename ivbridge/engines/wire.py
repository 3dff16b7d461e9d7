"""What travels between Python and the R process, and how: plain records, framed on a socket, with large ones in a file.

A message is one pickle whose arrays are kept out of band. Below `FILE_BYTES` it is written to the socket. From there
on it is written to an anonymous file in memory whose descriptor is sent, so the receiver maps it; the file never has a
name, so nothing is left behind whoever dies.
"""

from __future__ import annotations

import mmap
import os
import pickle  # nosec B403  # only between this process and the R process that it started
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "EXACT",
    "FILE_BYTES",
    "MANY",
    "NA_INTEGER",
    "NA_REAL",
    "SMALL",
    "Block",
    "Factor",
    "Frame",
    "Items",
    "Node",
    "Pack",
    "Request",
    "Text",
    "Times",
    "Vector",
    "pack",
    "receive",
    "send",
    "unpack",
]

#: Messages of at least this many bytes travel through a memory-mapped file.
FILE_BYTES = 1 << 20
#: R's missing integer and missing logical.
NA_INTEGER = -(2**31)
#: R's missing double: a NaN with the payload 1954.
NA_REAL: float = struct.unpack("<d", struct.pack("<Q", 0x7FF00000000007A2))[0]
#: Every whole number up to this magnitude is a double.
EXACT = 2**53
#: From this many records, or texts, on they are handled together; a vector of at most `SMALL` values is a small one.
MANY = 64
SMALL = 1 << 13

_PREFIX = struct.Struct("<cQ")
_ALIGN = 16
#: Linux writes at most 0x7FFFF000 bytes in one call; other systems a little less than 2 GiB.
_CHUNK = 1 << 30
_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class Vector:
    """An R logical, integer or double vector; ``values`` (n,) is int32 or float64 with R's own NA bits.

    ``dim`` is the shape of a matrix or array, whose values lie column by column.
    """

    kind: Literal["logical", "integer", "double"]
    values: npt.NDArray[Any]
    dim: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """An R Date (days), POSIXct (seconds) or difftime; days and seconds since the beginning of 1970, UTC.

    ``values`` (n,) is float64 with R's own NA bits; ``unit`` is the time zone of a POSIXct ("" for none), the unit of
    a difftime ("secs", "mins", "hours", "days" or "weeks"), and "" for a Date.
    """

    kind: Literal["Date", "POSIXct", "difftime"]
    values: npt.NDArray[np.float64]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """An R character vector: ``codes`` (n,) int32 from 1 into ``labels``, `NA_INTEGER` where missing."""

    codes: npt.NDArray[np.int32]
    labels: list[str]


@dataclass(frozen=True, slots=True)
class Factor:
    """An R factor: ``codes`` (n,) int32 from 1 into ``levels``, `NA_INTEGER` where missing."""

    codes: npt.NDArray[np.int32]
    levels: list[str]
    ordered: bool


@dataclass(frozen=True, slots=True)
class Items:
    """An R list; ``names`` is None for an unnamed one."""

    values: list[Node]
    names: list[str] | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _items, (pack(self.values), self.names)


@dataclass(frozen=True, slots=True)
class Frame:
    """An R data.frame with ``rows`` rows; ``row_names`` is None for automatic ones."""

    names: list[str]
    columns: list[Node]
    rows: int
    row_names: Text | Vector | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _frame, (self.names, pack(self.columns), self.rows, self.row_names)


Node: TypeAlias = Vector | Times | Text | Factor | Items | Frame | None


@dataclass(frozen=True, slots=True)
class Pack:
    """Records of which the small plain vectors are kept together by kind, since each one of them alone costs time.

    ``others`` has None in the place of a vector that is in ``blocks``: kind, places (k,), lengths (k,) and values of
    each kind.
    """

    others: list[Node]
    blocks: list[Block]


Block: TypeAlias = tuple[
    Literal["logical", "integer", "double"], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[Any]
]


def pack(nodes: list[Node]) -> Pack:
    """Put the small vectors of many records together; few are left as they are."""
    if len(nodes) < MANY:
        return Pack(nodes, [])
    by_kind: dict[Literal["logical", "integer", "double"], dict[int, npt.NDArray[Any]]] = {}
    for place, node in enumerate(nodes):
        if isinstance(node, Vector) and node.dim is None and node.values.size <= SMALL:
            by_kind.setdefault(node.kind, {})[place] = node.values
    blocks: list[Block] = []
    others = list(nodes)
    for kind, pieces in by_kind.items():
        places = np.array(list(pieces), np.int32)
        lengths = np.array([piece.size for piece in pieces.values()], np.int32)
        blocks.append((kind, places, lengths, np.concatenate(list(pieces.values()))))
        for place in pieces:
            others[place] = None
    return Pack(others, blocks)


def unpack(packed: Pack) -> list[Node]:
    """Undo `pack`; the vectors are views."""
    nodes = list(packed.others)
    for kind, places, lengths, values in packed.blocks:
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        for place, start, end in zip(places.tolist(), [0, *ends], ends, strict=False):
            nodes[place] = Vector(kind, values[start:end])
    return nodes


def _items(packed: Pack, names: list[str] | None) -> Items:
    return Items(unpack(packed), names)


def _frame(names: list[str], packed: Pack, rows: int, row_names: Text | Vector | None) -> Frame:
    return Frame(names, unpack(packed), rows, row_names)


@dataclass(frozen=True, slots=True)
class Request:
    """One call of an R function by name."""

    function: str
    arguments: dict[str, Node] = field(default_factory=dict)


def send(sock: socket.socket, message: object, directory: Path, deadline: float | None = None) -> None:
    """Write one message.

    Parameters
    ----------
    sock : socket.socket
        A connected Unix stream socket.
    message : object
        Anything picklable; contiguous arrays are not copied into the pickle.
    directory : pathlib.Path
        Where the unnamed file goes on systems without ``memfd_create``.
    deadline : float, optional
        Moment of `time.monotonic` after which `TimeoutError` is raised; default never.
    """
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    table = struct.pack(f"<{len(parts) + 1}Q", len(parts), *(part.nbytes for part in parts))
    chunks: list[memoryview | bytes] = [table, b"\0" * (-len(table) % _ALIGN)]
    for part in parts:
        chunks += [part, b"\0" * (-part.nbytes % _ALIGN)]
    total = sum(len(chunk) for chunk in chunks)
    if total < FILE_BYTES:
        _set_timeout(sock, deadline)
        sock.sendall(_PREFIX.pack(b"P", total) + b"".join(chunks))
        return
    descriptor = _unnamed_file(directory)
    try:
        for chunk in _joined(chunks):
            _write_all(descriptor, memoryview(chunk))
        _set_timeout(sock, deadline)
        socket.send_fds(sock, [_PREFIX.pack(b"F", total)], [descriptor])
    finally:
        os.close(descriptor)


def receive(sock: socket.socket, *, copy: bool, deadline: float | None = None) -> Any:
    """Read one message.

    Parameters
    ----------
    sock : socket.socket
        A connected Unix stream socket.
    copy : bool
        True gives arrays that may be changed: small ones in memory of their own, those of `FILE_BYTES` or more as
        private views of the mapped file, whose memory is free again when the last of them is gone. False leaves all
        arrays of a large message as read-only views.
    deadline : float, optional
        Moment of `time.monotonic` after which `TimeoutError` is raised; default never.

    Raises
    ------
    EOFError
        The other side closed the connection.
    """
    prefix, descriptor = _receive_prefix(sock, deadline)
    kind, total = _PREFIX.unpack(prefix)
    if kind == b"P":
        body = memoryview(_receive_exactly(sock, total, deadline))
    else:
        try:
            body = memoryview(mmap.mmap(descriptor, total, access=mmap.ACCESS_COPY if copy else mmap.ACCESS_READ))
        finally:
            os.close(descriptor)
    (count,) = struct.unpack_from("<Q", body)
    sizes = struct.unpack_from(f"<{count}Q", body, 8)
    offset = 8 * (count + 1)
    parts: list[memoryview | bytearray] = []
    for size in sizes:
        offset += -offset % _ALIGN
        part = body[offset : offset + size]
        parts.append(bytearray(part) if copy and size < FILE_BYTES else part)
        offset += size
    return pickle.loads(parts[0], buffers=parts[1:])  # nosec B301  # both ends of the socket are ivbridge's own


def _receive_prefix(sock: socket.socket, deadline: float | None) -> tuple[bytes, int]:
    _set_timeout(sock, deadline)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    start, descriptors, _, _ = socket.recv_fds(sock, _PREFIX.size, 1, flags)
    if not start:
        raise EOFError("the connection was closed")
    rest = _receive_exactly(sock, _PREFIX.size - len(start), deadline)
    return start + bytes(rest), descriptors[0] if descriptors else -1


def _receive_exactly(sock: socket.socket, size: int, deadline: float | None) -> bytearray:
    body = bytearray(size)
    view = memoryview(body)
    while view.nbytes:
        _set_timeout(sock, deadline)
        got = sock.recv_into(view)
        if not got:
            raise EOFError("the connection was closed in the middle of a message")
        view = view[got:]
    return body


def _set_timeout(sock: socket.socket, deadline: float | None) -> None:
    # A timeout of exactly 0 would mean "non-blocking", which raises another exception class.
    sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))


def _unnamed_file(directory: Path) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ivbridge", os.MFD_CLOEXEC)
    descriptor, name = tempfile.mkstemp(dir=directory)
    Path(name).unlink()
    return descriptor


def _joined(chunks: list[memoryview | bytes]) -> Iterator[memoryview | bytes]:
    """The same bytes in fewer pieces: a wide frame has a hundred thousand small ones."""
    small: list[memoryview | bytes] = []
    for chunk in chunks:
        if len(chunk) < _SMALL:
            small.append(chunk)
        else:
            yield b"".join(small)
            yield chunk
            small = []
    yield b"".join(small)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data.nbytes:
        data = data[os.write(descriptor, data[:_CHUNK]) :]
