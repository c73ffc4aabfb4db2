"""Whoever changes the batch's SQL sees the finished statements."""

import pytest

from tests.segments.rfm.statements import file, statements


@pytest.mark.django_db
def test_the_statements_of_a_run_are_those_of_the_file() -> None:
    assert statements() == file().read_text()
