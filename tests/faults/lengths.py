"""How long a fault run lasts: FAULT_MINUTES (10) is the length of the long outage and of the random mix."""

import os

MINUTES = float(os.environ.get("FAULT_MINUTES", "10"))


def scaled(full: int, least: int = 3) -> int:
    """How many times, or seconds, instead of those of a full run."""
    return max(min(full, least), round(full * min(MINUTES / 10, 1)))
