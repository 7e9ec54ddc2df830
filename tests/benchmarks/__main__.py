"""`python -m tests.benchmarks [--keep] [name ...]`: measure, compare with the kept ratios, and keep them if told to."""

import argparse
import sys

from tests.benchmarks import core, figure

SERVERS = ("caching", "storage", "server")
"""Those that start servers of their own."""


def main() -> int:
    """Measure what is named, or all that needs no server; prints the table."""
    measures = dict(core.FIGURES)
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help=f"what to measure: {', '.join(measures)}, {', '.join(SERVERS)}; all if none"
    )
    parser.add_argument("--keep", action="store_true", help="keep the ratios for later runs to be compared with")
    arguments = parser.parse_args()
    names = arguments.names or [*measures, *SERVERS]
    unknown = [name for name in names if name not in measures and name not in SERVERS]
    if unknown:
        parser.error(f"there is no benchmark named {', '.join(unknown)}")
    found: list[figure.Figure] = []
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found += _measure(name)
    print(figure.table(found))
    if arguments.keep:
        figure.save(found)
    return 0


def _measure(name: str) -> list[figure.Figure]:
    # Each of these needs servers, some set Django up for them: it is imported when it is asked for.
    if name == "storage":
        from tests.benchmarks import storage

        return storage.measure()
    if name == "server":
        from tests.benchmarks import server

        return server.measure()
    if name == "caching":
        from tests.benchmarks import caching

        return caching.measure()
    return [core.FIGURES[name]()]


if __name__ == "__main__":
    sys.exit(main())
