"""A pickle for tests of what must not be unpickled."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@contextmanager
def hostile_pickle(trace: Path) -> Iterator[bytes]:
    """A pickle that makes the file `trace`; at the end it is checked that nobody loaded it, and that it would have."""
    state = pickle.dumps(Touches(trace))
    yield state
    assert not trace.exists(), "the pickle was executed"
    pickle.loads(state)  # noqa: S301  our own
    assert trace.exists()
