"""Where a request comes from, as far as that can be known: what a caller writes into a header itself never counts."""

from __future__ import annotations

import functools
from ipaddress import IPv6Address, ip_address

from incoming import Incoming

IPV6_PREFIX_BITS = 64
"""What one subscriber gets at least: addresses below it are as many as a caller wants."""


def client_address(incoming: Incoming, trusted_proxies: int) -> str:
    """
    Return the address of the client, or of the network that is its own; empty where none can be read.

    Each proxy appends to X-Forwarded-For from whom it was called, so the last entry is what Google's front end saw,
    and with a load balancer in front (which appends two: the client and itself) the one before it. Everything to the
    left of that is the caller's invention. Without the header it is the peer.
    """
    forwarded = incoming.header(b"x-forwarded-for")
    entries = [entry.strip() for entry in forwarded.split(",")] if forwarded else []
    entries = [entry for entry in entries if entry]
    if trusted_proxies and entries:
        return _network(entries[-min(trusted_proxies, len(entries))])
    return _network(incoming.peer)


@functools.lru_cache(maxsize=10_000)  # reading an address is 4 µs, and the same client comes again
def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    bits = 128 - IPV6_PREFIX_BITS
    return f"{IPv6Address(int(address) >> bits << bits)}/{IPV6_PREFIX_BITS}"
