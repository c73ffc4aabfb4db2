"""Duration of a fault run: FAULT_MINUTES (default 10) is that of the long outage and of the random mix."""

import os

MINUTES = float(os.environ.get("FAULT_MINUTES", "10"))


def scaled(full: int, least: int = 3) -> int:
    """The number of repetitions or seconds, scaled down from the `full` one when FAULT_MINUTES is below 10."""
    return max(min(full, least), round(full * min(MINUTES / 10, 1)))
