"""python -m tests.benchmarks [rfm|http]; QUICK=1 for three minutes."""

import os
import sys
import time
from argparse import ArgumentParser

from tests.benchmarks import batch, course, guard, report
from tests.benchmarks.load import need_wrk
from tests.benchmarks.scale import FULL, QUICK, say
from tests.support.programs import Missing


def main() -> None:
    """Run, print the table; a full run writes docs/benchmarks.md, a quick one is compared with it."""
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=("rfm", "http"))
    part = parser.parse_args().part
    quick = os.environ.get("QUICK", "0") not in ("", "0")
    begin = time.monotonic()
    try:
        need_wrk()
        results = course.run(QUICK if quick else FULL, part)
    except Missing as missing:
        sys.exit(f"bench: {missing}")
    print("\n".join(["", *report.table(results.figures), ""]))
    if quick:
        _compare(results)
    elif part is None:
        guard.keep(results.figures | batch.figures(results.batches[:1]))
        say(f"wrote {report.write(results, (time.monotonic() - begin) / 60)}")


def _compare(results: course.Results) -> None:
    dropped = list(guard.dropped(results.figures))
    for line in dropped:
        print(f"WORSE {line}")
    say(f"bench: {len(dropped)} of {len(results.figures)} figures more than a third worse than the committed ones")


if __name__ == "__main__":
    main()
