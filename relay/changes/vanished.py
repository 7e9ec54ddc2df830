"""The requests to vanish among some changes of the log, by key.

Rule: one hides what was added before it. What comes after it with an earlier time stays: a gift wrap that is dated
back, or an event of a key whose ban was lifted.
"""

from relay.changes.change import Vanished


class VanishedKeys:
    """Of each key the requests in the order of the log, without those that a later one covers: one for nearly all keys.

    Only a request that follows the removal by a ban may have an earlier time than the one before it.
    """

    __slots__ = ("_requests",)

    def __init__(self) -> None:
        self._requests: dict[str, list[Vanished]] = {}

    def __bool__(self) -> bool:
        return bool(self._requests)

    def add(self, request: Vanished) -> None:
        """Take a request that comes after all that were added."""
        earlier = self._requests.get(request.pubkey, ())
        self._requests[request.pubkey] = [*[other for other in earlier if other.until > request.until], request]

    def discard(self, request: Vanished) -> None:
        """Forget a request; no error if a later one has covered it."""
        left = [other for other in self._requests.get(request.pubkey, ()) if other.seq != request.seq]
        if left:
            self._requests[request.pubkey] = left
        else:
            self._requests.pop(request.pubkey, None)

    def hides(self, key: str, created_at: int, after: int) -> bool:
        """True if a request of `key` after the change `after` hides what was made at `created_at` and added before."""
        return any(request.seq > after and created_at <= request.until for request in self._requests.get(key, ()))
