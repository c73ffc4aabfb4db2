"""Steps: what an operation asks of the database and Redis, while it does not know who waits for them.

An operation that both Django's views and the event loop of a web worker use is a generator: it yields a step and gets
its result, or its error, back. `run` performs the steps and blocks; ccweb.server.performer performs the same ones
without blocking. So what is done stands once, and only the waiting differs. The longest chain is that of an action:
serve -> record_steps -> record_once -> PostgreSQLInsert.steps, which yields the Query; then announce -> update_steps,
which yields the Scripts of the streaks.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from django.db import transaction

from ccweb.db.statements import fetch
from ccweb.redis.client import Call, run_scripts

T = TypeVar("T")


class Query(NamedTuple):
    """One statement; its result is the list of its rows. Raises Django's DatabaseError."""

    sql: str
    parameters: Sequence[Any]


class Scripts(NamedTuple):
    """Lua scripts in one round trip; the replies, each to be read by `value_of`. Raises DependencyUnavailable."""

    calls: Sequence[Call]


class Blocking(NamedTuple):
    """A function that waits by itself, such as a query of the ORM; for what is rare."""

    function: Callable[[], Any]


class AfterCommit(NamedTuple):
    """Further steps, once the current transaction is committed; they have no result and must not fail."""

    steps: "Callable[[], Steps[None]]"


Step = Query | Scripts | Blocking | AfterCommit
Steps = Generator[Step, Any, T]


def run(steps: Steps[T]) -> T:
    """The result of the operation, whose steps this thread performs; raises what it raises."""
    try:
        step = next(steps)
        while True:
            try:
                result = _perform(step)
            except Exception as error:  # noqa: BLE001 - the operation decides what becomes of it
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


def _perform(step: Step) -> Any:
    match step:
        case Query(sql, parameters):
            return fetch(sql, parameters)
        case Scripts(calls):
            return run_scripts(calls)
        case Blocking(function):
            return function()
        case AfterCommit(further):
            return transaction.on_commit(lambda: run(further()))
