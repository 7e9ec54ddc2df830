"""Each attack, in a small form: ordinary clients are answered meanwhile, no worker is lost, and memory stays bounded.

How long they wait is a figure of the machine, for `python -m tests.benchmarks.hostile`; here each wait has a limit.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.faults.load import until
from tests.acceptance.relay_process import RelayProcess, running
from tests.hostile.cases import CASES
from tests.hostile.run import beside, settings_of

WORKER_MB = 400
"""More memory than before the attack: what the bounds of one worker allow to a small attack, twice over."""
BACKENDS_MB = 400


@pytest.fixture(scope="module")
def relays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RelayProcess]]:
    """Two workers with the settings that an attack asks for, started once."""
    started: dict[frozenset[tuple[str, str]], RelayProcess] = {}
    with ExitStack() as stack:

        def relay_for(name: str) -> RelayProcess:
            settings = settings_of(name)
            wanted = frozenset(settings.items())
            if wanted not in started:
                folder = tmp_path_factory.mktemp("hostile") / "var"
                relay = RelayProcess(folder, workers=2, roles="web,migrate", settings=settings)
                started[wanted] = stack.enter_context(running(relay))
            return started[wanted]

        yield relay_for


def queries(relay: RelayProcess) -> float:
    """How many queries PostgreSQL has answered, as of a second ago."""
    found = re.search(r"(?m)^nostr_db_queries_total (\S+)$", relay.get("/metrics")[1])
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("name", CASES)
async def test_ordinary_clients_are_answered_beside(relays: Callable[[str], RelayProcess], name: str) -> None:
    relay = relays(name)
    workers, asked = relay.workers(), queries(relay)

    result = await beside(relay, name, "small")

    assert result.told, "the attacker was told nothing: it did not attack"
    assert not any("auth-required" in said for said in result.told), "it asked for what it may not read"
    assert (result.waits.late, len(result.waits.req) > 0) == ([], True)
    assert relay.workers() == workers
    assert result.peaks.worker - result.before.worker < WORKER_MB
    assert result.peaks.backends - result.before.backends < BACKENDS_MB
    if not CASES[name].copies:
        attacker = sum(count for said, count in result.told.items() if said.startswith(("EOSE", "CLOSED")))
        await until(lambda: queries(relay) >= asked + attacker // 2, "queries of the attacker in the database")
