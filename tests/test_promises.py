"""docs/promises.md: no promise without a test, no test that is not there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMISES = dict(re.findall(r"^(\d+)\. (\*\*.+?)(?=^\d+\. |^\S)", (ROOT / "docs/promises.md").read_text(), re.M | re.S))


def test_all_promises_are_there() -> None:
    assert list(map(int, PROMISES)) == [*range(1, 12), 13]


@pytest.mark.parametrize("number", PROMISES)
def test_a_promise_has_tests_that_exist(number: str) -> None:
    tests = re.findall(r"`(tests/\S+\.py)::(\w+)`", PROMISES[number])
    assert tests, f"promise {number} has no test"
    for path, name in tests:
        functions = ast.walk(ast.parse((ROOT / path).read_text()))
        assert name in {f.name for f in functions if isinstance(f, ast.FunctionDef)}, f"{path} has no {name}"
