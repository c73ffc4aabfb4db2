"""The peer's web application: `uvicorn tests.benchmarks.peer.app:app --workers 2`."""

import os
from typing import Annotated, Any

import redis
from confluent_kafka import Producer
from fastapi import Depends, FastAPI
from sqlalchemy.orm import Session

from tests.benchmarks.peer.models import UserAction, UserSegment, get_session
from tests.benchmarks.peer.rules import TOPIC, recommendation, streak_key
from tests.benchmarks.peer.schemas import ActionIn, ActionOut, Recommendation

app = FastAPI()
streaks = redis.Redis.from_url(os.environ["PEER_REDIS_URL"])
# Created once per worker, on import: of two producers that two threads create at once, the first would lose messages.
producer = Producer({"bootstrap.servers": os.environ["PEER_KAFKA_BROKER"], "acks": "all"})
Database = Annotated[Session, Depends(get_session)]


@app.post("/api/actions", status_code=201, response_model=ActionOut)
def create_action(action: ActionIn, session: Database) -> Any:
    """Store and publish one action."""
    row = UserAction(**action.model_dump(exclude_none=True))
    session.add(row)
    session.commit()
    session.refresh(row)
    _publish(row)
    return row


@app.post("/api/actions/list", status_code=201, response_model=list[ActionOut])
def create_actions(actions: list[ActionIn], session: Database) -> Any:
    """Store a list of actions by one commit, and publish them."""
    rows = [UserAction(**action.model_dump(exclude_none=True)) for action in actions]
    session.add_all(rows)
    session.commit()
    for row in rows:
        session.refresh(row)
        _publish(row)
    return rows


@app.get("/api/user-segments/{user_id}/recommendation", response_model=Recommendation)
def recommend(user_id: int, session: Database) -> Any:
    """Recommend by one query and one Redis GET."""
    segment = session.query(UserSegment).filter(UserSegment.user_id == user_id).first()
    group, risk = (segment.rfm_group, segment.risk_profile) if segment else ("Low", "Unknown")
    streak = int(streaks.get(streak_key(user_id)) or 0)  # type: ignore[arg-type]
    return recommendation(user_id, group, risk, streak)


def _publish(row: UserAction) -> None:
    producer.produce(TOPIC, key=str(row.user_id), value=ActionOut.model_validate(row).model_dump_json())
    producer.poll(0)
