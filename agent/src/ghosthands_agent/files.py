"""Files replaced by rename: a reader finds the old or the new one, even if the writer is killed or the disk is full."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .paths import Paths
from .ports import FileName, Unavailable


@dataclass(frozen=True)
class FileKind:
    """Mode and owner of a file.

    Attributes:
        mode: its permission bits, also while it is written.
        inherit_owner: whether it gets its directory's owner. The role gives the project directory to uid 1000, which is
            ec2-user on the host and the user in the containers. Root reads everything. So 0600 is enough for all three.
    """

    mode: int
    inherit_owner: bool


SECRET = FileKind(0o600, inherit_owner=True)
PLAIN = FileKind(0o644, inherit_owner=True)
PUBLIC = FileKind(0o644, inherit_owner=False)
GUARD = Path(__file__).with_name("drain_guard.ts")


def replace(path: Path, text: str, kind: FileKind) -> bool:
    """Write `text` unless the file has it; whether it was written. Missing directories are created (0755).

    Raises:
        Unavailable: it could not be written (code: the error's name, such as ENOSPC). The file is unchanged then.
    """
    call = f"write {path.name}"
    try:
        _make_folder(path.parent)
        if _is_current(path, text, kind):
            return False
        _write_and_rename(path, text.encode(), kind)
    except OSError as problem:
        raise Unavailable(call, error_name(problem)) from None
    return True


def _make_folder(folder: Path) -> None:
    """Create the directory and those above it, with their mode whatever the process's umask is."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def error_name(problem: OSError) -> str:
    """The error's short name, such as ENOSPC."""
    return errno.errorcode.get(problem.errno or 0, type(problem).__name__)


def _is_current(path: Path, text: str, kind: FileKind) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, PermissionError):
        return False
    except OSError as problem:
        if problem.errno == errno.ELOOP:  # a link is replaced, never followed
            return False
        raise
    with open(file, "rb") as there:
        found = os.fstat(file)
        owned = _owner(path.parent, kind) in (None, (found.st_uid, found.st_gid))
        as_desired = stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == kind.mode
        return owned and as_desired and there.read() == text.encode()


def _write_and_rename(path: Path, content: bytes, kind: FileKind) -> None:
    # One name for all attempts: the next writer replaces what a killed one has left.
    new = path.with_name(f".{path.name.lstrip('.')}.new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, kind.mode & 0o600)
    try:
        with open(file, "wb") as writing:
            if owner := _owner(path.parent, kind):
                os.fchown(file, *owner)
            os.fchmod(file, kind.mode)
            writing.write(content)
            writing.flush()
            os.fsync(file)
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _owner(folder: Path, kind: FileKind) -> tuple[int, int] | None:
    """User and group of the new file; None: the writer's. Only root can set others."""
    if not kind.inherit_owner or os.geteuid() != 0:
        return None
    found = folder.stat()
    return found.st_uid, found.st_gid


class ProjectFiles:
    """The files that boot writes (ports.Files)."""

    def __init__(self, paths: Paths) -> None:
        self._files: Mapping[FileName, tuple[Path, FileKind]] = {
            "environment": (paths.environment, SECRET),
            "override": (paths.override, PLAIN),
            "log_shipper": (paths.log_shipper, PLAIN),
            "next_environment": (paths.next_environment, SECRET),
            "previous_environment": (paths.previous_environment, SECRET),
        }
        self._guard = paths.worker_guard

    def write(self, name: FileName, text: str) -> bool:
        """See ports.Files."""
        path, kind = self._files[name]
        return replace(path, text, kind)

    def read(self, name: FileName) -> str | None:
        """See ports.Files."""
        path, _kind = self._files[name]
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise Unavailable(f"read {path.name}", error_name(problem)) from None
        except UnicodeError:
            raise Unavailable(f"read {path.name}", "wrong shape") from None

    def remove(self, name: FileName) -> None:
        """See ports.Files."""
        path, _kind = self._files[name]
        try:
            path.unlink(missing_ok=True)
        except OSError as problem:
            raise Unavailable(f"remove {path.name}", error_name(problem)) from None

    def install_guard(self) -> bool:
        """See ports.Files."""
        return replace(self._guard, GUARD.read_text(encoding="utf-8"), PUBLIC)
