"""Which instance has the store for itself (sql/sole.sql)."""

from msgspec import Struct

from relay.storage.channel import integer
from relay.storage.reads import Reads


class Claim(Struct, frozen=True, gc=False):
    """The claim of the store at one moment. `serial` is raised with each change of it.

    `mine`: it is that of whoever looks. `foreign`: it is that of another instance, which does not know yet that it is
    not alone. Neither of them: several may be at work, and all know.
    """

    serial: int
    mine: bool
    foreign: bool = False


def claim_of_writer(serial: bytes | None, mine: bytes | None) -> Claim:
    """The claim under which a transaction wrote, from two columns; it has ended a foreign one."""
    return Claim(integer(serial), mine == b"\x01")


async def claim(reads: Reads, me: str) -> Claim:
    """Say that `me` is at work, and claim the store if nobody else is; a foreign claim ends. Raises Failed."""
    ((serial, mine),) = await reads.fetch("SELECT sole_serial, is_sole FROM relay_sole_claim($1::text)", (me,))
    return claim_of_writer(serial, mine)


async def leave(reads: Reads, me: str) -> None:
    """Say that `me` is at work no more; a process of it that is, says so again by itself. Raises Failed."""
    await reads.fetch("DELETE FROM relay_instance WHERE name = $1::text", (me,))
