"""The peer's RFM batch: one aggregate query, then for each user one SELECT and one INSERT or UPDATE."""

import json
import sys
import time
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from tests.benchmarks.peer.models import UserAction, UserSegment, new_session

WINDOW = timedelta(days=30)


def compute_rfm(session: Session, as_of: datetime, most_users: int) -> dict[str, Any]:
    """Score a sample of `most_users` active users; returns the seconds of query and loop, the users, and the groups."""
    begin = time.perf_counter()
    last, count, total = func.max(UserAction.action_timestamp), func.count(), func.sum(UserAction.value)
    query = session.query(UserAction.user_id, last, count, total)
    rows = query.filter(UserAction.action_timestamp >= as_of - WINDOW, UserAction.action_timestamp <= as_of)
    users = rows.group_by(UserAction.user_id).all()
    aggregated = time.perf_counter()
    sample = users[:: max(1, len(users) // most_users)][:most_users]
    groups = {user[0]: _score(session, as_of, *user) for user in sample}
    session.flush()
    looped = time.perf_counter()
    return {"query": aggregated - begin, "loop": looped - aggregated, "users": len(users), "groups": groups}


def _score(session: Session, as_of: datetime, user_id: int, last: datetime, frequency: int, monetary: Decimal) -> str:
    segment = session.query(UserSegment).filter(UserSegment.user_id == user_id).first()
    if segment is None:
        segment = UserSegment(user_id=user_id)
        session.add(segment)
    segment.recency_score = 5 if (as_of - last).days <= 7 else 3
    segment.frequency_score = 5 if frequency >= 10 else 3 if frequency >= 3 else 1
    segment.monetary_score = 5 if monetary >= 100 else 3 if monetary >= 20 else 1
    segment.frequency, segment.monetary, segment.last_action_at = frequency, monetary, last
    segment.rfm_group = _group(segment)
    return segment.rfm_group


def _group(segment: UserSegment) -> str:
    if segment.recency_score >= 4 and segment.frequency_score >= 4 and segment.monetary_score >= 4:
        return "Whale"
    return "Medium" if segment.recency_score >= 3 and segment.frequency_score >= 3 else "Low"


def main() -> None:
    """rfm.py AS_OF MOST_USERS: prints JSON; rolls back, so that the table is unchanged for our run."""
    with new_session() as session:
        done = compute_rfm(session, datetime.fromisoformat(sys.argv[1]), int(sys.argv[2]))
        session.rollback()
    print(json.dumps(done))


if __name__ == "__main__":
    main()
