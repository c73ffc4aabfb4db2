"""The second factor of staff: codes of an authenticator app (TOTP, RFC 6238), and recovery codes."""

import re
from base64 import b32encode
from typing import Any

import django_otp
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django_otp.models import Device
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

new_secret = default_key  # 160 random bits in hexadecimal
APP, RECOVERY = "authenticator app", "recovery codes"
RECOVERY_CODES = 10
WRONG = "This code is wrong, or was used before. Wait for the app to show the next one."


def is_enrolled(user: Any) -> bool:
    """Whether the user has an authenticator app."""
    return bool(TOTPDevice.objects.filter(user=user, confirmed=True).exists())


def unconfirmed_app(user: Any, secret: str) -> TOTPDevice:
    """The device of a secret that the user has not confirmed; it is not stored."""
    return TOTPDevice(user=user, name=APP, key=secret)


def typed_secret(device: TOTPDevice) -> str:
    """The secret as people type it into an app: base32 in groups of four."""
    return " ".join(re.findall(".{4}", b32encode(device.bin_key).decode()))


def enrol(*, user: Any, secret: str, code: str, is_verified: bool) -> tuple[Device, list[str]]:
    """Make the app with this secret the user's only second factor; returns it and new recovery codes.

    Raises ValidationError, and changes nothing, when the code is wrong, or when the user has an app already and did not
    give its code (`is_verified`) in this session.
    """
    with transaction.atomic():
        get_user_model().objects.select_for_update().get(pk=user.pk)  # one enrolment of a user at a time
        if is_enrolled(user) and not is_verified:
            raise ValidationError("This account has a second factor already. Sign in again with its code.")
        remove(user)
        device = unconfirmed_app(user, secret)
        if not device.verify_token(_bare(code)):  # stores the device
            raise ValidationError(WRONG)
        codes = _new_recovery_codes(user)
        log(user, "Set up a second factor.")
    return device, codes


def verify(user: Any, text: str) -> Device:
    """The user's device that takes the code of the app, or the recovery code; each code is taken once.

    Raises ValidationError for a wrong code, and for any code while the device waits: 1 s after the first wrong code,
    twice as long after each further one.
    """
    code = _bare(text)
    kind = TOTPDevice if re.fullmatch("[0-9]{6}", code) else StaticDevice
    device = kind.objects.filter(user=user, confirmed=True).first()
    if device is None:
        raise ValidationError(WRONG)
    allowed, reason = device.verify_is_allowed()
    if not allowed:
        seconds = max(1, round((reason["locked_until"] - timezone.now()).total_seconds()))
        raise ValidationError(f"Too many wrong codes. Try again in {seconds} s.", code="limited")
    if django_otp.verify_token(user, device.persistent_id, code) is None:
        raise ValidationError(WRONG)
    return device


def recovery_codes_left(user: Any) -> int:
    """How many recovery codes the user has not used."""
    return int(StaticToken.objects.filter(device__user=user).count())


def remove(user: Any) -> int:
    """Delete the user's app and recovery codes, which also ends what they verified; returns the number of devices."""
    devices = [*TOTPDevice.objects.filter(user=user), *StaticDevice.objects.filter(user=user)]
    for device in devices:
        device.delete()
    return len(devices)


def log(user: Any, deed: str) -> None:
    """Write a line into the admin's history of the user."""
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, deed, single_object=True)


def _new_recovery_codes(user: Any) -> list[str]:
    device = StaticDevice.objects.create(user=user, name=RECOVERY)
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    device.token_set.bulk_create(StaticToken(device=device, token=code) for code in codes)
    return [f"{code[:4]}-{code[4:]}" for code in codes]


def _bare(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()
