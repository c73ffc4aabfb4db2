"""Policy revisions: what may be published, and that nothing published is edited."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from segments.models import RfmPolicy
from segments.rfm.policies import publish_rfm_policy

pytestmark = pytest.mark.django_db

WHALE = {"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4}
MEDIUM = {"name": "Medium", "recency": 3, "frequency": 3, "monetary": 1}
LOW = {"name": "Low", "recency": 1, "frequency": 1, "monetary": 1}
GOOD: dict[str, Any] = {
    "recency_cuts": [30, 30, 7, 7],
    "frequency_cuts": [3, 3, 10, 10],
    "monetary_cuts": ["20", "20", "100", "100"],
    "rules": [WHALE, MEDIUM, LOW],
}


def test_revision_1_is_the_original_systems() -> None:
    policy = RfmPolicy.objects.active()
    assert policy.revision == 1
    assert {name: getattr(policy, name) for name in GOOD} == GOOD


def test_publishing_puts_a_new_revision_in_force_and_keeps_the_old() -> None:
    policy = publish_rfm_policy(**GOOD | {"rules": [WHALE, LOW]}, created_by="ann", note="fewer groups")
    assert RfmPolicy.objects.active() == policy
    activity = RfmPolicy.objects.order_by("revision").values_list("revision", "active")
    assert list(activity) == [(1, False), (policy.revision, True)]
    policy.refresh_from_db()
    assert (policy.created_by, policy.note, policy.scoring().groups) == ("ann", "fewer groups", ["Whale", "Low"])


def test_a_published_policy_is_never_edited() -> None:
    policy = RfmPolicy.objects.active()
    policy.rules = [LOW]
    with pytest.raises(ValidationError, match="RFM policy 1 is never edited"):
        policy.save()
    policy.refresh_from_db()
    assert policy.rules == GOOD["rules"]


def test_the_database_refuses_a_second_active_policy() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        RfmPolicy(**GOOD, active=True).save()


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"recency_cuts": [7, 7, 30, 30]}, "recency_cuts", "must not rise"),
        ({"frequency_cuts": [10, 3, 3, 3]}, "frequency_cuts", "must not fall"),
        ({"monetary_cuts": ["100", "20", "20", "20"]}, "monetary_cuts", "must not fall"),
        ({"monetary_cuts": ["9", "10", "100", "20"]}, "monetary_cuts", "must not fall"),
        ({"recency_cuts": [30, 30, 7]}, "recency_cuts", "Four cut points"),
        ({"recency_cuts": [31, 30, 7, 7]}, "recency_cuts", "from 0 to 30"),
        ({"recency_cuts": [30, 30, True, 0]}, "recency_cuts", "from 0 to 30"),
        ({"frequency_cuts": [0, 3, 10, 10]}, "frequency_cuts", "from 1 on"),
        ({"frequency_cuts": [1.5, 3, 10, 10]}, "frequency_cuts", "whole numbers"),
        ({"monetary_cuts": [20, 20, 100, 100]}, "monetary_cuts", "as text"),
        ({"monetary_cuts": ["1.234", "2", "3", "4"]}, "monetary_cuts", "2 places"),
        ({"monetary_cuts": ["NaN", "2", "3", "4"]}, "monetary_cuts", "as text"),
        ({"kind": "quantile"}, "recency_cuts", "leave this empty"),
        ({"kind": "magic"}, "kind", "not a valid choice"),
        ({"rules": []}, "rules", "cannot be blank"),
        ({"rules": [WHALE, MEDIUM]}, "rules", 'last rule \\("Medium"\\) must match every user'),
        ({"rules": [WHALE, LOW, MEDIUM]}, "rules", '"Medium" can never match: "Low" comes before it'),
        ({"rules": [WHALE, WHALE | {"monetary": 1}, LOW | {"name": "Whale"}]}, "rules", "more than one rule"),
        ({"rules": [WHALE | {"name": " "}, LOW]}, "rules", "Rule 1 needs a name"),
        ({"rules": [WHALE | {"name": "a\nb"}, LOW]}, "rules", "Rule 1 needs a name"),
        ({"rules": [WHALE | {"name": "x" * 65}, LOW]}, "rules", "longer than 64"),
        ({"rules": [WHALE | {"monetary": 6}, LOW]}, "rules", "Rule 1: the least monetary score"),
        ({"rules": [WHALE | {"monetary": "4"}, LOW]}, "rules", "Rule 1: the least monetary score"),
        ({"rules": [{"name": "Whale"}, LOW]}, "rules", "Rule 1 must have exactly"),
        ({"rules": "Whale"}, "rules", "A list"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_in_words(changed: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        publish_rfm_policy(**GOOD | changed)
    assert field in refused.value.message_dict
    assert RfmPolicy.objects.get().revision == 1
