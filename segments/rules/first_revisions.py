"""Revision 1 of each policy: exactly the rules of the original system."""

from typing import Any

RFM: dict[str, Any] = {
    "kind": "fixed",
    "window_days": 30,
    "negative_is_activity": True,
    "recency_cuts": [30, 30, 7, 7],
    "frequency_cuts": [3, 3, 10, 10],
    "monetary_cuts": ["20", "20", "100", "100"],
    "rules": [
        {"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4},
        {"name": "Medium", "recency": 3, "frequency": 3, "monetary": 1},
        {"name": "Low", "recency": 1, "frequency": 1, "monetary": 1},
    ],
    "note": "The original system's rules.",
}
ALWAYS = {"streak_from": 0, "streak_to": None}
RECOMMENDATION: dict[str, Any] = {
    "rules": [
        {"group": "Whale", "risk_profile": "High-Risk", "probability": "0.75", "time_window": "next 2 hours"} | ALWAYS,
        {"group": "Medium", "risk_profile": "Low-Risk", "probability": "0.50", "time_window": "next 6 hours"} | ALWAYS,
        {"group": "Low", "risk_profile": None, "probability": "0.25", "time_window": "next 24 hours"} | ALWAYS,
    ],
    "streak_step": "0.01",
    "floor": "0.05",
    "cap": "0.95",
    "default_probability": "0.10",
    "default_time_window": "any time",
    "invariants": [],
    "note": "The original system's rules.",
}
