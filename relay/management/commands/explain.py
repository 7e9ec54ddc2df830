"""`manage.py explain`: what a query of clients costs the database, and why. See docs/operations/database.md.

Exit codes: 0 done; 1 the database does not answer; 2 bad filter, key or option.
"""

from argparse import BooleanOptionalAction
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
import psycopg
from django.core.management.base import CommandError, CommandParser

from relay.conf import config
from relay.management.command import CommandWithExamples
from relay.management.explain_text import as_json, as_text
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.limits import Limits
from relay.protocol.messages import Refused, ReqMessage, parse_message
from relay.services.moderation import CannotModerate, public_key
from relay.storage.explain import explain

HELP = """Shows the SQL that a REQ of these filters sends, with its values, the plan with the pages that it touches, how
many entries were read for how many events, whether a bound was met, and what to do. It only reads, and each statement
runs for at most RELAY_QUERY_SECONDS."""
EXAMPLES = """examples:
  manage.py explain '{"kinds":[1],"limit":100}'
  manage.py explain '["REQ","feed",{"authors":["<64 hex digits>"],"kinds":[1,6]}]'
  manage.py explain '{"kinds":[1059],"#p":["<64 hex digits>"]}' --audience npub1...
  manage.py explain '{"#t":["nostr"],"kinds":[30023]}' --no-analyze
  manage.py explain '{"kinds":[1]}' --json | jq '.attempts[].accesses'"""


class Command(CommandWithExamples):
    """Needs the database, beside running relays or without any."""

    help = HELP
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the options."""
        add = parser.add_argument
        add(
            "filters",
            nargs="+",
            metavar="FILTER",
            help="a filter of NIP-01 in JSON, or a whole REQ; several are one REQ",
        )
        add(
            "--audience", action="append", default=[], metavar="NPUB",
            help="a public key (npub or hex) that the client has proved (NIP-42); default: none",
        )  # fmt: skip
        add("--analyze", action=BooleanOptionalAction, default=True, help="run the statements; default: yes")
        add("--json", action="store_true", help="as JSON, with whole values and PostgreSQL's own plan")

    def handle(self, *_: Any, **options: Any) -> None:
        """Django: explain; CommandError for a bad filter or a database that does not answer."""
        filters = parse_filters(options["filters"], config().limits)
        try:
            audience = Audience.of(public_key(key) for key in options["audience"])
        except CannotModerate as fault:
            raise CommandError(f"--audience: {fault}", returncode=2) from None
        try:
            explained = explain(filters, audience, analyze=options["analyze"], seconds=config().query_seconds)
        except psycopg.Error as error:
            raise CommandError(
                f"the database failed ({str(error).strip()}). Check the server at DATABASE_URL."
            ) from None
        if options["json"]:
            self.stdout.write(msgspec.json.format(msgspec.json.encode(as_json(explained))).decode())
        else:
            self.stdout.write("\n".join(as_text(explained)))


def parse_filters(texts: Sequence[str], limits: Limits) -> Sequence[Filter]:
    """The filters of one REQ, from JSON texts: each a filter, an array of filters or a REQ.

    Raises CommandError with what the relay would answer.
    """
    listed: list[object] = []
    for text in texts:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as fault:
            raise CommandError(f"a filter must be JSON: {fault.msg}", returncode=2) from None
        given = value if isinstance(value, list) else [value]
        listed += given[2:] if given[:1] == ["REQ"] else given
    try:
        message = parse_message(orjson.dumps(["REQ", "explain", *listed]), limits)
    except Refused as refused:
        raise CommandError(orjson.loads(refused.reply)[2], returncode=2) from None
    assert isinstance(message, ReqMessage)
    return message.filters
