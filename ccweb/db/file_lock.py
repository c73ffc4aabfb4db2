"""The lock of leader election on SQLite: a file lock, which a suspended holder keeps."""

import fcntl
import os
import tempfile
from pathlib import Path
from weakref import WeakSet

from django.db import connection


class FileLock:
    """A lock file beside the SQLite database, or in the temporary folder for an in-memory database."""

    def __init__(self, name: str) -> None:
        database = Path(str(connection.settings_dict["NAME"]))
        in_memory = "memory" in database.name
        self.path = (
            Path(tempfile.gettempdir(), f"ccweb-{os.getpid()}.{name}.lock")
            if in_memory
            else database.with_name(f"{database.name}.{name}.lock")
        )
        self._file: int | None = None
        _file_locks.add(self)

    def hold(self) -> bool:
        if self._file is not None:
            return True
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Close the file. The lock stays while another process, parent or child, has the inherited descriptor open."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


_file_locks: WeakSet[FileLock] = WeakSet()


def _forget_inherited() -> None:
    for lock in list(_file_locks):
        lock.release()


os.register_at_fork(after_in_child=_forget_inherited)
