"""Pydantic models of the bodies, of both FastAPI peers."""

import uuid
from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict


class ActionIn(BaseModel):
    """The request body."""

    user_id: int
    action_type: str
    value: Decimal = Decimal(0)
    action_timestamp: datetime | None = None


class ActionOut(BaseModel):
    """The response body, and the message."""

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
