"""Which rules of retention hold: those of the settings and those that operators have listed."""

from relay.conf import limits
from relay.policies.lists import ListName
from relay.protocol.retention import NotARule, Retention, Rule, parse_rule, retention_of
from relay.services import process
from relay.storage import moderation


def stored_retention() -> Retention:
    """What is kept by the settings and the lists in the database; for jobs and commands."""
    return retention_of(tuple(sorted({*limits().retention, *listed()}, key=str)))


def listed() -> list[Rule]:
    """The rules that operators have listed. One that this release of the software cannot read is left out."""
    found = []
    for text in moderation.keys(ListName.RETENTION):
        try:
            found.append(parse_rule(text))
        except NotARule:
            continue
    return found


def retention_in_force() -> Retention:
    """What this process tells its clients; by the settings alone where no relay runs in it."""
    relay = process.current()
    return retention_of(limits().retention) if relay is None else relay.lists.retention
