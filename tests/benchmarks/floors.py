"""The floors: baselines of PostgreSQL and Redis alone, without a web application."""

import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg
import redis

from tests.benchmarks.rig import search_path
from tests.support.programs import postgresql_programs

INSERT = """\\set user random(1, {users})
INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
VALUES (gen_random_uuid(), :user, 'purchase', 19.99, now(), now());
"""
COPY = "COPY user_actions (event_id, user_id, action_type, value, action_timestamp, received_at) FROM STDIN"
ROWS = """SELECT string_agg(concat_ws(E'\\t', gen_random_uuid(), floor(random() * %s)::bigint + 1, 'purchase', '19.99',
    now(), now()) || E'\\n', '') FROM generate_series(1, %s)"""
SEGMENT = "SELECT rfm_group, risk_profile FROM user_segments WHERE user_id = %s"


def pgbench_inserts(url: str, *, seconds: int, users: int) -> float:
    """Committed inserts of single rows per second, by prepared statements of 8 clients."""
    with tempfile.TemporaryDirectory() as folder:
        (script := Path(folder, "insert.sql")).write_text(INSERT.format(users=users))
        command = [str(postgresql_programs() / "pgbench"), "--no-vacuum", "--protocol=prepared", "--client=8"]
        command += [f"--time={seconds}", f"--file={script}", url]
        output = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": search_path()}).stdout
    return next(float(line.split()[2]) for line in output.splitlines() if line.startswith("tps"))


def copied_lists(url: str, *, size: int, seconds: float, users: int) -> float:
    """Rows per second of one connection that COPYs lists and commits each."""
    copied, spent = 0, 0.0
    with closing(psycopg.connect(url, autocommit=True)) as connection, connection.cursor() as cursor:
        while spent < seconds:
            lines = [cursor.execute(ROWS, [users, size]).fetchone()[0] for _ in range(20)]  # type: ignore[index]
            begin = time.perf_counter()
            for rows in lines:
                with cursor.copy(COPY) as copy:
                    copy.write(rows)
            spent += time.perf_counter() - begin
            copied += len(lines) * size
    return copied / spent


def raw_reads(url: str, redis_url: str, *, seconds: float, users: int) -> float:
    """Reads per second of two processes, each in a loop of one prepared SELECT and one Redis GET."""
    command = [sys.executable, "-m", "tests.benchmarks.floors", url, redis_url, str(seconds), str(users)]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return sum(float(loop.communicate(timeout=seconds + 60)[0]) for loop in loops)


def read_loop(url: str, redis_url: str, seconds: float, users: int) -> float:
    """Reads per second of one of the two loops."""
    with psycopg.connect(url, autocommit=True) as connection, redis.Redis.from_url(redis_url) as streaks:
        reads, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            user_id = reads * 7919 % users + 1
            connection.execute(SEGMENT, [user_id], prepare=True).fetchone()
            streaks.get(f"user:{user_id}:streak_count")
            reads += 1
        return reads / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(read_loop(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
