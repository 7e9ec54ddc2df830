"""etcd, three members, where Patroni keeps the leader's key."""

from relayproject.runtime.cluster.part import HOST, Kind, Part, find_program
from relayproject.runtime.cluster.site import Site

MEMBERS = 3
INSTALL = "apt-get install -y etcd-server"


def program() -> str | None:
    """etcd's path, where it is installed."""
    return find_program("etcd")


def addresses(site: Site) -> list[str]:
    """HOST:PORT of each member, for clients."""
    return [f"{HOST}:{site.options.etcd_ports(number)[0]}" for number in range(1, MEMBERS + 1)]


def part(site: Site, number: int) -> Part:
    """etcd-`number`."""
    name = f"etcd-{number}"
    client, peer = site.options.etcd_ports(number)
    members = ",".join(f"etcd-{n}=http://{HOST}:{site.options.etcd_ports(n)[1]}" for n in range(1, MEMBERS + 1))
    argv = (
        program() or "etcd",
        f"--name={name}",
        f"--data-dir={site.data(name) / 'data'}",
        f"--listen-client-urls=http://{HOST}:{client}",
        f"--advertise-client-urls=http://{HOST}:{client}",
        f"--listen-peer-urls=http://{HOST}:{peer}",
        f"--initial-advertise-peer-urls=http://{HOST}:{peer}",
        f"--initial-cluster={members}",
        "--initial-cluster-state=new",
        "--initial-cluster-token=relay",
        "--log-level=warn",
    )
    return Part(name, Kind.ETCD, argv, site.data(name), site.log(name), client)
