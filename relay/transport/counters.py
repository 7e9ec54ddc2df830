"""Counters of this worker's transport, as plain integers.

A prometheus counter costs 20 to 100 times an attribute, so the metrics are made of these once a second. They never
decrease, except `connections_open`.
"""

HTTP_REFUSALS = (
    "address_limit",
    "body",
    "busy",
    "cut_for_others",
    "full",
    "head",
    "malformed",
    "overdue",
    "sign_in_busy",
    "sign_in_locked",
    "slow_reader",
)
"""Why a connection or an HTTP request was refused or cut; docs/operations/metrics.md explains each."""


class Counters:
    """Totals since the start of the process. `bytes_in` are payload bytes, `bytes_out` include frame headers."""

    __slots__ = (
        "aborted_close_deadline",
        "aborted_ping_timeout",
        "aborted_slow_readers",
        "aborted_unfinished",
        "aborted_unread",
        "buffers_shrunk",
        "bytes_in",
        "bytes_out",
        "closes",
        "connections_open",
        "connections_opened",
        "handshakes_refused",
        "handshakes_timed_out",
        "http_refused",
        "messages_in",
        "messages_out",
        "protocol_errors",
        "writes",
        "yields",
    )

    def __init__(self) -> None:
        self.connections_open = 0  # accepted and not lost yet
        self.connections_opened = 0
        self.handshakes_refused = 0  # bad WebSocket handshakes: 400 and 426
        self.handshakes_timed_out = 0  # no whole request head in time
        self.messages_in = 0
        self.bytes_in = 0
        self.messages_out = 0
        self.bytes_out = 0
        self.writes = 0  # transport writes that carried messages
        self.protocol_errors = 0  # closes with 1002, 1003, 1007, 1009
        self.aborted_slow_readers = 0  # write buffer above its bound
        self.aborted_unread = 0  # write buffers of all connections took too much memory
        self.aborted_unfinished = 0  # unfinished messages of all connections took too much memory
        self.aborted_ping_timeout = 0  # two pongs missing
        self.aborted_close_deadline = 0  # did not finish the closing handshake in time
        self.yields = 0  # a client's frames were queued so that others get their turn
        self.buffers_shrunk = 0  # parsers replaced because their buffer had grown
        self.http_refused: dict[str, int] = dict.fromkeys(HTTP_REFUSALS, 0)
        self.closes: dict[int, int] = {}  # close code -> connections; 1006 is a connection lost without one
        # 3000 and 4000 stand for all that follow them: clients may choose among 2,000, each of which would be a label

    def closed(self, code: int) -> None:
        """Count one accepted connection that ended with `code`."""
        if code >= 3_000:
            code -= code % 1_000
        self.closes[code] = self.closes.get(code, 0) + 1

    def refused(self, reason: str) -> None:
        """Count one connection or request that was refused for one of HTTP_REFUSALS."""
        self.http_refused[reason] += 1


counters = Counters()
