"""Policies to start from: the usual ten RFM groups, and five, with recommendation rules that name them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PresetGroup:
    """A group: what it means, its least scores, its color, and what its users are offered."""

    name: str
    meaning: str
    least: tuple[int, int, int]
    color: str
    probability: str
    time_window: str = "next 24 hours"


@dataclass(frozen=True)
class Preset:
    """A pair of policies by quintiles of a year, whose groups are in the order of their rules, best first."""

    name: str
    groups: tuple[PresetGroup, ...]

    @property
    def rfm(self) -> dict[str, Any]:
        """The content of the RFM policy."""
        dimensions = ("recency", "frequency", "monetary")
        rules = [
            {"name": g.name} | dict(zip(dimensions, g.least, strict=True)) | {"color": g.color} for g in self.groups
        ]
        return {"kind": "quantile", "window_days": 365, "negative_is_activity": False, "bins": 5, "rules": rules}

    @property
    def recommendation_rules(self) -> list[dict[str, Any]]:
        """A rule for each group, to be adapted to what a reward costs."""
        rest = {"risk_profile": None, "streak_from": 0, "streak_to": None}
        return [
            {"group": g.name, "probability": g.probability, "time_window": g.time_window} | rest for g in self.groups
        ]


TEN = Preset(
    "ten",
    (
        PresetGroup("Champions", "bought lately, often, and for much", (4, 4, 4), "#1b7837", "0.20"),
        PresetGroup("Loyal", "buy often, the last time not long ago", (3, 4, 1), "#5aae61", "0.25"),
        PresetGroup("Potential loyalists", "bought lately and more than once", (4, 2, 1), "#a6dba0", "0.35"),
        PresetGroup("New customers", "bought just now for the first time", (5, 1, 1), "#2166ac", "0.30"),
        PresetGroup("Promising", "bought once, not long ago", (4, 1, 1), "#67a9cf", "0.30"),
        PresetGroup("Need attention", "buy now and then, and are about to become rare", (3, 3, 1), "#b8860b", "0.50"),
        PresetGroup("Can't lose", "bought often and for much, but not for long", (1, 4, 4), "#b2182b", "0.75"),
        PresetGroup("At risk", "bought often, but not for long", (1, 3, 1), "#d6604d", "0.60"),
        PresetGroup("About to sleep", "bought seldom, and not lately", (2, 1, 1), "#9970ab", "0.40"),
        PresetGroup("Hibernating", "bought seldom, long ago, or never", (1, 1, 1), "#777777", "0.15"),
    ),
)
FIVE = Preset(
    "five",
    (
        PresetGroup("Best", "bought lately, often, and for much", (4, 4, 4), "#1b7837", "0.20"),
        PresetGroup("Regular", "buy now and then, the last time not long ago", (3, 3, 1), "#5aae61", "0.25"),
        PresetGroup("New", "bought lately, and seldom before", (4, 1, 1), "#2166ac", "0.35"),
        PresetGroup("At risk", "bought often, but not for long", (1, 3, 1), "#d6604d", "0.60"),
        PresetGroup("Rest", "bought seldom and long ago, or never", (1, 1, 1), "#777777", "0.15"),
    ),
)
PRESETS = {preset.name: preset for preset in (TEN, FIVE)}
