"""The operator's databases of addresses (MMDB files), exchanged while they are used.

Rule: a file is used from a copy (replication.geo.copies), and only after a sample was read by a reader that checks each
step.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Any

import maxminddb

from relay.metrics import counters
from replication.geo.copies import Version, copied, remove_others, tidy, version_of
from replication.geo.records import place_in
from replication.geo.sphere import Place

log = logging.getLogger("relay.geo")

SAMPLED = 1_000
"""Addresses, spread over all, that a new file is asked before it is used: 0.2 s of one core."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class _Used:
    """An open file. `ip_version`: 4 if it has IPv4 addresses alone, 6 if it has both."""

    reader: maxminddb.Reader
    ip_version: int


class GeoFile:
    """One MMDB file. `copies`: the folder for the copy that is read, shared by the workers of an instance; None: the
    file itself is read, for a short look.
    """

    def __init__(self, path: Path, copies: Path | None) -> None:
        self.path = path
        self.fault = ""
        """Why the file as it is now is not used; "" if it is."""
        self._copies = copies
        self._used: _Used | None = None
        self._tried: Version | None = None

    @property
    def build_epoch(self) -> int | None:
        """When the data in use was built (Unix seconds), None without any."""
        return self._used.reader.metadata().build_epoch if self._used is not None else None

    def refresh(self) -> None:
        """Use the file as it is now, if it is another one than before; it stays as it was if the new one is broken.

        Reads the disk, so it belongs into a thread; look-ups go on meanwhile, and none fails for it.
        """
        version: Version | None = None
        try:
            version = version_of(self.path)
            if version == self._tried:
                return
            self._used = self._opened(version)
            fault = ""
        except OSError as error:
            version, fault = None, str(error)  # tried again: a full disk has room later
        except maxminddb.InvalidDatabaseError as error:
            fault = str(error)
        self._tried = version
        self._say(fault)

    def get(self, address: Address) -> Any:
        """The record of an address, None if the file has none. Raises InvalidDatabaseError if the file is damaged."""
        used = self._used
        return used.reader.get(address) if used is not None and address.version <= used.ip_version else None

    def _opened(self, version: Version) -> _Used:
        if self._copies is None:
            return _checked(self.path)
        copy = copied(self.path, self._copies, version)
        try:
            used = _checked(copy)
        except maxminddb.InvalidDatabaseError:
            copy.unlink(missing_ok=True)
            raise
        remove_others(copy, self.path)
        return used

    def _say(self, fault: str) -> None:
        if fault and fault != self.fault:
            kept = "; the one before stays in use" if self._used is not None else ""
            log.warning("the database of addresses %s cannot be used: %s%s", self.path, fault, kept)
        elif self.fault and not fault:
            log.info("the database of addresses %s is in use", self.path)
        self.fault = fault


class GeoDatabase:
    """The files of the setting, asked in their order."""

    def __init__(self, paths: Iterable[Path], copies: Path | None = None) -> None:
        self.files: Sequence[GeoFile] = tuple([GeoFile(path, copies) for path in paths])
        if copies is not None and self.files:
            with suppress(OSError):  # a copy that cannot be made says why
                copies.mkdir(mode=0o700, parents=True, exist_ok=True)
                tidy(copies, [file.path for file in self.files])

    def refresh(self) -> None:
        """As GeoFile.refresh, for all files."""
        for file in self.files:
            file.refresh()

    @property
    def broken(self) -> int:
        """Files that cannot be used as they are now."""
        return len([file for file in self.files if file.fault])

    def place_of(self, text: str) -> Place | None:
        """Where an address is, None if that is not known. Counts the outcome."""
        try:
            place = place_in(self.record_of(text))
        except (ValueError, maxminddb.InvalidDatabaseError):  # no address, or a damaged record
            counters.geoip_lookups["failed"] += 1
            return None
        counters.geoip_lookups["unknown" if place is None else "found"] += 1
        return place

    def record_of(self, text: str) -> Any:
        """The record of an address in the first file that has one. Raises ValueError, InvalidDatabaseError."""
        address = address_of(text)
        for file in self.files:
            if (record := file.get(address)) is not None:
                return record
        return None


def address_of(text: str) -> Address:
    """An IP address; an IPv4 address in IPv6 form is IPv4. Raises ValueError."""
    address = ip_address(text)
    return (address.version == 6 and address.ipv4_mapped) or address


def _checked(path: Path) -> _Used:
    """An open file that has coordinates. Raises OSError, InvalidDatabaseError.

    The reader in C is fast, and does not survive every damage of a file; that in Python checks each step.
    """
    try:
        with maxminddb.open_database(path, maxminddb.MODE_MMAP) as careful:
            if not [record for record in _sample(careful) if place_in(record)]:  # each is read
                raise ValueError("it has no coordinates: a database of cities is needed, not of countries or networks")
        reader = maxminddb.open_database(path)
        return _Used(reader, reader.metadata().ip_version)
    except OSError:
        raise
    except Exception as error:  # damage can look like anything
        raise maxminddb.InvalidDatabaseError(str(error) or type(error).__name__) from error


def _sample(reader: maxminddb.Reader) -> Iterator[Any]:
    """Records from everywhere in the file."""
    for _, record in islice(reader, SAMPLED):
        yield record
    for number in range(SAMPLED):
        yield reader.get(IPv4Address(number * (2**32 // SAMPLED)))
    if reader.metadata().ip_version == 6:
        for number in range(SAMPLED):
            yield reader.get(IPv6Address((0x2000 << 112) + number * (2**125 // SAMPLED)))
