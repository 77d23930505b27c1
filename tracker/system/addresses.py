"""Addresses of network sockets as users write them."""

from __future__ import annotations

LARGEST_PORT = 65535


def split_address(address: str, least_port: int = 1) -> tuple[str, int] | None:
    """Split HOST:PORT.

    Args:
        address: such as 127.0.0.1:8080 or [::1]:8080; an IPv6 address is in brackets.
        least_port: the smallest port to accept; 0 where the system may choose one.

    Returns:
        The host without brackets, and the port; None if it is not such an address.
    """
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    is_port = port.isascii() and port.isdecimal() and len(port) <= len(str(LARGEST_PORT))
    return (host, int(port)) if host and is_port and least_port <= int(port) <= LARGEST_PORT else None
