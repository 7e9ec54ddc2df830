"""One connection to PostgreSQL, or a pooler before it, shared by many queries: prepared, pipelined, binary.

A query through psycopg's cursors and pool costs the loop about 200 us before PostgreSQL gets it. Here it is one call of
libpq, one write and one callback, and queries follow each other without waiting for earlier answers. Rule: each query
is a transaction of its own, so an error affects no other query.

Queries sent with `grouped` in one turn of the loop are the exception: they share one write, one transaction and one
answer of the server, so they must only read. One that fails ends those behind it, which get Skipped. Where the
transaction has one snapshot, its first query alone is asked for the columns that are the same for all.
"""

import asyncio
import contextlib
import select
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

from psycopg import errors, pq
from psycopg.pq import ExecStatus

from relay.storage.database import Connection
from relay.storage.request import Parameter, Request, Row, Shared

MAX_STATEMENTS = 400
"""Prepared statements kept on one connection; the least recently used is deallocated."""

MAX_STATEMENTS_BYTES = 1_048_576
"""Their texts: PostgreSQL keeps 70 times as much memory for one, and 400 of the longest would take 14 GB."""

MAX_PREPARED_BYTES = 65_536
"""A longer text is sent without a name, and PostgreSQL forgets it with the next one. So what is under way, eight at
most, is never deallocated.
"""

_NOTHING: Row = ()


class Broken(Exception):
    """the connection to the database is closed"""


class Skipped(Exception):
    """a statement before this one in its group failed, so it did not run"""


class Channel:
    """Takes over a new connection. `closed` completes with the reason when it can no longer be used."""

    def __init__(self, connection: Connection) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self.on_answer: Callable[[int], None] | None = None
        """Called in a turn of its own after each answer with the number of its requests, also for cancelled ones."""
        self._connection = connection
        self._libpq: Any = connection.pgconn
        self.prelude = connection.prelude.encode()
        """A statement that precedes each one in its transaction; none if empty."""
        self._is_named = connection.is_named
        self._may_share = connection.has_one_snapshot
        self._socket: int = self._libpq.socket
        self._statements: OrderedDict[bytes, bytes] = OrderedDict()
        self._texts_bytes = 0
        """Of `_statements`."""
        self._unneeded: list[bytes] = []
        """Names to be deallocated with the next new name."""
        self._named = 0
        self._requests: deque[Request] = deque()
        self._groups: deque[int] = deque()  # requests of each answer to come
        self.open_group = 0
        """Requests that leave with the end of this turn."""
        self._is_led = False  # one of them has the shared columns
        self._results: list[Any] = []
        self._command: list[Any] = []
        self._writing = False
        self._libpq.nonblocking = 1
        self._libpq.enter_pipeline_mode()
        self._loop.add_reader(self._socket, self._readable)
        self._failures = select.poll()
        self._failures.register(self._socket, 0)  # only errors and the peer's end

    def __len__(self) -> int:
        return len(self._requests)

    def holds(self, request: Request) -> bool:
        """True while the request waits for its answer here."""
        return request in self._requests

    def send(
        self,
        text: bytes,
        parameters: Sequence[Parameter],
        *,
        grouped: bool = False,
        future: "asyncio.Future[list[Row]] | None" = None,
        shared: Shared | None = None,
    ) -> Request:
        """Send one statement, now or, `grouped`, at the end of this turn with others. Its future, a new one if there is
        none yet, gets the rows, psycopg.Error, Broken, or, if grouped, Skipped. Its `shared` columns are taken from
        another statement of its group that has them.
        """
        if future is None:
            future = self._loop.create_future()
        takes = 0
        if shared is not None and self._is_led and grouped:
            text, takes = shared.text, shared.columns
        request = Request(text, future, False)
        if self.closed.done():
            future.set_exception(Broken(self.closed.result()))
            return request
        values = [_value(parameter) for parameter in parameters]
        formats = [1 if type(parameter) is bytes else 0 for parameter in parameters]
        try:
            if not grouped:
                self._end_group()
            if self.prelude:
                self._libpq.send_query_params(self.prelude, None)
                request.commands += 1
            if self._is_named and len(text) <= MAX_PREPARED_BYTES:
                name = self._prepared(request)
                self._libpq.send_query_prepared(name, values, formats, result_format=1)
            else:
                self._libpq.send_query_params(text, values, param_formats=formats, result_format=1)
            self._requests.append(request)
            self.open_group += 1
            request.takes = takes
            if grouped and shared is not None and self._may_share and not takes:
                request.leads = self._is_led = True
            if not grouped:
                self._end_group()
            elif self.open_group == 1:
                self._loop.call_soon(self._end_group)
        except errors.OperationalError as error:
            self.close(str(error).strip() or "the connection failed")
            if not future.done():
                future.set_exception(Broken(self.closed.result()))
        return request

    def _end_group(self) -> None:
        if not self.open_group:
            return
        try:
            self._groups.append(self.open_group)
            self.open_group = 0
            self._is_led = False
            self._libpq.pipeline_sync()
            self._flush()
        except errors.OperationalError as error:
            self.close(str(error).strip() or "the connection failed")

    def _prepared(self, request: Request) -> bytes:
        """The name of the prepared statement; a new one is prepared in the same round trip."""
        statements = self._statements
        name = statements.get(request.text)
        if name is not None:
            statements.move_to_end(request.text)
            return name
        size = len(request.text)
        while len(statements) >= MAX_STATEMENTS or (statements and self._texts_bytes + size > MAX_STATEMENTS_BYTES):
            text, oldest = statements.popitem(last=False)
            self._texts_bytes -= len(text)
            if not self.prelude:  # a pooler gives them other names, and forgets them by itself
                self._unneeded.append(oldest)
        if self._unneeded:
            request.deallocates, self._unneeded = self._unneeded, []
            for unneeded in request.deallocates:
                self._libpq.send_query_params(b"DEALLOCATE " + unneeded, None)
            request.commands += len(request.deallocates)
        self._named += 1
        name = b"q%d" % self._named
        self._libpq.send_prepare(name, request.text)
        statements[request.text] = name
        self._texts_bytes += size
        request.prepares = True
        request.commands += 1
        return name

    def _flush(self) -> None:
        more = self._libpq.flush()
        if more and not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket, self._writable)
        elif not more and self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket)

    def _writable(self) -> None:
        try:
            self._flush()
        except errors.OperationalError as error:
            self.close(str(error).strip())

    def _readable(self) -> None:
        libpq = self._libpq
        try:
            libpq.consume_input()
            while not libpq.is_busy():
                result = libpq.get_result()
                if result is None:
                    if not self._command:
                        break
                    self._results += self._command
                    self._command = []
                elif result.status == ExecStatus.PIPELINE_SYNC:
                    self._answer()
                else:
                    self._command.append(result)
            if self._writing:
                self._flush()
        except errors.OperationalError as error:
            self.close(str(error).strip())
        if libpq.status != pq.ConnStatus.OK:
            self.close("the server closed the connection")
        elif self._failures.poll(0):
            # uvloop calls a reader only once for a failed socket: the rest is read without it.
            self._loop.call_soon(self._readable)

    def _answer(self) -> None:
        """Complete the requests of the oldest group: all their results have arrived."""
        size = self._groups.popleft()
        if self.on_answer is not None:
            self._loop.call_soon(self.on_answer, size)
        results, self._results = self._results, []
        begin, shared = 0, _NOTHING
        for left in range(size - 1, -1, -1):
            request = self._requests.popleft()
            end = begin + request.commands if left else len(results)
            rows = self._settle(request, results[begin:end], shared[: request.takes])
            if request.leads and rows:
                shared = rows[0]
            begin = end

    def _settle(self, request: Request, results: list[Any], shared: Row) -> Sequence[Row]:
        """Complete the request; returns its rows, if it has any. `shared`: columns that come before its own."""
        error = next((r for r in results if r.status == ExecStatus.FATAL_ERROR), None)
        is_skipped = results[-1].status == ExecStatus.PIPELINE_ABORTED
        if request.prepares and is_skipped and self._statements.pop(request.text, None):
            self._texts_bytes -= len(request.text)  # it failed before its execution, so it was not prepared
        if request.deallocates and results[0].status == ExecStatus.PIPELINE_ABORTED:
            self._unneeded += request.deallocates
        request.is_skipped = is_skipped and error is None
        future = request.future
        is_wanted = not future.done()
        if error is not None:
            if is_wanted:
                future.set_exception(errors.error_from_result(error))
            return ()
        if request.is_skipped:
            if is_wanted:
                future.set_exception(Skipped())
            return ()
        if not (is_wanted or request.leads):
            return ()
        last = results[-1]
        get = last.get_value
        columns = range(last.nfields)
        rows: list[Row] = [(*shared, *[get(row, column) for column in columns]) for row in range(last.ntuples)]
        if is_wanted:
            future.set_result(rows)
        return rows

    async def cancel(self, seconds: float) -> None:
        """Ask the server to end whatever runs, for at most `seconds`; when this returns, the request has arrived or has
        failed. No error: the time-out of the statement ends it otherwise.
        """
        with contextlib.suppress(errors.Error, OSError):
            await self._connection.cancel_safe(timeout=seconds)

    def close(self, reason: str) -> None:
        """Close the connection; waiting requests get Broken."""
        if self.closed.done():
            return
        self.closed.set_result(reason)
        self._loop.remove_reader(self._socket)
        if self._writing:
            self._loop.remove_writer(self._socket)
        self._libpq.finish()
        for request in self._requests:
            if not request.future.done():
                request.future.set_exception(Broken(reason))
        self._requests.clear()
        self._groups.clear()
        self.open_group = 0


def _value(parameter: Parameter) -> bytes | None:
    if parameter is None or type(parameter) is bytes:
        return parameter
    return str(parameter).encode()


def integer(value: bytes | None) -> int:
    """An integer of any width in binary format; null is 0."""
    return int.from_bytes(value or b"", "big", signed=True)


def integers(value: bytes | None) -> list[int]:
    """The integers of an array that was cast to text; empty for null."""
    return [int(number) for number in (value or b"{}")[1:-1].split(b",") if number]
