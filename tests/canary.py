"""What an input does besides answering: code that is evaluated, files that change, processes that start.

Python tells by its audit events. What happens inside R, where no hook looks, shows in the files: every hostile input
of tests/hostile_cases.py tries to make the file that :attr:`Canary.sentinel` names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType

__all__ = ["Canary"]

PACKAGE = Path(__file__).resolve().parents[1] / "ivbridge"
#: Folders whose files Python may import, and so compile and run.
SOURCES = (str(PACKAGE), *{sys.prefix, sys.base_prefix, *(path for path in sys.path if path.endswith("packages"))})
STARTS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)
CHANGES = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "os.link", "os.symlink",
    "os.utime", "os.chflags", "os.setxattr", "shutil.rmtree", "shutil.move", "shutil.copyfile",
)  # fmt: skip
REACHES = ("socket.connect", "urllib.Request", "ftplib.connect", "ctypes.dlopen", "webbrowser.open", "sqlite3.connect")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Modules that compile the text of definitions.
DEFINING = ("dataclasses", "collections", "typing", "scipy.stats._distn_infrastructure", "inspect")
#: What travels back from the R process is pickled by ivbridge itself.
OWN_PICKLES = ("ivbridge.engines.wire", "numpy")

_watching: list[Canary] = []


class Canary:
    """Watches one folder, and this Python process.

    Parameters
    ----------
    folder : Path
        Its files must stay as they are, except in ``folder / "out"``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.sentinel = folder / "sentinel"
        self.seen: list[str] = []
        _install()

    @contextmanager
    def watch(self) -> Iterator[list[str]]:
        """What happens inside the ``with`` block, one line an event; empty if nothing does."""
        self.seen.clear()
        before = self._files()
        _watching.append(self)
        try:
            yield self.seen
        finally:
            _watching.remove(self)
            after = self._files()
            changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
            self.seen.extend(f"changed {path}" for path in changed)

    def _files(self) -> dict[str, tuple[object, ...]]:
        found: dict[str, tuple[object, ...]] = {}
        for place, folders, names in os.walk(self.folder):
            if place == str(self.out):
                folders.clear()
                continue
            for name in (*names, *folders):
                path = Path(place, name)
                facts = path.lstat()
                # when a file last changed cannot be set by hand; that of a folder says no more than the names in it
                kept = (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns) if name in names else ()
                found[str(path)] = (facts.st_mode, facts.st_ino, *kept)
        return found

    def note(self, event: str, arguments: tuple[object, ...]) -> None:
        """Keep an event that no reading of data needs."""
        kept = event in STARTS or event in REACHES
        kept |= event in CHANGES and not self._below(arguments[0])
        if kept or (event == "os.kill" and arguments[1] != 0):
            self._keep(event, arguments)
        elif event == "open":
            self._open(*arguments)
        elif event == "compile":
            source, name = arguments
            if source is not None and not _imported(name) and not _of_a_definition():
                self._keep(event, (source, name))
        elif event == "exec":
            code = arguments[0]
            if isinstance(code, CodeType) and not _imported(code.co_filename) and not _of_a_definition():
                self._keep(event, (code.co_filename, code.co_names))
        elif event == "pickle.find_class" and not str(arguments[0]).startswith(OWN_PICKLES):
            self._keep(event, arguments)

    def _open(self, path: object, mode: object, flags: object) -> None:
        written = (isinstance(flags, int) and flags & WRITES) or (isinstance(mode, str) and set(mode) & set("wax+"))
        if not written or not isinstance(path, str | bytes | os.PathLike):
            return
        if os.fsdecode(path) != os.devnull and not self._below(path):
            self._keep("open", (path, mode))

    def _below(self, path: object) -> bool:
        """Whether a path is `out` or in it."""
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return name == str(self.out) or name.startswith(str(self.out) + os.sep)

    def _keep(self, event: str, arguments: tuple[object, ...]) -> None:
        self.seen.append(f"{event} {str(arguments)[:200]}")


def _of_a_definition() -> bool:
    """Whether Python makes a class (the methods of a record, what its annotations mean), or tests/inert.py reads."""
    frame, names = sys._getframe(1), []
    while frame is not None and len(names) < 2:
        if (name := str(frame.f_globals.get("__name__"))).rpartition(".")[2] != "canary":
            names.append(name)
        frame = frame.f_back  # type: ignore[assignment]
    return names[:1] != [] and (names[0] in DEFINING or names == ["ast", "tests.inert"])


def _imported(name: object) -> bool:
    """Whether code comes from a file of a package, as it does when a module is imported."""
    text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    return text.startswith(SOURCES) or text.startswith("<frozen ")


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    for canary in _watching:
        canary.note(event, arguments)


@cache
def _install() -> None:
    """Python never forgets an audit hook: one for all canaries."""
    sys.addaudithook(_audit)
