"""Random users with actions at the edges of windows and batches, and with refunds."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from actions.models import UserAction

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
NEXT_BATCH = datetime(2026, 3, 11, 2, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)


def moment(rng: random.Random) -> datetime:
    """An instant of the last 31 days, often at an edge of a window or of a batch."""
    edge = rng.choice([NOW, NEXT_BATCH]) - rng.choice([7, 8, 23, 29, 30]) * DAY
    if rng.random() < 0.3:
        return edge + rng.randint(-1, 1) * MICROSECOND
    return NOW + timedelta(minutes=5) - rng.random() * 31 * DAY


def random_users(count: int, seed: int = 1) -> list[int]:
    """Users 1 to count with up to 25 actions each, refunds among them."""
    rng = random.Random(seed)
    UserAction.objects.bulk_create(
        UserAction(
            user_id=user_id,
            action_type="bet",
            value=Decimal(rng.randint(-200, 1500)) / 100,
            action_timestamp=moment(rng),
        )
        for user_id in range(1, count + 1)
        for _ in range(rng.choice([1, 3, 4, 9, 10, 11, 12, 25]))
    )
    return list(range(1, count + 1))
