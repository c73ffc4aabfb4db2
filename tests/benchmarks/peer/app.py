"""The peer's web application: `uvicorn tests.benchmarks.peer.app:app --workers 2`."""

import os
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import redis
from confluent_kafka import Producer
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from tests.benchmarks.peer.models import UserAction, UserSegment, get_session

TOPIC = "topic_peer_actions"
BASES = {
    ("Whale", "High-Risk"): (0.75, "next 2 hours"),
    ("Medium", "Low-Risk"): (0.50, "next 6 hours"),
    ("Low", None): (0.25, "next 24 hours"),
}
app = FastAPI()
streaks = redis.Redis.from_url(os.environ["PEER_REDIS_URL"])
# Created once per worker, on import: of two producers that two threads create at once, the first would lose messages.
producer = Producer({"bootstrap.servers": os.environ["PEER_KAFKA_BROKER"], "acks": "all"})
Database = Annotated[Session, Depends(get_session)]


class ActionIn(BaseModel):
    """The request body."""

    user_id: int
    action_type: str
    value: Decimal = Decimal(0)
    action_timestamp: datetime | None = None


class ActionOut(BaseModel):
    """The response body."""

    model_config = ConfigDict(from_attributes=True)

    event_id: uuid.UUID
    user_id: int
    action_type: str
    value: Decimal
    action_timestamp: datetime


class Recommendation(BaseModel):
    """The recommendation for a user."""

    user_id: int
    rfm_group: str
    risk_profile: str
    streak_count: int
    recommended_reward_probability: float
    recommended_time_window: str


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
    streak = int(streaks.get(f"user:{user_id}:streak_count") or 0)  # type: ignore[arg-type]
    base, window = BASES.get((group, risk)) or BASES.get((group, None)) or (0.10, "any time")
    return {
        "user_id": user_id,
        "rfm_group": group,
        "risk_profile": risk,
        "streak_count": streak,
        "recommended_reward_probability": round(min(max(base + 0.01 * streak, 0.05), 0.95), 4),
        "recommended_time_window": window,
    }


def _publish(row: UserAction) -> None:
    producer.produce(TOPIC, key=str(row.user_id), value=ActionOut.model_validate(row).model_dump_json())
    producer.poll(0)
