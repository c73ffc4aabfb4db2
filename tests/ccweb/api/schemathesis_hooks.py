"""What the OpenAPI document cannot say of a valid request.

Where cursors come from, which times are recent, that no column orders twice, what is JSON at all. And Schemathesis
takes more than control characters for \\p{C} in a pattern only when it checks, not when it makes a string.
"""

import re
from datetime import UTC, datetime
from typing import Any
from unicodedata import category

import schemathesis

OVERLOOKED = {"Cf", "Co", "Zl", "Zp", "Zs"}
NOW = datetime.now(UTC).isoformat()
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt].*")


def readable(value: Any) -> Any:
    """What the parser of any JSON takes: no NUL, no integer beyond 64 bits."""
    if isinstance(value, dict):
        return {readable(name): readable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "")
    return max(-(2**63), min(value, 2**63)) if type(value) is int else value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Only what would be refused for a reason that the document cannot give is changed."""
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)
        if isinstance(ordering := case.query.get("ordering"), str):
            columns = {term.removeprefix("-"): term for term in ordering.split(",")}
            case.query["ordering"] = ",".join(columns.values())
    if isinstance(case.body, list):
        case.body = readable(case.body)
    if isinstance(case.body, dict) and isinstance(source := case.body.get("source"), str):
        case.body["source"] = "".join("x" if c != " " and category(c) in OVERLOOKED else c for c in source)
    for event in case.body if isinstance(case.body, list) else [case.body]:
        for name in ("action_timestamp", "visit_timestamp"):
            if isinstance(event, dict) and isinstance(event.get(name), str) and TIME.fullmatch(event[name]):
                event[name] = NOW
