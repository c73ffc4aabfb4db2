"""A second peer: FastAPI with async handlers, async SQLAlchemy on asyncpg, and redis.asyncio.

The same model and the same steps as the peer: add, commit, refresh, produce, poll(0), which does not block.
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

import redis.asyncio
from confluent_kafka import Producer
from fastapi import Depends, FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from tests.benchmarks.peer.models import POOL_SIZE, UserAction, UserSegment
from tests.benchmarks.peer.rules import TOPIC, recommendation, streak_key
from tests.benchmarks.peer.schemas import ActionIn, ActionOut, Recommendation

app = FastAPI()
engine = create_async_engine(
    os.environ["PEER_DATABASE_URL"].replace("postgres://", "postgresql+asyncpg://"), pool_size=POOL_SIZE
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
streaks = redis.asyncio.Redis.from_url(os.environ["PEER_REDIS_URL"])
producer = Producer({"bootstrap.servers": os.environ["PEER_KAFKA_BROKER"], "acks": "all"})


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session per request."""
    async with new_session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(get_session)]


@app.post("/api/actions", status_code=201, response_model=ActionOut)
async def create_action(action: ActionIn, session: Database) -> Any:
    """Store and publish one action."""
    row = UserAction(**action.model_dump(exclude_none=True))
    session.add(row)
    await session.commit()
    await session.refresh(row)
    _publish(row)
    return row


@app.post("/api/actions/list", status_code=201, response_model=list[ActionOut])
async def create_actions(actions: list[ActionIn], session: Database) -> Any:
    """Store a list of actions by one commit, and publish them."""
    rows = [UserAction(**action.model_dump(exclude_none=True)) for action in actions]
    session.add_all(rows)
    await session.commit()
    for row in rows:
        await session.refresh(row)
        _publish(row)
    return rows


@app.get("/api/user-segments/{user_id}/recommendation", response_model=Recommendation)
async def recommend(user_id: int, session: Database) -> Any:
    """Recommend by one query and one Redis GET."""
    segment = await session.scalar(select(UserSegment).where(UserSegment.user_id == user_id))
    group, risk = (segment.rfm_group, segment.risk_profile) if segment else ("Low", "Unknown")
    return recommendation(user_id, group, risk, int(await streaks.get(streak_key(user_id)) or 0))


def _publish(row: UserAction) -> None:
    producer.produce(TOPIC, key=str(row.user_id), value=ActionOut.model_validate(row).model_dump_json())
    producer.poll(0)
