"""Whether a process can serve clients now, and which of its parts do not work: the answer of /ready."""

from relay.services.runtime import ALONE, LEAVING, Relay

MANY_CHANGES = 10_000
"""So far behind the log a worker is degraded: some seconds of its work. The alert RelayPositionLag counts seconds."""


def problem(relay: Relay) -> str | None:
    """Why the process of `relay` cannot serve clients exactly now, None if it can."""
    if relay.leaving:
        return LEAVING
    if (why := relay.unready()) is not None:
        return why
    if relay.watch.is_alone:
        return ALONE
    return None


def degraded(relay: Relay) -> list[str]:
    """What does not work while clients are served exactly all the same.

    Being behind the log is one of these, however long it lasts: what the worker lacks PostgreSQL answers. Every
    instance applies the same log, and a balancer that took them all out would cut their clients, who come back as a
    second flood. A probe reaches one worker alone: a failure would cut the clients of the others of its instance too.
    An operator drains an instance that alone does not catch up.
    """
    faults = []
    if not relay.watch.is_up:
        faults.append("the primary does not answer: events are refused, and memory and replicas answer queries")
    if not relay.bus.up:
        faults.append("the bus is down: changes of other processes come late, from the log")
    elif not relay.bus.whole:
        faults.append("a server of the bus is down: the others carry what it carried")
    if relay.shared is not None and not relay.shared.up:
        faults.append("the shared cache is down: the database answers in its place")
    if relay.follower.lag > MANY_CHANGES:
        faults.append(
            f"{relay.follower.lag} changes behind the log: live events come late, the database answers queries"
        )
    return faults
