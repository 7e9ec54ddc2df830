"""Each attack, in a small form: ordinary clients are answered meanwhile, no worker is lost, and memory stays bounded.

How long they wait is a figure of the machine, for `python -m tests.benchmarks.hostile`; here each wait has a limit.
"""

from collections.abc import Iterator

import pytest

from tests.acceptance.relay_process import RelayProcess
from tests.hostile.cases import CASES
from tests.hostile.run import SETTINGS, beside

WORKER_MB = 400
"""More memory than before the attack: what the bounds of one worker allow to a small attack, twice over."""
BACKENDS_MB = 400


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    process = RelayProcess(tmp_path_factory.mktemp("hostile") / "var", workers=2, settings=SETTINGS)
    try:
        yield process.start()
    finally:
        process.destroy()


@pytest.mark.parametrize("name", CASES)
async def test_ordinary_clients_are_answered_beside(relay: RelayProcess, name: str) -> None:
    workers = relay.workers()

    result = await beside(relay, name, "small")

    assert result.told, "the attacker was told nothing: it did not attack"
    assert (result.waits.late, len(result.waits.req) > 0) == ([], True)
    assert relay.workers() == workers
    assert result.peaks.worker - result.before.worker < WORKER_MB
    assert result.peaks.backends - result.before.backends < BACKENDS_MB
