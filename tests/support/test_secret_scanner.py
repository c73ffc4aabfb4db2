"""The search for secrets in the logs finds them."""

import json
import logging

import pytest

from tests.support import secret_scanner

BODY = {"user_id": 4711, "action_type": "purchase"}


@pytest.mark.parametrize(
    "line",
    [
        f"no row for {'k' * 8}.{'s' * 43}",
        f"refused: {json.dumps(BODY)}",
        f"refused: {BODY}",
        json.dumps({"message": f"refused: {json.dumps(BODY)}"}),
    ],
)
def test_a_key_or_a_body_is_found(line: str) -> None:
    assert secret_scanner.leaks(f"fine\n{line}\nfine") == [line]


def test_a_log_line_is_searched() -> None:
    recorder = secret_scanner.LineRecorder()
    recorder.handle(logging.makeLogRecord({"msg": "refused: %s", "args": (BODY,)}))
    with pytest.raises(AssertionError, match="4711"):
        secret_scanner.search("\n".join(recorder.text))
