"""Command line of the benchmarks: python -m tests.benchmarks [rfm|http]; QUICK=1 takes three minutes."""

import os
import sys
import time
from argparse import ArgumentParser

from tests.benchmarks import batch, course, guard, report
from tests.benchmarks.load import need_wrk
from tests.benchmarks.scale import FULL, QUICK, print_progress
from tests.support.programs import Missing


def main() -> None:
    """Run and print the table; a full run writes docs/benchmarks.md, a quick run is compared with its figures."""
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
        guard.save(results.figures | batch.figures(results.batches[:1]))
        print_progress(f"wrote {report.write(results, (time.monotonic() - begin) / 60)}")


def _compare(results: course.Results) -> None:
    worse = list(guard.regressions(results.figures))
    for line in worse:
        print(f"WORSE {line}")
    print_progress(
        f"bench: {len(worse)} of {len(results.figures)} figures more than a third worse than the committed ones"
    )


if __name__ == "__main__":
    main()
