"""The admin: pages show what the tables hold, and changes are logged."""

import csv
import json
from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from actions.models import HourlyCount, OutboxMessage, UserAction
from ccweb.events.erasure import mark_erased
from ccweb.privacy import erase_user
from segments.models import RecommendationPolicy, RfmPolicy, RfmRun, RiskChange, UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.support.api_client import get, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    return client


@pytest.fixture
def population(redis_client: redis.Redis) -> None:
    """Three users: a Whale (1), a Medium (2) and a Low (3)."""
    now = timezone.now()
    for user_id, count in ((1, 12), (2, 4), (3, 1)):
        UserAction.objects.bulk_create(
            UserAction(
                user_id=user_id, action_type="x", value=Decimal(10), action_timestamp=now - timedelta(days=1, hours=n)
            )
            for n in range(count)
        )
    compute_rfm_and_update_segments()


def page(client: Client, name: str, *arguments: object, **query: str) -> str:
    answer = client.get(reverse(f"admin:{name}", args=arguments), query)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def test_the_overview_shows_the_population_and_the_last_run(staff: Client, population: None) -> None:
    answer = staff.get(reverse("admin:index"))
    assert {row["label"]: row["count"] for row in answer.context["population"]["now"]} == {
        "Whale": 1,
        "Medium": 1,
        "Low": 1,
    }
    assert answer.context["run"].pk == RfmRun.objects.get().pk
    cells = {(row["recency"], c["frequency"]): c["users"] for row in answer.context["heat_map"] for c in row["cells"]}
    assert {place: users for place, users in cells.items() if users} == {(5, 5): 1, (5, 3): 1, (5, 1): 1}
    assert answer.context["matrix"]["rows"] == [{"from": "Low", "cells": [1, 1, 1]}]


def test_a_failed_run_is_said_with_its_error(staff: Client) -> None:
    RfmRun.objects.create(kind="daily", status="failed", error="the disk is full", started_at=timezone.now())
    text = page(staff, "index")
    assert "the disk is full" in text


def test_actions_are_counted_by_the_hour_when_they_are_delivered(staff: Client) -> None:
    post("actions", [{"user_id": 1, "action_type": "x"}] * 3)
    OutboxMessage.objects.delete_delivered(list(OutboxMessage.objects.values_list("pk", flat=True)))
    assert HourlyCount.objects.get().actions == 3
    assert not OutboxMessage.objects.exists()
    hours = staff.get(reverse("admin:index")).context["hours"]
    assert [row["count"] for row in hours if row["count"]] == [3]


@pytest.mark.parametrize("user_id", [1, 2, 3, 999])
def test_every_user_has_a_page_also_without_a_segment(staff: Client, population: None, user_id: int) -> None:
    text = page(staff, "user", user_id)
    segment = UserSegment.objects.filter(pk=user_id).first()
    assert (segment.rfm_group if segment else "No segment yet") in text


def test_the_page_of_a_user_explains_their_scores(staff: Client, population: None) -> None:
    gauges = {g["name"]: g for g in staff.get(reverse("admin:user", args=[1])).context["gauges"]}
    assert (gauges["Frequency"]["figure"], gauges["Frequency"]["score"]) == (12, 5)
    assert [point["reached"] for point in gauges["Frequency"]["points"]] == [True] * 4


@pytest.mark.parametrize(("query", "users"), [({}, 3), ({"rfm_group": "Whale"}, 1), ({"recency_score": "5"}, 3),
    ({"frequency_score": "9"}, 0), ({"leaving": "Whale"}, 0), ({"last_action": "7"}, 3), ({"last_action": "lapsed"}, 0),
    ({"q": "2"}, 1), ({"q": "abc"}, 0)])  # fmt: skip
def test_the_list_is_filtered(staff: Client, population: None, query: dict, users: int) -> None:
    answer = staff.get(reverse("admin:segments_usersegment_changelist"), query)
    assert answer.status_code == 200
    assert answer.context["cl"].result_count == users


def test_the_list_costs_the_same_queries_for_10_and_100_rows(staff: Client) -> None:
    url = reverse("admin:segments_usersegment_changelist")
    counts = []
    for rows in (10, 90):
        start = UserSegment.objects.count() + 1
        UserSegment.objects.bulk_create(UserSegment(user_id=n) for n in range(start, start + rows))
        with CaptureQueriesContext(connection) as captured:
            staff.get(url)
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_risk_profile_set_for_many_leaves_a_trace(staff: Client, population: None) -> None:
    data = {"action": "set_high", "_selected_action": ["1", "2"]}
    staff.post(reverse("admin:segments_usersegment_changelist"), data)
    assert UserSegment.objects.filter(risk_profile="High-Risk").count() == 2
    changes = RiskChange.objects.order_by("user_id").values_list("user_id", "from_profile", "to_profile", "changed_by")
    assert list(changes) == [(1, "Unknown", "High-Risk", "anna"), (2, "Unknown", "High-Risk", "anna")]
    assert LogEntry.objects.get(user__username="anna").change_message.endswith("2 of 2 users: [1, 2].")


@pytest.mark.parametrize("way", ["the list", "the form"])
def test_a_user_who_was_erased_since_the_page_was_opened_is_named_as_such(
    staff: Client, population: None, way: str
) -> None:
    mark_erased(2)
    if way == "the list":
        data = {"action": "set_high", "_selected_action": ["1", "2"]}
        answer = staff.post(reverse("admin:segments_usersegment_changelist"), data, follow=True)
    else:
        data = {"risk_profile": "High-Risk"}
        answer = staff.post(reverse("admin:segments_usersegment_change", args=[2]), data, follow=True)
    told = [str(message) for message in answer.context["messages"]]
    assert len(told) == 1
    assert "data was erased" in told[0]
    assert set(RiskChange.objects.values_list("user_id", flat=True)) == ({1} if way == "the list" else set())


@pytest.mark.parametrize(
    ("ticked", "says"),
    [
        (
            ["1", "2", "3"],
            "2 of 3 users now have the risk profile High-Risk; 1 left out, because their data was erased.",
        ),
        (["2"], "0 of 1 users now have the risk profile High-Risk; 1 left out, because their data was erased."),
    ],
)
def test_a_change_for_many_leaves_erased_users_out_and_says_how_many(
    staff: Client, population: None, ticked: list[str], says: str
) -> None:
    erase_user(2)  # since the list was opened
    data = {"action": "set_high", "_selected_action": ticked}
    answer = staff.post(reverse("admin:segments_usersegment_changelist"), data, follow=True)
    assert [str(message) for message in answer.context["messages"]] == [says]
    assert not UserSegment.objects.filter(pk=2).exists()
    assert [entry.change_message for entry in LogEntry.objects.all()] == (
        ["Risk profile High-Risk for 2 of 2 users: [1, 3]."] if "1" in ticked else []
    )


def test_bulk_actions_work_on_a_list_whose_filter_they_empty(staff: Client, population: None) -> None:
    url = reverse("admin:segments_usersegment_changelist")
    staff.post(f"{url}?risk_profile__exact=Unknown", {"action": "set_low", "_selected_action": ["1", "2", "3"]})
    assert UserSegment.objects.filter(risk_profile="Low-Risk").count() == 3
    message = OutboxMessage.objects.create(topic="t", key="7", payload="{}", quarantined_at=timezone.now(), error="x")
    url = reverse("admin:actions_outboxmessage_changelist")
    staff.post(f"{url}?quarantined_at__isempty=0", {"action": "resend", "_selected_action": [str(message.pk)]})
    assert not OutboxMessage.objects.quarantined().exists()
    assert LogEntry.objects.count() == 2


def test_an_export_holds_the_filtered_list_and_is_logged(staff: Client, population: None) -> None:
    answer = staff.get(reverse("admin:segments_usersegment_export"), {"rfm_group": "Whale"})
    lines = list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))
    assert [(line["user_id"], line["rfm_group"], line["frequency"]) for line in lines] == [("1", "Whale", "12")]
    assert "rfm_group=Whale" in LogEntry.objects.get().change_message


def test_cells_that_a_spreadsheet_would_run_are_made_harmless(staff: Client) -> None:
    UserSegment.objects.create(user_id=1, rfm_group='=HYPERLINK("x")', monetary=Decimal("-5.00"))
    answer = staff.get(reverse("admin:segments_usersegment_export"))
    line = next(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))
    assert (line["rfm_group"], line["monetary"]) == ('\'=HYPERLINK("x")', "-5.00")


def test_exits_are_exported_and_an_unknown_group_is_404(staff: Client, population: None) -> None:
    url = reverse("admin:segments_usersegment_exits")
    answer = staff.get(url, {"group": "Whale"})
    assert b"".join(answer.streaming_content).startswith(b"user_id,rfm_group,leaves_on,falls_to")
    assert staff.get(url, {"group": "Nobody"}).status_code == 404


def test_an_export_that_fails_is_not_logged(staff: Client, population: None) -> None:
    assert staff.get(reverse("admin:segments_usersegment_exits"), {"group": "None"}).status_code == 404
    assert not LogEntry.objects.exists()


POLICY = {
    "kind": "fixed",
    "recency_cuts": "[30, 30, 7, 7]",
    "frequency_cuts": "[1, 1, 2, 2]",
    "monetary_cuts": '["20", "20", "100", "100"]',
    "rules": '[{"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4}, '
    '{"name": "Medium", "recency": 3, "frequency": 3, "monetary": 1}, '
    '{"name": "Low", "recency": 1, "frequency": 1, "monetary": 1}]',
    "note": "fewer actions",
}


def test_a_policy_is_previewed_and_only_then_published(staff: Client, population: None) -> None:
    url = reverse("admin:segments_rfmpolicy_add")
    assert "[30, 30, 7, 7]" in page(staff, "segments_rfmpolicy_add")
    preview = staff.post(url, POLICY | {"_publish": "Publish"})
    assert (preview.status_code, RfmPolicy.objects.count()) == (200, 1)
    assert preview.context["preview"]["moved"] == 1  # user 3 becomes Medium
    changed = POLICY | {"note": "another", "_publish": "Publish", "seal": preview.context["seal"]}
    assert staff.post(url, changed).status_code == 200, "what was not previewed is not published"
    done = staff.post(url, POLICY | {"_publish": "Publish", "seal": preview.context["seal"]})
    assert done.status_code == 302
    policy = RfmPolicy.objects.active()
    assert (policy.created_by, policy.note) == ("anna", "fewer actions")
    assert set(RfmPolicy.objects.values_list("revision", flat=True)) == {1, policy.revision}
    assert policy.revision > 1


def test_a_policy_that_makes_no_sense_is_refused_by_field(staff: Client) -> None:
    answer = staff.post(reverse("admin:segments_rfmpolicy_add"), POLICY | {"frequency_cuts": "[3, 2, 1, 0]"})
    assert answer.status_code == 200
    assert "frequency_cuts" in answer.context["form"].errors
    assert "preview" not in answer.context


def test_an_old_revision_comes_back_as_a_new_one(staff: Client) -> None:
    url = reverse("admin:segments_rfmpolicy_add")
    seal = staff.post(url, POLICY).context["seal"]
    staff.post(url, POLICY | {"_publish": "Publish", "seal": seal})
    second = RfmPolicy.objects.active().revision
    assert "Back to this revision" in page(staff, "segments_rfmpolicy_change", 1)
    staff.post(reverse("admin:segments_rfmpolicy_again", args=[1]))
    policy = RfmPolicy.objects.active()
    assert policy.revision not in (1, second), "an old revision is not revived, its content comes back"
    assert (policy.frequency_cuts, policy.note) == ([3, 3, 10, 10], "Back to revision 1.")


def test_there_is_no_way_back_to_what_never_was(staff: Client) -> None:
    assert staff.post(reverse("admin:segments_rfmpolicy_again", args=[999_999])).status_code == 404


def test_a_run_is_requested_once_at_a_time(staff: Client) -> None:
    url = reverse("admin:segments_rfmrun_now")
    first = staff.post(url)
    run = RfmRun.objects.get()
    assert (run.status, run.kind, run.requested_by) == ("requested", "requested", "anna")
    assert first["Location"] == reverse("admin:segments_rfmrun_change", args=[run.pk])
    assert "Waiting for the scheduler" in page(staff, "segments_rfmrun_change", run.pk)
    staff.post(url)
    assert RfmRun.objects.count() == 1


def test_staff_who_are_not_signed_in_see_nothing() -> None:
    for url in (reverse("admin:index"), reverse("admin:user", args=[1]), reverse("admin:segments_usersegment_export")):
        assert Client().get(url).status_code == 302


def recommendation_form(**changes: str) -> dict:
    """The active policy as the form shows it, with changes."""
    policy = RecommendationPolicy.objects.active()
    fields = ("streak_step", "floor", "cap", "default_probability", "default_time_window")
    form = {field: str(getattr(policy, field)) for field in fields}
    return form | {"rules": json.dumps(policy.rules), "invariants": "[]", "note": "generous"} | changes


def test_a_recommendation_policy_is_previewed_with_examples_and_published(staff: Client, population: None) -> None:
    url = reverse("admin:segments_recommendationpolicy_add")
    preview = staff.post(url, recommendation_form(default_probability="0.3"))
    assert preview.context["preview"].changed == 2  # the Whale and the Medium, of unknown risk
    assert b"streak" in preview.content
    sealed = {"_publish": "Publish", "seal": preview.context["seal"]}
    staff.post(url, recommendation_form(default_probability="0.3") | sealed)
    published = RecommendationPolicy.objects.exclude(revision=1).get()
    assert get("user-segments/1/recommendation").json()["policy_revision"] == published.revision


def test_an_unsafe_recommendation_policy_is_refused_with_a_counter_example(staff: Client, population: None) -> None:
    url = reverse("admin:segments_recommendationpolicy_add")
    invariant = '[{"kind": "at_most", "risk_profile": "High-Risk", "probability": "0.5"}]'
    answer = staff.post(url, recommendation_form(invariants=invariant))
    assert "preview" not in answer.context
    assert b"High-Risk" in answer.content
    assert b"Whale" in answer.content


def test_the_kill_switch_answers_for_all_users_until_it_is_released(staff: Client, population: None) -> None:
    add = reverse("admin:segments_killswitch_add")
    form = {"probability": "0.05", "time_window": "any time", "note": "fraud"}
    assert staff.post(add, form).status_code == 302
    assert get("user-segments/1/recommendation").json()["recommended_reward_probability"] == 0.05
    assert b"engaged already" in staff.post(add, form).content
    staff.post(reverse("admin:segments_killswitch_release"))
    assert get("user-segments/1/recommendation").json()["recommended_reward_probability"] != 0.05
    assert LogEntry.objects.filter(content_type__model="killswitch").count() == 2


@pytest.mark.parametrize("table", ["actions_useraction", "segments_usersegment", "segments_segmentchange",
    "segments_riskchange", "visits_sitevisit", "actions_outboxmessage"])  # fmt: skip
@pytest.mark.parametrize("text", ["abc", "1.5", "-1", "٣", "0", "9" * 19, "9" * 400, "' OR 1=1 --"])
def test_a_search_for_what_is_no_user_id_finds_no_user_and_says_so(staff: Client, table: str, text: str) -> None:
    UserSegment.objects.create(user_id=1)
    answer = staff.get(reverse(f"admin:{table}_changelist"), {"q": text})
    assert (answer.status_code, answer.context["cl"].result_count) == (200, 0)
    assert "is not a user_id" in answer.content.decode()


@pytest.mark.parametrize(("text", "place"), [("7", "/admin/users/7/"), (" 7 ", "/admin/users/7/"), ("x", "/admin/"),
    ("9" * 19, "/admin/"), ("", "/admin/")])  # fmt: skip
def test_the_search_for_a_user_page_leads_there_or_back(staff: Client, text: str, place: str) -> None:
    assert staff.get(reverse("admin:find_user"), {"user_id": text})["Location"] == place


def test_groups_and_their_offers_are_previewed_and_published_in_one_form(staff: Client, population: None) -> None:
    url = reverse("admin:segments_rfmpolicy_add")
    shown = staff.get(url, {"preset": "five"}).context["adminform"].form.initial
    rules = json.dumps(shown["rules"])
    draft = {"kind": "quantile", "window_days": "365", "bins": "5", "rules": rules, "activity_types_0": "exclude"}
    draft |= {"activity_types_1": "page_view, mail:opened"}
    refused = staff.post(url, draft)
    assert "not &#x27;Whale&#x27;" in refused.content.decode()
    draft["recommendation_rules"] = json.dumps(shown["recommendation_rules"])
    preview = staff.post(url, draft)
    assert preview.context["preview"]["answers"].changed == 3
    assert "page_view" in preview.content.decode()
    assert "does not occur" in preview.content.decode()
    done = staff.post(url, draft | {"_publish": "Publish", "seal": preview.context["seal"]})
    assert done.status_code == 302
    policy = RfmPolicy.objects.active()
    assert policy.activity_types == {"exclude": ["page_view", "mail:opened"]}
    assert policy.scoring_groups() == ["Best", "Regular", "New", "At risk", "Rest"]
    assert RecommendationPolicy.objects.active().rules == shown["recommendation_rules"]
    assert RfmRun.objects.requested().count() == 1


def test_types_without_a_choice_are_asked_back(staff: Client) -> None:
    answer = staff.post(reverse("admin:segments_rfmpolicy_add"), POLICY | {"value_types_1": "refund"})
    assert "Say whether only these types count" in answer.content.decode()


def test_who_may_not_publish_recommendations_publishes_none_with_groups(client: Client) -> None:
    user = User.objects.create_user("carl", password="a long password", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["add_rfmpolicy", "view_rfmpolicy"]))
    client.force_login(user)
    url = reverse("admin:segments_rfmpolicy_add")
    assert "recommendation_rules" not in client.get(url).content.decode()
    offers = {"recommendation_rules": "[]"}
    preview = client.post(url, POLICY | offers)
    assert preview.context["preview"]["offers"] is None
    client.post(url, POLICY | offers | {"_publish": "Publish", "seal": preview.context["seal"]})
    assert RfmPolicy.objects.active().created_by == "carl"
    assert RecommendationPolicy.objects.active().revision == 1
