"""python -m tests.browser.screenshots: pictures of the staff's pages in var/screenshots, in light, dark and narrow.

Needs chromium and its driver, and Redis; starts and stops the rest itself.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.browser.driving import Hand, complaints, picture, start_chromium
from tests.support.deployment import ROOT, Stack
from tests.support.programs import Missing
from tests.support.servers import Redis

FOLDER = ROOT / "var/screenshots"
LOOKS = {"light": (1280, False), "dark": (1280, True), "narrow": (400, False), "narrow-dark": (400, True)}
SEGMENTS = "/admin/segments"
PAGES = {
    "overview": "/admin/",
    "segments": f"{SEGMENTS}/usersegment/",
    "leaving": f"{SEGMENTS}/usersegment/?leaving=Medium",
    "no-user-found": f"{SEGMENTS}/usersegment/?q=abc",
    "segment": f"{SEGMENTS}/usersegment/{{user}}/change/",
    "user": "/admin/users/{user}/",
    "user-lapsed": "/admin/users/{lapsed}/",
    "user-unknown": "/admin/users/999999999/",
    "runs": f"{SEGMENTS}/rfmrun/",
    "run": f"{SEGMENTS}/rfmrun/{{run}}/change/",
    "changes": f"{SEGMENTS}/segmentchange/",
    "risks": f"{SEGMENTS}/riskchange/",
    "rfm-policies": f"{SEGMENTS}/rfmpolicy/",
    "rfm-policy-old": f"{SEGMENTS}/rfmpolicy/1/change/",
    "rfm-policy-add": f"{SEGMENTS}/rfmpolicy/add/",
    "rfm-policy-ten": f"{SEGMENTS}/rfmpolicy/add/?preset=ten",
    "recommendation-policies": f"{SEGMENTS}/recommendationpolicy/",
    "kill-switch": f"{SEGMENTS}/killswitch/",
    "kill-switch-add": f"{SEGMENTS}/killswitch/add/",
    "actions": "/admin/actions/useraction/",
    "action-add": "/admin/actions/useraction/add/",
    "outbox": "/admin/actions/outboxmessage/",
    "hours": "/admin/actions/hourlycount/",
    "visits": "/admin/visits/sitevisit/",
    "jobs": "/admin/django_apscheduler/djangojob/",
    "keys": "/admin/api/apikey/",
    "key-add": "/admin/api/apikey/add/",
    "docs": "/api/docs",
}


def previewed(hand: Hand) -> None:
    """The RFM form after Preview."""
    hand.open(f"{SEGMENTS}/rfmpolicy/add/")
    hand.write("#id_frequency_cuts", "[1, 1, 2, 3]")
    hand.press("[name=_preview]")


def offered(hand: Hand) -> None:
    """The recommendation form after Preview."""
    hand.open(f"{SEGMENTS}/recommendationpolicy/add/")
    hand.write("#id_default_probability", "0.2")
    hand.press("[name=_preview]")


def refused(hand: Hand) -> None:
    """The recommendation form after an unsafe draft."""
    hand.open(f"{SEGMENTS}/recommendationpolicy/add/")
    hand.write("#id_invariants", '[{"kind": "at_most", "risk_profile": "High-Risk", "probability": "0.5"}]')
    hand.press("[name=_preview]")


def previewed_ten(hand: Hand) -> None:
    """The RFM form with the preset of ten groups after Preview."""
    hand.open(f"{SEGMENTS}/rfmpolicy/add/?preset=ten")
    hand.press("[name=_preview]")


DEEDS: dict[str, Callable[[Hand], None]] = {
    "rfm-preview": previewed,
    "rfm-preview-ten": previewed_ten,
    "recommendation-preview": offered,
    "recommendation-refused": refused,
}


@contextmanager
def lively_system(scratch: Path) -> Iterator[Stack]:
    """The web process with demonstration data on SQLite, a Redis and the embedded broker."""
    from ccweb.embedded.broker import start_cluster

    with Redis({"appendonly": "no"}) as redis:
        database = f"sqlite:///{scratch}/db.sqlite3"
        with Stack(database_url=database, redis_url=f"{redis.url}/0", kafka_broker=start_cluster(0)) as stack:
            stack.manage("migrate")
            os.environ |= stack.environment | {"DJANGO_SETTINGS_MODULE": "ccweb.settings", "LOG_LEVEL": "WARNING"}
            import django

            django.setup()
            from tests.browser.demo import fill

            fill()
            stack.web.start()
            stack.program("scheduler").start()
            stack.manage("rebuild_streaks")
            yield stack


def paths() -> dict[str, str]:
    """The paths of the pages, with users and runs that have data."""
    from segments.models import RfmRun, UserSegment

    best = UserSegment.objects.order_by("-monetary", "user_id")[3]
    lapsed = UserSegment.objects.filter(frequency=0).order_by("user_id")[0]
    known = {"user": best.pk, "lapsed": lapsed.pk, "run": RfmRun.objects.done()[0].pk}
    return {name: path.format(**known) for name, path in PAGES.items()}


def shoot(hand: Hand, name: str) -> Iterator[str]:
    """Take the current page in every theme and width; yields what is wrong with it."""
    for look, (width, dark) in LOOKS.items():
        beyond = picture(hand.browser, FOLDER / f"{name}-{look}.png", width=width, dark=dark)
        if beyond > 0:
            yield f"{name}-{look}: {beyond} px stick out"
    yield from (f"{name}: {text}" for text in complaints(hand.browser))


def take(only: list[str]) -> list[str]:
    """All pictures, or only those named; returns what is wrong with them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as resources:
        scratch = Path(resources.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        browser = resources.enter_context(start_chromium(scratch / "chromium"))
        stack = resources.enter_context(lively_system(scratch))
        hand = Hand(browser, stack.url)
        wrong = [] if only else list(sign_in_page(hand))
        hand.sign_in("root", "a demonstration")
        for name, path in paths().items():
            if not only or name in only:
                hand.open(path)
                wrong += shoot(hand, name)
        for name, deed in DEEDS.items():
            if not only or name in only:
                deed(hand)
                wrong += shoot(hand, name)
    return wrong


def sign_in_page(hand: Hand) -> Iterator[str]:
    """The sign-in page, before a user is signed in."""
    hand.open("/admin/login/")
    return shoot(hand, "login")


def main() -> None:
    """Take the pictures and print where they are; exits with 1 when one of them is wrong."""
    try:
        wrong = take(sys.argv[1:])
    except Missing as missing:
        sys.exit(f"screenshots: {missing}")
    for line in wrong:
        print(line)
    print(f"screenshots: {len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}, {len(wrong)} complaints")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
