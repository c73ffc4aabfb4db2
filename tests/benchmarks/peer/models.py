"""SQLAlchemy models of the tables of this project."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, DateTime, Numeric, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

# One worker serves half of the 16 connections of the load. Those beyond the default of 5 would be opened for a request.
POOL_SIZE = 16
engine = create_engine(
    os.environ["PEER_DATABASE_URL"].replace("postgres://", "postgresql+psycopg://"), pool_size=POOL_SIZE
)
new_session = sessionmaker(engine)


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The registry of the two tables."""

    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True), Decimal: Numeric(12, 2)}


class UserAction(Base):
    """user_actions"""

    __tablename__ = "user_actions"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    user_id: Mapped[int]
    action_type: Mapped[str]
    value: Mapped[Decimal]
    action_timestamp: Mapped[datetime] = mapped_column(default=now)
    received_at: Mapped[datetime] = mapped_column(default=now)


class UserSegment(Base):
    """user_segments"""

    __tablename__ = "user_segments"

    user_id: Mapped[int] = mapped_column(primary_key=True)
    rfm_group: Mapped[str]
    risk_profile: Mapped[str] = mapped_column(default="Unknown")
    recency_score: Mapped[int]
    frequency_score: Mapped[int]
    monetary_score: Mapped[int]
    frequency: Mapped[int]
    monetary: Mapped[Decimal]
    last_action_at: Mapped[datetime | None]
    last_updated: Mapped[datetime] = mapped_column(default=now, onupdate=now)


def get_session() -> Iterator[Session]:
    """A session per request."""
    with new_session() as session:
        yield session
