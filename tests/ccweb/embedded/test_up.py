"""`manage.py up`, what `make run` calls: from a copy of the checkout, with nothing set."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from actions.models import TOPIC
from ccweb.embedded.run_state import read_run_file
from tests.support.deployment import ROOT, call
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import free_port, is_alive, send, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("kafka")]
OURS = ("CCWEB_IGNORE_LOCAL", "DATABASE_URL", "REDIS_URL", "KAFKA_BROKER", "MAKELEVEL")  # what the test run has set
COPIED = ("actions", "ccweb", "segments", "visits", "manage.py", "Procfile")


def heed_ctrl_c() -> None:
    """As in a terminal: a suite that runs in the background ignores Ctrl-C, and `up` heeds what it inherits."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class System:
    """A copy of the checkout with its own var folder, and the `up` that runs there."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.port = root, root / "var", free_port()
        self.process: subprocess.Popen | None = None
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
                preexec_fn=heed_ctrl_c,
            )
        wait_for(lambda: self.process.poll() is not None or "Ctrl-C" in self.output(), "`up` to be ready")

    def output(self) -> str:
        return self.said.read_text()

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> float:
        """Stop it; the seconds that it took."""
        begin = time.monotonic()
        self.process.send_signal(signum)
        self.process.wait(120)
        return time.monotonic() - begin

    def manage(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=120)

    def post(self, **action: Any) -> int:
        return call(f"127.0.0.1:{self.port}", "POST", "/api/actions", {"action_type": "bet", **action}).status

    def get(self, path: str) -> Any:
        return call(f"127.0.0.1:{self.port}", "GET", path).json()

    def answers(self) -> bool:
        try:
            return call(f"127.0.0.1:{self.port}", "GET", "/healthz").status == 200
        except OSError:
            return False

    def pids(self) -> set[int]:
        return set(read_run_file(self.folder)["processes"].values())

    def left(self) -> list[int]:
        """The processes that run in this copy of the checkout."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._has(pid)]

    def _has(self, pid: int) -> bool:
        with suppress(OSError):  # it has ended
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.root)
        return False

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.stop()
        send(signal.SIGKILL, self.left())


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Not yet started."""
    with closing(System(tmp_path)) as system:
        yield system


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Started with nothing set; every test leaves it running."""
    with closing(System(tmp_path_factory.mktemp("running"))) as system:
        system.start()
        yield system


def test_the_first_start_serves_real_purchases_and_prints_what_works_when_pasted(running: System) -> None:
    said = running.output()
    assert "ERROR" not in said
    (whale,) = running.get("/api/user-segments?rfm_group=Whale")["results"]
    assert running.get(f"/api/user-segments/{whale['user_id']}/recommendation")["degraded"] == []
    curl = next(line for line in said.splitlines() if line.startswith("  curl "))
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602
    assert answer.startswith("HTTP/1.1 201 Created")
    event_id = json.loads(answer.splitlines()[-1])["event_id"]
    consumed = running.manage("consume_actions", "--from-beginning", "--limit", "1", "--group", event_id).stdout
    assert json.loads(consumed)["action_type"] == "purchase"
    password = (running.folder / "admin_password").read_text().strip()
    assert f"http://127.0.0.1:{running.port}/admin/   user admin, password {password}\n" in said
    assert f"http://127.0.0.1:{running.port}/api/docs" in said


def test_ctrl_c_stops_everything_in_time_and_the_database_remembers(running: System) -> None:
    assert running.post(user_id=7) == 201
    assert running.stop(signal.SIGINT) < 15
    assert (running.process.returncode, running.output().splitlines()[-2:]) == (0, ["stopping", "stopped"])
    assert running.left() == []
    assert not (running.folder / "run.json").exists()
    running.start()
    assert running.get("/api/actions?user_id=7&action_type=bet")["results"]
    assert "loaded" not in running.output()
    assert (running.folder / "log/web.old").exists()


@pytest.mark.long
def test_what_dies_is_started_again_at_the_same_address(running: System) -> None:
    before = read_run_file(running.folder)
    died = {before["processes"][name] for name in ("broker", "web", "relay", "valkey")}
    for pid in died:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not died & running.pids(), "all four to be started again")
    wait_for(running.answers, "the web process to answer")
    after = read_run_file(running.folder)
    assert [after[name] for name in ("redis_url", "kafka_broker")] == [before["redis_url"], before["kafka_broker"]]
    assert running.post(user_id=9) == 201
    wait_for(
        lambda: b"9" in {m.key() for m in read_topic(after["kafka_broker"], TOPIC)}, "the action in the new broker"
    )
    assert "web ended (-9), restart in 1 s" in running.output()


def test_a_second_one_and_a_taken_port_are_refused_in_one_line(running: System, system: System) -> None:
    second = running.manage("up", PORT=str(free_port()))
    where = f"at http://127.0.0.1:{running.port}, process {running.process.pid}"
    assert second.stderr == f"CommandError: the system runs already {where}; stop it first (Ctrl-C in its terminal)\n"
    taken = system.manage("up", PORT=str(running.port))
    hint = "PORT=8001 make run takes another"
    assert taken.stderr == f"CommandError: port {running.port} is taken by another program: {hint}\n"
    assert (second.returncode, taken.returncode) == (1, 1)
    assert system.left() == []


@pytest.mark.long
def test_a_killed_make_takes_it_along(system: System) -> None:
    make = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    system.start(*make, MAKELEVEL="1")
    up = read_run_file(system.folder)["pid"]
    system.stop(signal.SIGKILL)
    wait_for(lambda: not is_alive(up), "`up` to end")
    assert system.left() == []


@pytest.mark.long
def test_after_a_kill_nothing_is_left_not_even_what_hangs_and_the_next_one_starts_at_once(system: System) -> None:
    system.start()
    processes = read_run_file(system.folder)["processes"]
    send(signal.SIGSTOP, [processes["relay"], processes["web"]])
    system.stop(signal.SIGKILL)
    system.start()
    assert system.answers()
    assert not set(processes.values()) & set(system.left())
    system.stop(signal.SIGKILL)
    wait_for(lambda: not system.left(), "all processes to end by themselves")


def test_what_the_environment_names_is_used_instead(system: System, redis_url: str, kafka_broker: str) -> None:
    (system.root / ".env").write_text(f"REDIS_URL={redis_url}\n")
    system.start(DATABASE_URL=f"sqlite:///{system.root}/mine.sqlite3", KAFKA_BROKER=kafka_broker)
    running = read_run_file(system.folder)
    assert (running["redis_url"], running["kafka_broker"]) == (redis_url, kafka_broker)
    assert not {"valkey", "broker"} & set(running["processes"])
    assert system.get("/api/actions")["results"] == []  # no demo data in a database of the user's own
    assert not (system.folder / "db.sqlite3").exists()


@pytest.fixture
def redis_url(redis_client: object) -> str:
    return os.environ["REDIS_URL"]
