"""`manage.py loadtest ws://...`: a load test of any Nostr relay, for operators and for CI. See docs/loadtest.md.

Rule: it needs no database and no settings. Exit codes: 0 all thresholds met, 1 one was missed, 2 wrong usage or no
connection, 130 stopped with Ctrl-C (what was measured until then is reported).
"""

import sys
from pathlib import Path
from time import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from relay.loadtest.address import AddressError, check_address
from relay.loadtest.advice import THRESHOLDS, ThresholdError, parse_thresholds
from relay.loadtest.coordinator import probe, run_load
from relay.loadtest.journal import Journal
from relay.loadtest.page import as_html
from relay.loadtest.plan import Plan, Scenario
from relay.loadtest.planning import PlanError, make_plan, new_run
from relay.loadtest.report import make_report
from relay.loadtest.results import Report, to_json
from relay.loadtest.text import Progress, as_text
from relay.loadtest.view import as_line, follow

INTERVAL_SECONDS = 10.0

NUMBERS: dict[str, tuple[type, str]] = {
    "connections": (int, "connections that publish and query; in idle, the open ones"),
    "subscribers": (int, "connections that follow all events live"),
    "events": (int, "events at most (in mixed: --event-rate times --duration)"),
    "duration": (float, "seconds of load"),
    "event-rate": (float, "events a second (mixed)"),
    "query-rate": (float, "queries a second (mixed)"),
    "window": (int, "events under way on one connection (ingest, fanout)"),
    "processes": (int, "worker processes of the load generator"),
    "authors": (int, "keys that sign the events"),
    "seed": (int, "another mix of events for another number"),
    "interval": (float, "seconds of a line of --log, 10 unless given"),
}


class Command(BaseCommand):
    """The command; its help is in `help`."""

    help = "Measures a Nostr relay under load, over its WebSocket. Loopback only, unless --allow-remote."
    requires_system_checks = []  # noqa: RUF012 (Django's own way): it concerns another relay, perhaps

    def add_arguments(self, parser: CommandParser) -> None:
        """The arguments; a number that is not given has the scenario's value."""
        parser.add_argument(
            "urls",
            nargs="*",
            metavar="url",
            help="the relay, such as ws://127.0.0.1:8000; several addresses of one relay share the connections",
        )
        parser.add_argument(
            "--scenario", choices=[scenario.value for scenario in Scenario], default="mixed", help="default: mixed"
        )
        for name, (kind, text) in NUMBERS.items():
            parser.add_argument(f"--{name}", type=kind, help=f"{text}; the default is the scenario's")
        parser.add_argument(
            "--existing", action="store_true", help="query what the relay holds, publish nothing (query)"
        )
        parser.add_argument(
            "--reopen",
            action="store_true",
            help="open connections again that have ended, as a run of more than 20,000 events does (mixed)",
        )
        defaults = ",".join(f"{name}={limit:g}" for name, limit in THRESHOLDS.items())
        parser.add_argument("--thresholds", default="", metavar="NAME=NUMBER,...", help=f"default: {defaults}")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON; - for standard output")
        parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page with plots")
        parser.add_argument("--log", type=Path, metavar="FILE", help="append a line of JSON for each --interval")
        parser.add_argument("--view", type=Path, metavar="FILE", help="only show the log of a run, and follow it")
        parser.add_argument("--allow-remote", action="store_true", help="another machine than this one, with consent")
        parser.add_argument("--quiet", action="store_true", help="no progress and no text; exit code and files alone")

    def handle(self, *_args: object, **options: Any) -> None:
        """Run the test and exit: 0 passed, 1 a threshold was missed, 2 no connection or bad arguments, 130 Ctrl-C."""
        if options["view"] is not None:
            self._view(options["view"])
            return
        plan, limits = self._understand(options)
        for url in plan.urls:
            if (refusal := probe(url)) is not None:
                raise CommandError(f"cannot connect to {url}: {refusal}", returncode=2)
        journal = self._journal(plan, options["log"])
        progress = Progress(sys.stderr, plan.duration, quiet=options["quiet"])
        outcome = run_load(plan, progress.show, journal.collect if journal else lambda _members: None)
        progress.end()
        report = make_report(plan, outcome, limits)
        if journal is not None:
            journal.end(report.run.seconds, passed=report.passed, interrupted=outcome.interrupted)
        self._hand_over(report, options)
        if not report.figures.connections.opened and not outcome.interrupted:
            raise CommandError(f"no connection to {', '.join(plan.urls)} could be opened", returncode=2)
        sys.exit(130 if outcome.interrupted else 0 if report.passed else 1)

    def _understand(self, options: dict[str, Any]) -> tuple[Plan, dict[str, float]]:
        given = {name.replace("-", "_"): options[name.replace("-", "_")] for name in NUMBERS}
        if options["log"] is not None and given["interval"] is None:
            given["interval"] = INTERVAL_SECONDS
        scenario = Scenario(options["scenario"])
        try:
            urls = [check_address(url, allow_remote=options["allow_remote"]) for url in options["urls"]]
            if not urls:
                raise PlanError("an address is needed, such as ws://127.0.0.1:8000")
            if options["existing"] and scenario is not Scenario.QUERY:
                raise PlanError("--existing goes with --scenario query alone")
            if options["reopen"] and scenario is not Scenario.MIXED:
                raise PlanError("--reopen goes with --scenario mixed alone")
            for name in ("json", "html", "log"):
                _check_writable(options[name])
            plan = make_plan(
                urls,
                scenario,
                given,
                existing=options["existing"],
                reopen=options["reopen"],
                run=new_run(),
                now=int(time()),
            )
            return plan, parse_thresholds(options["thresholds"])
        except (AddressError, PlanError, ThresholdError) as fault:
            raise CommandError(str(fault), returncode=2) from None

    def _journal(self, plan: Plan, path: Path | None) -> Journal | None:
        try:
            return Journal(path, plan) if path is not None else None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=2) from None

    def _view(self, path: Path) -> None:
        try:
            for entry in follow(path):
                self.stdout.write(as_line(entry))
                self.stdout.flush()
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}", returncode=2) from None

    def _hand_over(self, report: Report, options: dict[str, Any]) -> None:
        to_stdout = options["json"] == Path("-")
        if to_stdout:
            self.stdout.write(to_json(report).decode(), ending="")
        elif options["json"]:
            options["json"].write_bytes(to_json(report))
        if options["html"]:
            options["html"].write_text(as_html(report), encoding="utf-8")
        if not options["quiet"] and not to_stdout:
            self.stdout.write(as_text(report), ending="")


def _check_writable(path: Path | None) -> None:
    """Before the run: a report that cannot be written would be lost after it."""
    if path is not None and path != Path("-") and (path.is_dir() or not path.absolute().parent.is_dir()):
        raise PlanError(f"{path} cannot be written: it is a folder, or its folder does not exist")
