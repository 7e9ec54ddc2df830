"""Metrics of anti-entropy, counted in the process that runs it: those of a command end with it, its row stays."""

from prometheus_client import Counter

from replication.reconcile.report import Report

runs = Counter("relay_replication_repair_runs", "Runs of anti-entropy, by how they ended.", ["peer", "outcome"])
windows = Counter("relay_replication_repair_windows", "Windows of time that were compared with a peer.", ["peer"])
compared = Counter("relay_replication_repair_compared", "Events that were compared with a peer.", ["peer"])
received = Counter("relay_replication_repair_received", "Events that this region lacked.", ["peer", "outcome"])
sent = Counter("relay_replication_repair_sent", "Events that the peer lacked.", ["peer", "outcome"])


def count_run(peer: str, report: Report, *, failed: bool) -> None:
    """Count one run that has ended."""
    outcome = "failed" if failed else "whole" if report.is_whole else "stopped"
    runs.labels(peer, outcome).inc()
    windows.labels(peer).inc(report.windows)
    compared.labels(peer).inc(report.compared)
    for status, count in report.taken.items():
        received.labels(peer, status).inc(count)
    for status, count in report.given.items():
        sent.labels(peer, status).inc(count)
