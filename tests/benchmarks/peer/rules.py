"""What all peers share: the topic, and the rule of the recommendation."""

import os
from typing import Any

TOPIC = os.environ.get("PEER_TOPIC", "topic_peer_actions")
BASES = {
    ("Whale", "High-Risk"): (0.75, "next 2 hours"),
    ("Medium", "Low-Risk"): (0.50, "next 6 hours"),
    ("Low", None): (0.25, "next 24 hours"),
}


def streak_key(user_id: int) -> str:
    """The Redis key of a user's streak."""
    return f"user:{user_id}:streak_count"


def recommendation(user_id: int, group: str, risk: str, streak: int) -> dict[str, Any]:
    """The answer for a user: a base by group and risk, plus 0.01 a day of the streak, from 0.05 to 0.95."""
    base, window = BASES.get((group, risk)) or BASES.get((group, None)) or (0.10, "any time")
    return {
        "user_id": user_id,
        "rfm_group": group,
        "risk_profile": risk,
        "streak_count": streak,
        "recommended_reward_probability": round(min(max(base + 0.01 * streak, 0.05), 0.95), 4),
        "recommended_time_window": window,
    }
