"""One attack beside ordinary clients, with what it cost: for the tests and the benchmark."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from tests.acceptance.relay_process import PROJECT, RelayProcess
from tests.hostile.cases import CASES, LIMIT_SECONDS
from tests.hostile.innocent import Waits, innocents
from tests.hostile.watch import Peaks, Watch, now
from tests.hostile.wire import Told

EXEMPT: Mapping[str, str] = {"RELAY_IP_LIMIT_EXEMPT": "10.0.0.0/8"}
"""No address of this machine is exempt from limits."""
RATES = ("MESSAGES", "BYTES", "EVENTS", "QUESTIONS", "SIGN_INS", "AUTHOR")
SETTINGS: Mapping[str, str] = {**EXEMPT, **{f"RELAY_RATE_{name}": "0" for name in RATES}}
"""And no rate stops an attacker before it meets the other bounds: it has as much as an attacker with many addresses."""
AFTER_SECONDS = 0.3
"""For so long the innocents go on when the attacker has left, because leaving costs the relay something too."""


@dataclass(frozen=True, slots=True)
class Result:
    """Memory in megabytes, the times of the innocents in seconds."""

    told: Told
    waits: Waits
    before: Peaks
    peaks: Peaks


def settings_of(name: str, base: Mapping[str, str] = SETTINGS) -> dict[str, str]:
    """Of the relay that the attack meets: a small store would be answered from memory, a large one is not."""
    return {**base, **({} if CASES[name].copies else {"RELAY_CACHE_LAYERS": "none"})}


async def beside(relay: RelayProcess, name: str, size: str) -> Result:
    """Run an attack and the innocent clients; AssertionError when the attacker itself fails."""
    before = now(relay)
    with Watch(relay) as watch:
        async with innocents(relay.port) as waits:
            told = await attacked(name, size, relay.port)
            await asyncio.sleep(AFTER_SECONDS)
    return Result(told, waits, before, watch.peaks)


async def attacked(name: str, size: str, port: int) -> Told:
    """Run the attacker in its process; what it was told."""
    arguments = ("-m", "tests.hostile.cases", name, size, str(port))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=PROJECT, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(LIMIT_SECONDS[size] + 20):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, errors.decode()
    return Told(json.loads(out))
