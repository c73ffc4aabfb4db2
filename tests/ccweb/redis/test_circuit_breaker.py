"""The circuit breaker: it opens after errors, and a probe closes it again."""

from collections.abc import Callable

import pytest

from ccweb.redis.circuit_breaker import Breaker, DependencyUnavailable


class Dependency:
    """A call that fails as often as it is told to, and counts."""

    def __init__(self) -> None:
        self.calls = 0
        self.field_error: Exception | None = None

    def __call__(self) -> str:
        self.calls += 1
        if self.field_error:
            raise self.field_error
        return "answer"


@pytest.fixture
def dependency() -> Dependency:
    return Dependency()


def breaker(pause: float = 60.0) -> Breaker:
    return Breaker("redis", errors=(OSError,), timeouts=(TimeoutError,), threshold=3, pause=pause)


def call(circuit: Breaker, function: Callable[[], str]) -> str:
    with circuit.guard():
        return function()


def attempt(circuit: Breaker, function: Callable[[], str], times: int) -> list[str]:
    answers = []
    for _ in range(times):
        try:
            answers.append(call(circuit, function))
        except DependencyUnavailable:
            answers.append("away")
    return answers


def test_a_call_that_works_returns_its_answer(dependency: Dependency) -> None:
    assert call(breaker(), dependency) == "answer"


def test_after_three_errors_in_a_row_the_dependency_is_left_alone(dependency: Dependency) -> None:
    circuit, dependency.field_error = breaker(), ConnectionError("refused")
    assert attempt(circuit, dependency, 100) == ["away"] * 100
    assert dependency.calls == 3


def test_one_timeout_is_enough_because_it_has_cost_its_wait(dependency: Dependency) -> None:
    circuit, dependency.field_error = breaker(), TimeoutError("100 ms")
    attempt(circuit, dependency, 100)
    assert dependency.calls == 1


def test_an_answer_in_between_resets_the_count_of_errors(dependency: Dependency) -> None:
    circuit = breaker()
    for _ in range(5):
        dependency.field_error = ConnectionError("refused")
        attempt(circuit, dependency, 2)
        dependency.field_error = None
        assert call(circuit, dependency) == "answer"


def test_after_the_pause_one_call_probes_and_its_success_closes_the_breaker(dependency: Dependency) -> None:
    circuit, dependency.field_error = breaker(pause=0), TimeoutError()
    attempt(circuit, dependency, 1)
    assert circuit.is_open
    dependency.field_error = None
    assert call(circuit, dependency) == "answer"
    assert not circuit.is_open


def test_a_failed_probe_starts_a_new_pause(dependency: Dependency) -> None:
    circuit, dependency.field_error = breaker(pause=0), TimeoutError()
    attempt(circuit, dependency, 1)
    circuit.pause, dependency.field_error = 60, ConnectionError("refused")
    attempt(circuit, dependency, 100)
    assert dependency.calls == 2


def test_what_is_not_an_outage_passes_through(dependency: Dependency) -> None:
    circuit, dependency.field_error = breaker(), KeyError("ours")
    for _ in range(5):
        with pytest.raises(KeyError):
            call(circuit, dependency)
    assert not circuit.is_open
