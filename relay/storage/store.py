"""placeholder until the sql branch is merged"""

from msgspec import Struct


class Store(Struct, frozen=True, gc=False):
    identity: str
    generation: str
    epoch: int

    @property
    def name(self) -> str:
        return f"{self.identity}.{self.epoch}.{self.generation}"


def current_store() -> Store:
    raise NotImplementedError
