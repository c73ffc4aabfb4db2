"""Tests of the report about the figures; the measurement itself is `make bench`."""

from pathlib import Path

from tests.benchmarks.figures import GOALS, Measured, ratio, single
from tests.benchmarks.guard import regressions, save
from tests.benchmarks.load import Load
from tests.benchmarks.peers import COMMANDS
from tests.benchmarks.report import FLOORS, LOADS, NOTES, table
from tests.benchmarks.second_peers import KINDS as SECOND_KINDS
from tests.benchmarks.second_peers import SECOND_PEERS
from tests.benchmarks.second_peers import table as second_table
from tests.benchmarks.serving import KINDS


def test_a_ratio_is_that_of_the_medians_and_its_range_that_of_the_repetitions() -> None:
    assert ratio([10, 20, 60], [5, 4, 6]) == Measured(4, 2, 10)


def test_every_target_has_a_row_that_says_whether_it_is_met() -> None:
    rows = table({goal.id: single(goal.least if goal.least is not None else goal.most or 0) for goal in GOALS})
    assert len(rows) == len(GOALS) + 2
    assert all(row.endswith("| yes |") for row in rows[2:])


def test_a_figure_beyond_its_goal_is_not_met() -> None:
    assert table({"T1a": single(6.9)})[-1].endswith("| 6.9x | >= 7x | no |")
    assert table({"T5b": single(1)})[-1].endswith("| 1 rows | <= 0 rows | no |")


def test_every_kind_of_request_has_a_title_and_a_floor() -> None:
    assert list(KINDS) == list(LOADS) == list(FLOORS)


def test_every_second_peer_has_a_row_for_each_kind_of_request() -> None:
    assert set(SECOND_PEERS) < set(COMMANDS)
    rates = {"ours": 300.0, "async": 100.0, "drf": 50.0}
    loads = {
        (who, title): [Load(1, rate, rate, {"web": 600 / rate}, 1, 1, 0)]
        for who, rate in rates.items()
        for title in SECOND_KINDS
    }
    assert second_table(loads)[2:4] == [
        "| POST one action | FastAPI, async SQLAlchemy, asyncpg | 3x | 3x | 100 |",
        "| POST one action | Django REST framework, ORM | 6x | 6x | 50 |",
    ]
    assert len(second_table(loads)) == 2 + len(SECOND_PEERS) * len(SECOND_KINDS)


def test_the_guard_reports_what_is_a_third_worse_and_nothing_else(tmp_path: Path) -> None:
    committed = tmp_path / "benchmarks.json"
    save({"T1a": single(6), "T3a": single(6), "T5a": single(0.5), "T9": single(0.3)}, committed)
    now = {"T1a": single(3.9), "T3a": single(4.1), "T5a": single(0.8), "T9": single(0.9), "T8": single(1)}
    assert [line.split()[0] for line in regressions(now, committed)] == ["T1a", "T5a"]


def test_the_guard_reports_nothing_before_the_first_full_run(tmp_path: Path) -> None:
    assert not list(regressions({"T1a": single(1)}, tmp_path / "none.json"))


def test_the_notes_have_a_placeholder_for_every_result() -> None:
    text = NOTES.read_text()
    for part in ("table", "summary", "machine", "work", "loads", "growth", "second peers", "servers"):
        assert f"<!-- {part} -->" in text
