"""Finds the address that a request comes from; header entries that the caller wrote itself never count."""

from __future__ import annotations

import functools
from ipaddress import IPv6Address, ip_address

from incoming import Incoming

IPV6_PREFIX_BITS = 64
"""The smallest network that a subscriber gets: within it a caller can use as many addresses as it likes."""


def client_address(incoming: Incoming, trusted_proxies: int) -> str:
    """
    Return the IPv4 address or the IPv6 network of the client; an empty string if none can be read.

    Each proxy appends the address of its caller to X-Forwarded-For. So the client is the last entry, which Google's
    front end appends; behind a load balancer (which appends two: the client and itself) it is the entry before the
    last. Everything to the left of it is the caller's invention. Without the header the client is the peer.
    """
    forwarded = incoming.header(b"x-forwarded-for")
    entries = [entry.strip() for entry in forwarded.split(",")] if forwarded else []
    entries = [entry for entry in entries if entry]
    if trusted_proxies and entries:
        return _network(entries[-min(trusted_proxies, len(entries))])
    return _network(incoming.peer)


@functools.lru_cache(maxsize=10_000)  # parsing an address takes 4 µs, and the same client comes again
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
