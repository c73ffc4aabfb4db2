"""T1 to T3: POST of one action, of lists, GET of a recommendation; ours, the peer and a floor alternate."""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import psycopg

from tests.benchmarks import floors
from tests.benchmarks.figures import Figures, Measured, ratio
from tests.benchmarks.history import quiet
from tests.benchmarks.load import HUNDRED, IDENTIFIED, ONE, READ, THOUSAND, USERS, Kind, Load, drive, resident_mb
from tests.benchmarks.peers import COMMANDS, PEER, Peer
from tests.benchmarks.rig import Rig, create_key
from tests.benchmarks.scale import Scale, print_progress
from tests.benchmarks.work import Work
from tests.support.deployment import call
from tests.support.os_processes import wait_for
from tests.support.servers import Service

HISTORY = f"""INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
    SELECT gen_random_uuid(), floor(random() * {USERS})::bigint + 1, 'purchase', round((random() * 60)::numeric, 2),
        now() - random() * interval '10 days', now() FROM generate_series(1, 200000)"""
KINDS = {"one": ONE, "hundred": HUNDRED, "thousand": THOUSAND, "identified": IDENTIFIED, "read": READ}


class Serving:
    """The compared systems, and the results of each by kind of request."""

    def __init__(self, rig: Rig, scale: Scale) -> None:
        self._rig, self._scale = rig, scale
        self.loads: dict[tuple[str, str], list[Load]] = defaultdict(list)
        self.floors: dict[str, list[float]] = defaultdict(list)
        self.work: dict[str, dict[str, int]] = {}
        self._prepare()

    def _prepare(self) -> None:
        print_progress("serving: 200,000 actions of 50,000 users")
        self.urls = {"ours": self._rig.database("ours")}
        with psycopg.connect(self.urls["ours"], autocommit=True) as connection:
            connection.execute(HISTORY)
            connection.execute("VACUUM ANALYZE user_actions")
        self.stack = self._rig.ours(self.urls["ours"])
        self.key = create_key(self.stack)
        self.stack.manage("compute_rfm")
        rebuild = partial(self.stack.manage, "rebuild_streaks", check=False)  # on a busy machine Redis may time out
        wait_for(lambda: rebuild().returncode == 0, "the streaks")
        for name in (*COMMANDS, "floor"):
            self.urls[name] = self._rig.postgres.create_database(name, "ours")
        self._work, self.relay = Work("ours", self.urls["ours"], "topic_user_actions"), self.stack.program("relay")
        for program in (self.stack.web, self.relay):
            program.start()
        self.peer = Peer(self._rig, PEER, self.urls[PEER])
        self.compare_answers(self.peer.server)

    def run(self) -> None:
        """Run all repetitions, every other one in the opposite order."""
        for name in ("one", "read"):  # warm-up: caches and first connections are not measured
            self._ours(name, 1)
            self._peer(name, 1)
        self.loads.clear()
        for repetition in range(self._scale.repetitions):
            for name in KINDS:
                for turn in self._turns(name, repetition)[:: -1 if repetition % 2 else 1]:
                    quiet(self.urls["ours"])
                    turn(name, self._scale.seconds)
            print_progress(f"serving: repetition {repetition + 1} of {self._scale.repetitions}")
        self.work = {"ours": self._work.check(self._rig.kafka.address)}
        self.work[PEER] = self.peer.check_the_work(self._rig.kafka.address)

    def figures(self) -> Figures:
        """T1 to T3 and T10a."""
        rates = {who: [load.events for load in loads] for who, loads in self.loads.items()}
        cpu = {who: [sum(load.cpu.values()) for load in loads] for who, loads in self.loads.items()}
        found = {"T1b": ratio(cpu[PEER, "one"], cpu["ours", "one"])}
        for against_peer, against_floor, name in (
            ("T1a", "T1c", "one"),
            ("T2a", "T2c", "hundred"),
            ("T2b", "T2d", "thousand"),
            ("T3a", "T3b", "read"),
        ):
            found[against_peer] = ratio(rates["ours", name], rates[PEER, name])
            found[against_floor] = ratio(rates["ours", name], self.floors[name])
        found["T2e"] = ratio(rates["ours", "identified"], self.floors["identified"])
        # The first process only supervises the workers.
        return found | {"T10a": Measured.of([max(resident_mb(self.stack.web.pids()[1:]))])}

    def close(self) -> None:
        """Stop the servers, so that they do not disturb the next measurement."""
        for program in (self.stack.web, self.relay, self.peer):
            program.close()

    @property
    def peak(self) -> float:
        """The highest rate of single actions, per second."""
        return max(load.rate for load in self.loads["ours", "one"])

    def drive_ours(self, kind: Kind, seconds: int, web: Service | None = None) -> Load:
        """Run a load on our web process, or another server of ours, and wait until the relay has delivered its actions.

        The CPU is that of the server and of the relay.
        """
        web = web or self.stack.web
        url, cpu_of = f"http://{web.address}/api/actions", {"web": web, "relay": self.relay}
        load = drive(url, kind, seconds=seconds, users=USERS, key=self.key, cpu_of=cpu_of)
        self._work.add(kind, load)
        self._wait_for_the_relay()
        return load

    def compare_answers(self, peer: Service) -> None:
        """Check that a peer gives 200 users the recommendations that we give."""
        headers = {"X-Forwarded-Proto": "https", "Authorization": f"Api-Key {self.key}"}
        for user_id in range(1, USERS, USERS // 200):
            path = f"/api/user-segments/{user_id}/recommendation"
            ours = call(self.stack.web.address, "GET", path, headers=headers).json()
            theirs = call(peer.address, "GET", path).json()
            if ours["degraded"]:  # on a busy machine Redis may exceed its timeout of 0.1 s
                time.sleep(6)
                ours = call(self.stack.web.address, "GET", path, headers=headers).json()
            if {name: ours[name] for name in theirs} != theirs:
                raise RuntimeError(f"the answers differ for user {user_id}: {ours} and {theirs}")

    def _turns(self, name: str, repetition: int) -> list[Callable[[str, int], None]]:
        """The systems whose load alternates; the peer accepts no event_ids."""
        without_peer = name == "identified" or (name == "thousand" and repetition >= self._scale.peer_thousands)
        return [self._ours, self._floor] if without_peer else [self._ours, self._peer, self._floor]

    def _ours(self, name: str, seconds: int) -> None:
        self.loads["ours", name].append(self.drive_ours(KINDS[name], seconds))

    def _peer(self, name: str, seconds: int) -> None:
        self.loads[PEER, name].append(self.peer.drive(KINDS[name], seconds))

    def _floor(self, name: str, seconds: int) -> None:
        url, kind = self.urls["floor"], KINDS[name]
        if kind == READ:
            value = floors.raw_reads(url, f"{self._rig.redis.url}/0", seconds=seconds, users=USERS)
        elif kind == ONE:
            value = floors.pgbench_inserts(url, seconds=seconds, users=USERS)
        else:
            value = floors.copied_lists(url, size=kind.events, seconds=seconds / 2, users=USERS)
        self.floors[name].append(value)

    def _wait_for_the_relay(self) -> None:
        with psycopg.connect(self.urls["ours"], autocommit=True) as connection:
            wait_for(lambda: not connection.execute("SELECT 1 FROM outbox LIMIT 1").fetchone(), "the relay", 600)
