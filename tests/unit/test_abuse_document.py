"""docs/operations/abuse.md names every setting that bounds a client and every metric of a refusal."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/operations/abuse.md").read_text()
SETTINGS = dict(
    re.findall(r"^\| `(RELAY_[A-Z_]+)` \| ([^|]*) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
)
METRICS = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/operations/metrics.md").read_text(), re.MULTILINE))
DOCUMENTED = dict(re.findall(r"^\| `(RELAY_[A-Z_]+)` \| ([^|]*) \|", DOCUMENT, re.MULTILINE))

BOUND = re.compile(
    r"^RELAY_(MAX|RATE|LOGIN)_|_(SECONDS|BYTES|QUEUE|PER_OWNER|LIMIT|CONNECTIONS|THREADS|BATCH|POOL_MAX)$"
)
OF_POLICIES = re.compile(r"^RELAY_POLICY_|^nostr_events_refused_total$")
"""Policies, and what they refuse, have a document of their own."""
OF_NO_CLIENT = {
    *(
        "RELAY_HEARTBEAT_SECONDS",
        "RELAY_DRAIN_SECONDS",
        "RELAY_LEAVE_SECONDS",
        "RELAY_SWEEP_SECONDS",
        "RELAY_STALE_READ_SECONDS",
    ),
    *(
        "RELAY_CONNECT_SECONDS",
        "RELAY_CONNECTION_IDLE_SECONDS",
        "RELAY_CONNECTION_AGE_SECONDS",
        "RELAY_SLOW_QUERY_SECONDS",
    ),
}
"""Durations of the relay's own processes and connections, and a threshold that refuses nothing."""
REFUSAL = re.compile(r"refused|rejected|dropped|timed_out|aborted|closures|limited|too_broad|cancelled|protocol_errors")


def test_every_setting_that_bounds_a_client_is_in_the_document_with_its_default() -> None:
    theirs = {name for name in SETTINGS if name in OF_NO_CLIENT or OF_POLICIES.search(name)}
    bounds = {name: default for name, default in SETTINGS.items() if BOUND.search(name) and name not in theirs}

    assert len(bounds) > 30
    assert bounds == DOCUMENTED


def test_every_metric_that_counts_a_refusal_is_in_the_document() -> None:
    named = set(re.findall(r"`((?:nostr|relay)_[a-z_]+)`", DOCUMENT))

    assert {name for name in METRICS if REFUSAL.search(name) and not OF_POLICIES.search(name)} - named == set()
    assert named - METRICS == set()
