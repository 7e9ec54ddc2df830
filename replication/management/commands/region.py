"""`manage.py region`: list, add, change, rename and remove regions, and rotate secrets. See docs/operations/regions.md.

A new secret is printed on standard output, once. Exit codes: 0 done; 1 refused; 2 usage error.
"""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from getpass import getpass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from relay.management.command import CommandWithExamples
from replication.described import location_of
from replication.models import Region
from replication.wire import MIN_SECRET_LENGTH

MAX_KEEP_DAYS = 365
STANDARD_INPUT = "-"
GIVEN_HELP = "the one that the peer has made; -: a line of standard input; default: a random one"
KEEP_HELP = "how long the secret before stays valid, 0 to 365; default: 7"
LOCATION_HELP = "latitude and longitude in degrees, such as 40.71,-74.01; in the south --location=-33.87,151.21"
EXAMPLES = """examples:
  manage.py region add eu --local --location 52.52,13.40 --relay wss://eu.relay.example.com
  manage.py region add us --endpoint https://us.relay.example.com --location 40.71,-74.01
  manage.py region list
  manage.py region rotate us
  manage.py region rename us us-east
  manage.py region remove us"""

FLAGS = {
    "enabled": "send to it and take from it",
    "trusted": "do not verify signatures of its events again",
    "may_read_private": "send it private kinds",
    "own_only": "send it only what was published here",
}


class Command(CommandWithExamples):
    """One subcommand for each step of docs/operations/regions.md."""

    help = "Lists and changes the regions that this relay replicates with."
    examples = EXAMPLES

    def add_arguments(self, parser: CommandParser) -> None:
        """Django: the subcommands."""
        steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
        steps.add_parser("list", help="print all regions")
        for step, text in (("add", "add a region"), ("set", "change a region")):
            step_parser = steps.add_parser(step, help=text)
            step_parser.add_argument("name")
            _add_options(step_parser, is_new=step == "add")
        rotate = steps.add_parser("rotate", help="give a peer a new secret; the one before stays valid for a while")
        rotate.add_argument("name")
        rotate.add_argument("--secret", default="", help=GIVEN_HELP)
        rotate.add_argument("--keep-days", type=_days, default=7.0, metavar="DAYS", help=KEEP_HELP)
        rename = steps.add_parser("rename", help="give a region another name, here; do the same in the other regions")
        rename.add_argument("name")
        rename.add_argument("new_name")
        remove = steps.add_parser("remove", help="remove a peer, with its cursors; its number is not given again")
        remove.add_argument("name")

    def handle(self, *_args: Any, step: str, **options: Any) -> None:
        """Django: do it."""
        try:
            getattr(self, f"_{step}")(options)
        except ValidationError as error:
            raise CommandError(_sentences(error)) from None
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None

    def _list(self, _options: dict[str, Any]) -> None:
        regions = Region.objects.select_related("health")
        if not regions:
            self.stderr.write("There are no regions: set RELAY_REGION and restart, or `region add NAME --local`.")
        for region in regions:
            health = getattr(region, "health", None)
            contact = f"{health.last_contact_at:%Y-%m-%d %H:%M:%S}" if health and health.last_contact_at else "never"
            role = "this region" if region.is_local else f"{region.endpoint}, last contact {contact}"
            fault = f", {health.error}" if health and health.error and region.enabled else ""
            state = "" if region.enabled else ", disabled"
            secret = "" if region.is_local else f", secret: {region.secret_state}"
            self.stdout.write(f"{region.name} ({region.origin}): {role}{secret}{state}{fault}")

    def _add(self, options: dict[str, Any]) -> None:
        if Region.objects.filter(name=options["name"]).exists():
            raise CommandError(f"There is a region {options['name']} already.")
        region = Region(name=options["name"], is_local=options["local"])
        if region.is_local and (local := Region.local()):
            raise CommandError(f"This region has the name {local.name}; `region rename` changes it.")
        if not region.is_local and not options["endpoint"]:
            raise CommandError("A peer needs --endpoint.", returncode=2)
        _apply(region, options)
        secret = "" if region.is_local else region.rotate(_checked(options["secret"]))
        self._save(region, "is added")
        if secret and not options["secret"]:
            self.stdout.write(f"secret: {secret}")

    def _set(self, options: dict[str, Any]) -> None:
        region = _region(options["name"])
        _apply(region, options)
        self._save(region, "is changed")

    def _rotate(self, options: dict[str, Any]) -> None:
        region = _region(options["name"])
        if region.is_local:
            raise CommandError(f"{region.name} is this region itself: secrets belong to its peers.")
        secret = region.rotate(_checked(options["secret"]), timedelta(days=options["keep_days"]))
        region.save()
        if not options["secret"]:
            self.stdout.write(f"secret: {secret}")

    def _rename(self, options: dict[str, Any]) -> None:
        region = _region(options["name"])
        region.name = options["new_name"]
        self._save(region, f"is the name of {options['name']} now")

    def _remove(self, options: dict[str, Any]) -> None:
        region = _region(options["name"])
        if region.is_needed:
            raise CommandError(f"{region.name} is this region itself: remove its peers first.")
        region.delete()
        self.stdout.write(f"{region.name} is removed")

    def _save(self, region: Region, done: str) -> None:
        """Raises ValidationError."""
        region.full_clean()
        region.save()
        self.stdout.write(f"{region.name} {done}")


def _add_options(parser: ArgumentParser, *, is_new: bool) -> None:
    if is_new:
        parser.add_argument("--local", action="store_true", help="this region itself")
        parser.add_argument("--secret", default="", help=GIVEN_HELP)
    parser.add_argument("--endpoint", help="base URL of its HTTP API, such as https://us.relay.example.com")
    parser.add_argument("--location", help=LOCATION_HELP)
    parser.add_argument("--relay", action="append", metavar="URL", help="address for clients; may be repeated")
    parser.add_argument("--weight", type=int, help="of two regions at the same distance, the heavier one gets more")
    for flag, text in FLAGS.items():
        name = flag.replace("_", "-")
        parser.add_argument(f"--{name}", dest=flag, action="store_true", default=None, help=text)
        parser.add_argument(f"--not-{name}", dest=flag, action="store_false", help="the opposite")


def _apply(region: Region, options: dict[str, Any]) -> None:
    """Raises ValueError."""
    if options["location"]:
        region.latitude, region.longitude = location_of(options["location"])
    if options["relay"]:
        region.relay_urls = options["relay"]
    for name in ("endpoint", "weight", *FLAGS):
        if options[name] is not None:
            setattr(region, name, options[name])


def _region(name: str) -> Region:
    """Raises CommandError."""
    found = Region.objects.filter(name=name).first()
    if found is None:
        raise CommandError(f"There is no region {name}.")
    return found


def _days(text: str) -> float:
    """Days, 0 to MAX_KEEP_DAYS. Raises ValueError."""
    days = float(text)
    if not 0 <= days <= MAX_KEEP_DAYS:
        raise ArgumentTypeError(f"must be from 0 to {MAX_KEEP_DAYS}")
    return days


def _sentences(error: ValidationError) -> str:
    """What is wrong, each with the name of its field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items())


def _checked(given: str) -> str:
    """The secret, "" for none; `-` is read, since others of the machine see arguments. Raises ValueError."""
    is_read = given == STANDARD_INPUT
    if is_read:
        given = (getpass("secret: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if (given or is_read) and len(given) < MIN_SECRET_LENGTH:
        raise ValueError(f"A secret has {MIN_SECRET_LENGTH} characters or more.")
    return given
