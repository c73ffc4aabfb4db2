"""`manage.py up`, what `make run` calls: from a copy of the checkout, with nothing set."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccweb.embedded.run_state import MARK, marked_processes, read_run_file
from tests.processes import free_port, is_alive, wait_for
from tests.stack import ROOT, call

pytestmark = pytest.mark.stack
OURS = ("CCWEB_IGNORE_LOCAL", "DATABASE_URL", "REDIS_URL", "KAFKA_BROKER", "MAKELEVEL")  # what the test run has set
COPIED = ("actions", "ccweb", "segments", "visits", "manage.py", "Procfile")


class System:
    """A copy of the checkout with its own var folder, and the `up` that runs there."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.port = root, root / "var", free_port()
        for name in COPIED:
            copy: Any = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        self.environment = {name: value for name, value in os.environ.items() if name not in OURS}
        self.environment |= {"PORT": str(self.port), "COLUMNS": "80"}

    def start(self, *before: str, **variables: str) -> None:
        """Start `up` and wait until it says that everything runs; `before` is a command that starts it."""
        self.said = self.root / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [*before, sys.executable, "manage.py", "up"],
                **{"cwd": self.root, "env": self.environment | variables, "stdout": said, "stderr": said},
            )
        wait_for(lambda: self.process.poll() is not None or "Ctrl-C" in self.output(), "`up` to be ready")

    def output(self) -> str:
        return self.said.read_text()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> float:
        """Stop it; the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(60)
        return time.monotonic() - begin

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=60)

    def post(self, **action: Any) -> int:
        return call(f"127.0.0.1:{self.port}", "POST", "/api/actions", {"action_type": "bet", **action}).status

    def get(self, path: str) -> Any:
        return call(f"127.0.0.1:{self.port}", "GET", path).json()

    def pid(self, name: str) -> int:
        return read_run_file(self.folder)["processes"][name]

    def nothing_is_left(self) -> bool:
        return not list(marked_processes(self.folder))

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        for pid in marked_processes(self.folder):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path)
    yield system
    system.close()


def test_the_first_start_serves_real_purchases_and_prints_what_works_when_pasted(system: System) -> None:
    system.start()
    said = system.output()
    assert "{'Whale': 1, 'Medium': 30, 'Low': 2326}" in said
    (whale,) = system.get("/api/user-segments?rfm_group=Whale")["results"]
    assert system.get(f"/api/user-segments/{whale['user_id']}/recommendation")["degraded"] == []
    curl = next(line for line in said.splitlines() if line.startswith("  curl "))
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602
    assert answer.startswith("HTTP/1.1 201 Created")
    consumed = system.manage("consume_actions", "--limit", "1").stdout
    assert '"user_id": 7, "action_type": "purchase"' in consumed
    password = (system.folder / "admin_password").read_text().strip()
    assert f"http://127.0.0.1:{system.port}/admin/   user admin, password {password}\n" in said
    assert f"http://127.0.0.1:{system.port}/api/docs" in said


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_everything_in_time_and_starts_again_with_its_database(system: System, signum: signal.Signals) -> None:
    system.start()
    assert system.post(user_id=7) == 201
    assert system.stop(signum) < 15
    assert (system.process.returncode, system.output().splitlines()[-2:]) == (0, ["stopping", "stopped"])
    assert system.nothing_is_left()
    assert not (system.folder / "run.json").exists()
    system.start()
    assert system.get("/api/actions?user_id=7")["results"][0]["action_type"] == "bet"
    assert "loaded" not in system.output()


def test_what_dies_is_started_again_and_everything_goes_on(system: System) -> None:
    system.start()
    before = read_run_file(system.folder)
    for name in ("broker", "web", "relay", "valkey"):
        os.kill(system.pid(name), signal.SIGKILL)
    wait_for(lambda: not set(before["processes"].values()) & set(pids(system)), "all four to be started again")
    wait_for(lambda: answers(system), "the web process to answer")
    after = read_run_file(system.folder)
    assert [after[name] for name in ("redis_url", "kafka_broker")] == [before["redis_url"], before["kafka_broker"]]
    assert system.post(user_id=9) == 201
    assert '"user_id": 9' in system.manage("consume_actions", "--limit", "1").stdout
    assert "web ended (-9), again in 1 s" in system.output()


def pids(system: System) -> list[int]:
    return [pid for name, pid in read_run_file(system.folder)["processes"].items() if name != "scheduler"]


def answers(system: System) -> bool:
    try:
        return call(f"127.0.0.1:{system.port}", "GET", "/healthz").status == 200
    except OSError:
        return False


def test_after_a_kill_the_children_end_by_themselves(system: System) -> None:
    system.start()
    system.stop(signal.SIGKILL)
    wait_for(system.nothing_is_left, "all children to end")
    system.start()
    assert system.post(user_id=7) == 201


def test_a_start_ends_what_an_earlier_one_left(system: System) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    environment = system.environment | {MARK: str(system.folder)}
    with subprocess.Popen([sys.executable, "-c", stubborn], env=environment) as left:
        system.start()
        assert left.wait(10) == -signal.SIGKILL
    assert "ended 1 processes of an earlier run that was killed" in system.output()


def test_a_killed_make_takes_it_along(system: System) -> None:
    make = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    system.start(*make, MAKELEVEL="1")
    up = read_run_file(system.folder)["pid"]
    system.stop(signal.SIGKILL)
    wait_for(lambda: not is_alive(up), "`up` to end")
    assert system.nothing_is_left()


def test_a_second_one_and_a_taken_port_are_refused_in_one_line(system: System, tmp_path_factory: Any) -> None:
    system.start()
    second = system.manage("up", PORT=str(free_port()))
    pid = system.process.pid
    where = f"at http://127.0.0.1:{system.port}, process {pid}"
    assert second.stderr == f"CommandError: the system runs already {where}; stop it first (Ctrl-C in its terminal)\n"
    other = System(tmp_path_factory.mktemp("other"))
    taken = other.manage("up", PORT=str(system.port))
    hint = "PORT=8001 make run takes another"
    assert taken.stderr == f"CommandError: port {system.port} is taken by another program: {hint}\n"
    assert (second.returncode, taken.returncode) == (1, 1)
    assert other.nothing_is_left()


def test_what_the_environment_names_is_used_instead(system: System, redis_url: str, kafka_broker: str) -> None:
    (system.root / ".env").write_text(f"REDIS_URL={redis_url}\n")
    database = f"sqlite:///{system.root}/mine.sqlite3"
    system.start(DATABASE_URL=database, KAFKA_BROKER=kafka_broker)
    running = read_run_file(system.folder)
    assert (running["redis_url"], running["kafka_broker"]) == (redis_url, kafka_broker)
    assert not {"valkey", "broker"} & set(running["processes"])
    assert system.get("/api/actions")["results"] == []  # no demo in somebody's own database
    assert not (system.folder / "db.sqlite3").exists()


@pytest.fixture
def redis_url(redis_client: object) -> str:
    return os.environ["REDIS_URL"]
