"""Demonstration data: real purchases scored day by day, visits, changes, a message in quarantine.

The data is the same at every call except for the dates, which end today.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import time_machine
from django.contrib.auth.models import Group, User
from django.db.models import F
from django.utils import timezone

from actions.csv_import.importer import import_actions
from actions.csv_import.reader import ActionReader, Columns
from actions.models import HourlyCount, OutboxMessage, UserAction
from actions.recording import record_actions
from ccweb.embedded.demo_data import refuse, shifted_sample
from segments.models import RecommendationPolicy, RfmPolicy, RfmRun, RiskProfile, UserSegment
from segments.recommendations.kill_switch import engage_kill_switch, release_kill_switch
from segments.recommendations.policies import publish_recommendation_policy
from segments.recommendations.risk_profiles import set_risk_profile
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import compute_rfm_and_update_segments
from visits.recording import record_visits

DAYS = 21
PASSWORD = "a demonstration"
ROLES = ("viewer", "analyst", "operator")
SOURCES = {"newsletter": 9, "search": 6, "tv spot": 4, "partner": 2, "app": 1}
CONTENT = ("rules", "streak_step", "floor", "cap", "default_probability", "default_time_window", "invariants")


def fill(*, today: datetime | None = None) -> None:
    """Fill the empty, migrated database; needs Redis for the streaks only."""
    now, random = today or timezone.now(), Random(7)
    hire()
    columns = Columns(user="customer_id", time="date", value="amount", action_type="purchase")
    for _ in import_actions(rows=ActionReader(shifted_sample(now.date()), columns), publish=False, report=refuse):
        pass
    decide_and_judge(now)
    visit(now, random)
    act(now, random)
    break_one()


def hire() -> None:
    """One of the staff a role, and a superuser."""
    for role in ROLES:
        user = User.objects.create_user(role, password=PASSWORD, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    User.objects.create_superuser("root", password=PASSWORD)


def decide_and_judge(now: datetime) -> None:
    """A run a day as of 02:00 UTC; a policy, risk profiles and the kill switch some days before the end."""
    this_morning = now.astimezone(UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    for days in range(DAYS, -1, -1):
        as_of = this_morning - timedelta(days=days)
        if as_of > now:
            break
        with time_machine.travel(as_of + timedelta(seconds=1)):
            compute_rfm_and_update_segments(kind=RfmRun.Kind.DAILY, as_of=as_of)
        with time_machine.travel(as_of + timedelta(hours=7)):
            DECISIONS.get(days, lambda: None)()


def generous() -> None:
    """A second RFM policy: six actions are enough for the best score."""
    policy = RfmPolicy.objects.active()
    publish_rfm_policy(
        kind=policy.kind,
        recency_cuts=policy.recency_cuts,
        frequency_cuts=[1, 2, 2, 4],
        monetary_cuts=policy.monetary_cuts,
        rules=policy.rules,
        created_by="analyst",
        note="The shop sells music: four purchases a month are many.",
    )


def cautious() -> None:
    """A second recommendation policy."""
    content: dict[str, Any] = {name: getattr(RecommendationPolicy.objects.active(), name) for name in CONTENT}
    content |= {"default_probability": Decimal("0.08")}
    publish_recommendation_policy(created_by="analyst", note="Less for all other users.", **content)


def assess() -> None:
    """Risk profiles for some."""
    best = list(UserSegment.objects.order_by("-monetary", "user_id").values_list("pk", flat=True)[:60])
    for number, profile in enumerate((RiskProfile.HIGH, RiskProfile.LOW, RiskProfile.MODERATE)):
        set_risk_profile(user_ids=best[number::4], risk_profile=profile, by="analyst")


def stop_and_go() -> None:
    """The kill switch, engaged and released."""
    engage_kill_switch(by="operator", note="Accounts are shared.", probability=Decimal("0.05"))
    release_kill_switch(by="operator")


DECISIONS = {14: generous, 9: assess, 5: cautious, 3: stop_and_go}


def visit(now: datetime, random: Random) -> None:
    """Visits of the last ten days by the users with the smallest ids."""
    users = list(UserSegment.objects.order_by("-monetary", "user_id").values_list("pk", flat=True)[:80])
    sources = random.choices(list(SOURCES), list(SOURCES.values()), k=400)
    moments = [now - timedelta(minutes=random.randrange(1, 14_400)) for _ in sources]
    record_visits(
        visits=[
            {"user_id": random.choice(users), "source": source, "visit_timestamp": at}
            for source, at in zip(sources, moments, strict=True)
        ]
    )


def act(now: datetime, random: Random) -> None:
    """Actions of today and streaks before it, and what was delivered in each hour of the last week."""
    users = list(UserSegment.objects.order_by("-monetary", "user_id").values_list("pk", flat=True)[:12])
    moments = [(user, now - timedelta(days=day, minutes=5)) for n, user in enumerate(users) for day in range(n % 5)]
    record_actions(
        actions=[
            {"user_id": user, "action_type": "bet", "value": Decimal(random.randrange(100, 2000)) / 100,
             "action_timestamp": at}
            for user, at in moments
        ]
    )  # fmt: skip
    OutboxMessage.objects.all().delete()  # as after their delivery
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for hours in range(-24 * 7, now.astimezone(UTC).hour + 1):
        at = midnight + timedelta(hours=hours)
        busy = 40 + 160 * (10 <= at.hour <= 22) + random.randrange(60)
        HourlyCount.objects.create(hour=at, actions=busy)


def break_one() -> None:
    """A message that Kafka refused for good."""
    user = UserAction.objects.order_by("id").first()
    record_actions(actions=[{"user_id": user.user_id if user else 1, "action_type": "upload"}])
    OutboxMessage.objects.update(
        quarantined_at=timezone.now(), error="MSG_SIZE_TOO_LARGE: Broker: Message size too large", key=F("key")
    )
