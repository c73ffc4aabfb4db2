"""Policies as files of JSON: one object with the fields of a revision."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segments.models import RecommendationPolicy, RfmPolicy

KINDS: dict[str, Any] = {"rfm": RfmPolicy, "recommendation": RecommendationPolicy}


class UnreadablePolicy(ValueError):
    """The file is no policy; the message has a line for each fault."""


def content_of(policy: Any) -> dict[str, Any]:
    """The content and the note of a revision; decimals as text."""
    fields: Sequence[str] = (*policy.CONTENT, "note")
    plain = (bool, int, str, list, dict, type(None))
    values = {field: getattr(policy, field) for field in fields}
    return {field: value if isinstance(value, plain) else str(value) for field, value in values.items()}


def read_content(name: str, kind: str) -> dict[str, Any]:
    """The content of a file, `-` for standard input. Raises UnreadablePolicy."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        content = json.loads(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UnreadablePolicy(f"cannot read {name}: {why}") from None
    if not isinstance(content, dict):
        raise UnreadablePolicy(f"{name}: one JSON object is expected, as show_policy prints it")
    known = (*KINDS[kind].CONTENT, "note")
    if unknown := [field for field in content if field not in known]:
        raise UnreadablePolicy("\n".join(f"{field}: there is no such field of a {kind} policy" for field in unknown))
    return content
