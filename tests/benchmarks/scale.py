"""Sizes of a benchmark run: a full one takes half an hour, a quick one three minutes, enough to find a regression."""

import time
from dataclasses import dataclass

BEGIN = time.monotonic()


@dataclass(frozen=True)
class Scale:
    """Numbers of repetitions, seconds per load, and sizes (actions, messages, lines)."""

    repetitions: int
    seconds: int
    actions: tuple[int, ...]
    runs: int
    sampled_users: int
    messages: tuple[int, ...]
    lines: int
    servers: int
    second_peers: int
    peer_thousands: int  # repetitions of its lists of 1,000, which take half a minute each

    @property
    def is_full(self) -> bool:
        """Whether several sizes are measured, for the growth of the costs."""
        return len(self.actions) > 1


FULL = Scale(3, 6, (1_000_000, 3_000_000, 10_000_000), 3, 2_000, (10_000, 30_000, 100_000), 10_000_000, 3, 3, 3)
QUICK = Scale(2, 2, (1_000_000,), 2, 1_000, (20_000,), 200_000, 0, 0, 1)


def print_progress(text: str) -> None:
    """Print a line with the minutes and seconds since the start."""
    spent = int(time.monotonic() - BEGIN)
    print(f"{spent // 60:2d}:{spent % 60:02d}  {text}", flush=True)
