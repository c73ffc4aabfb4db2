"""The pages of the second factor: asking for a code, setting up an app, showing recovery codes once."""

import logging
from typing import Any

import django_otp
import segno
from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from ccweb.admin.login import CodeForm, EnrolmentForm
from ccweb.admin.second_factor import (
    is_enrolled,
    log,
    new_secret,
    recovery_codes_left,
    typed_secret,
    unconfirmed_app,
)

logger = logging.getLogger(__name__)
# A secret that is not confirmed yet is kept in the session: another one who knows the password gets another secret.
PENDING = "second_factor_pending"
LOST = 'Is your phone lost? Choose "Change second factor" above.'


def hide_devices() -> None:
    """Take django-otp's pages, which show secrets, out of the admin."""
    admin.site.unregister([TOTPDevice, StaticDevice])


def awaits_second_factor(request: HttpRequest) -> bool:
    """Whether a member of staff has given their password in this session, and not yet the second factor."""
    user: Any = request.user
    return settings.ADMIN_REQUIRE_OTP and user.is_active and user.is_staff and not user.is_verified()


def page_of_second_factor(request: HttpRequest) -> HttpResponse:
    """The redirect to the page that asks for the second factor."""
    return redirect(f"{reverse('admin:second_factor')}?{urlencode({'next': _next(request)})}")


@never_cache
def second_factor(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Ask for a code; whoever has no app yet is sent to set one up."""
    if not awaits_second_factor(request):
        return redirect(_next(request))
    if not is_enrolled(request.user):
        return redirect(f"{reverse('admin:set_up_second_factor')}?{urlencode({'next': _next(request)})}")
    form = CodeForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        _let_in(request, form.device)
        return redirect(_next(request))
    return render(request, "staff/second_factor.html", context | {"form": form, "next": _next(request)})


@never_cache
def set_up(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Set up an app, the first one or another one instead; its first code confirms it."""
    user: Any = request.user
    if not (user.is_verified() or (awaits_second_factor(request) and not is_enrolled(user))):
        return redirect("admin:index")
    secret = request.session.setdefault(PENDING, new_secret())
    form = EnrolmentForm(request, secret, request.POST or None)
    if request.method == "POST" and form.is_valid():
        del request.session[PENDING]
        _let_in(request, form.device)
        context |= {"title": "Recovery codes", "codes": form.recovery_codes, "next": _next(request)}
        return render(request, "staff/recovery_codes.html", context)
    device = unconfirmed_app(user, secret)
    picture = segno.make(device.config_url, micro=False).svg_data_uri(scale=5, light="white")
    context |= {"form": form, "picture": picture, "secret": typed_secret(device), "next": _next(request)}
    return render(request, "staff/set_up_second_factor.html", context)


def _let_in(request: HttpRequest, device: Device) -> None:
    django_otp.login(request, device)
    request.session.cycle_key()  # as at each step up in rights
    logger.info("%s gave a code of the %s from %s", request.user, device.name, request.META["REMOTE_ADDR"])
    if isinstance(device, StaticDevice):
        left = recovery_codes_left(request.user)
        log(request.user, f"Signed in by a recovery code, {left} left.")
        messages.warning(request, f"You signed in by a recovery code, {left} are left. {LOST}")


def _next(request: HttpRequest) -> str:
    """Where the user wanted to go; the overview when that is no page of ours."""
    target = request.POST.get("next") or request.GET.get("next", "")
    ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if ours else reverse("admin:index")
