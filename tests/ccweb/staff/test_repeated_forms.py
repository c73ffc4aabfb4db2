"""Forms of the admin that are sent again, by F5 or a double click: they take effect once."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from actions.models import UserAction
from ccweb.api.models import ApiKey
from segments.models import KillSwitch, RfmRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    return client


def filled(client: Client, url: str, **data: object) -> dict[str, object]:
    """What a browser sends of a form: its hidden and initial values, and what the user typed."""
    form = client.get(url).context["adminform"].form
    initial = {bound.html_name: bound.value() for bound in form if bound.value() is not None}
    return {name: value for name, value in initial.items() if value != ""} | data


def test_a_key_is_made_once_by_one_form_and_shown_once(staff: Client) -> None:
    url = reverse("admin:api_apikey_add")
    data = filled(staff, url, name="shop", scopes=["actions:read"])
    first, again = staff.post(url, data), staff.post(url, data)
    assert first.status_code == 200
    row = ApiKey.objects.get()
    assert row.is_valid(first.context["key"])
    assert again["Location"] == reverse("admin:api_apikey_change", args=[row.pk])
    page = staff.get(again["Location"]).content.decode()
    assert "This form has created the API key shop already" in page
    assert first.context["key"].partition(".")[2] not in page + str(staff.cookies)
    assert LogEntry.objects.count() == 1


def test_another_form_makes_another_key_also_of_the_same_name(staff: Client) -> None:
    url = reverse("admin:api_apikey_add")
    for _ in range(2):
        assert staff.post(url, filled(staff, url, name="shop", scopes=["actions:read"])).status_code == 200
    assert ApiKey.objects.filter(name="shop", revoked=False).count() == 2


def test_a_form_that_was_refused_can_be_corrected(staff: Client) -> None:
    url = reverse("admin:api_apikey_add")
    data = filled(staff, url, name="shop")
    assert staff.post(url, data).context["errors"]
    page = staff.post(url, data | {"scopes": ["actions:read"]}).content.decode()
    assert re.search(rf"Api-Key {data['new_prefix']}[.]\w{{43}}\b", page)


@pytest.mark.parametrize("prefix", ["", "short", "a.b/c?d=", "12345678\n", "xxxxxxxx\x00"])
def test_a_prefix_that_is_none_is_refused_or_replaced(staff: Client, prefix: str) -> None:
    url = reverse("admin:api_apikey_add")
    staff.post(url, {"name": "shop", "scopes": ["actions:read"], "new_prefix": prefix})
    assert all(re.fullmatch("[A-Za-z0-9]{8}", key.prefix) for key in ApiKey.objects.all())


def test_other_forms_take_effect_once(staff: Client) -> None:
    action, switch, run = (
        reverse(f"admin:{name}")
        for name in ("actions_useraction_add", "segments_killswitch_add", "segments_rfmrun_now")
    )
    at = {"action_timestamp_0": "2026-01-31", "action_timestamp_1": "12:00:00"}
    refund = filled(staff, action, user_id=7, action_type="refund", **at)
    for url, data in ((action, refund), (switch, filled(staff, switch)), (run, {})):
        assert staff.post(url, data).status_code == 302, url
        staff.post(url, data)
    assert (UserAction.objects.count(), KillSwitch.objects.count(), RfmRun.objects.count()) == (1, 1, 1)
