"""How many connections there may be, in all and from one address, and which one goes when there are too many.

Room is made for a newcomer by dropping the oldest connection that holds nothing, neither a stream nor a file, of the
address that has most. So connections that stay silent keep nobody out, however many they are.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from .limits import Limits

Address = tuple[str, int]
K = TypeVar("K")


class Connections:
    """The connections of a server. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.connections + limits.streams
        self._most_each = limits.address_connections + limits.streams
        self._open: dict[Address, asyncio.Transport] = {}  # the oldest first
        self._holding: Counter[Address] = Counter()
        self._of_network: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, address: Address, transport: asyncio.Transport) -> bool:
        """Count a new connection, and make room for it; False where there is none."""
        network = network_of(address[0])
        if self._of_network[network] >= self._most_each and not self._drop_oldest(network):
            return False
        if len(self._open) >= self._most:
            [(largest, _)] = self._of_network.most_common(1)
            if not (self._drop_oldest(largest) or self._drop_oldest(None)):
                return False
        self._open[address] = transport
        self._of_network[network] += 1
        return True

    def remove(self, address: Address) -> None:
        """A connection is over. Removing twice is no error."""
        if self._open.pop(address, None) is not None:
            network = network_of(address[0])
            self._of_network[network] -= 1
            if not self._of_network[network]:
                del self._of_network[network]

    @contextmanager
    def holding(self, address: Address | None) -> Iterator[None]:
        """While a connection has a stream or brings a file: it is not dropped to make room."""
        if address is None:
            yield
            return
        with counted(self._holding, address):
            yield

    def abort(self, address: Address | None) -> None:
        """Drop a connection, unsent data and all."""
        transport = self._open.get(address) if address is not None else None
        if address is not None and transport is not None:
            self.remove(address)
            transport.abort()

    def _drop_oldest(self, network: str | None) -> bool:
        """Drop the oldest connection that holds nothing, of one network or of all."""
        for address in self._open:
            if address not in self._holding and network in (None, network_of(address[0])):
                self.abort(address)
                return True
        return False


@contextmanager
def counted(counter: Counter[K], key: K) -> Iterator[None]:
    """One more of `key`, for a while; of what there is none nothing is kept."""
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


def network_of(host: str) -> str:
    """Whose address it is: an IPv6 customer has the lower 64 bits."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
