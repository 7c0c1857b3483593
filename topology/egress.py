"""What may leave this machine: what ``egress.allow`` names, to the kind of address that it says.

Everything that dials out for a purpose (``ingest``, ``models``) does so through a `Guard`:
the name is looked up once, every address that it has is judged, and the connection goes to one of
those addresses, so that a name which changes its mind between the look and the dial gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from topology.errors import BadInputError, EgressDeniedError
from topology.fields import port_of
from topology.sections import Allowed, Egress, address_of

Reach = Literal["public", "lan", "loopback", "never"]
Lookup = Callable[..., Sequence[tuple[Any, ...]]]

METADATA = frozenset(
    {"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"}
)
"""Where clouds give out the machine's own credentials; the last two look like public addresses."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A checked place: only ``addresses`` may be dialled, under the name ``host``."""

    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides for one purpose what may be reached; ``lookup`` resolves as ``getaddrinfo`` does."""

    egress: Egress
    purpose: str
    lookup: Lookup = socket.getaddrinfo

    def check(self, url: str) -> Target:
        """Return where ``url`` leads, or raise ``egress_denied`` before anything is sent.

        A name that cannot be resolved raises OSError, as dialling it would.
        """
        scheme, host, port = _place(url)
        allowed = self._entry(host, port)
        found = self.lookup(host, port, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(info[4][0]) for info in found))
        wanted = address_of(allowed)
        for address in addresses:
            reach = reach_of(address)
            if reach != wanted:
                raise self._misled(allowed, wanted, reach)
        return Target(scheme, host, port, addresses)

    def connect(self, target: Target, timeout_s: float) -> socket.socket:
        """Return a connection to one of the target's checked addresses."""
        deadline = time.monotonic() + timeout_s
        trouble: OSError = OSError(f"{target.host} has no address")
        for address in target.addresses:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            try:
                return socket.create_connection((address, target.port), left)
            except OSError as error:
                trouble = error
        raise trouble

    def lists(self, host: str, port: int) -> bool:
        """Tell whether the topology names the place for this purpose, wherever it leads."""
        return self.find(host, port) is not None

    def require(self, *places: tuple[str, int]) -> None:
        """Raise one ``egress_denied`` that lists every line that is missing for ``places``."""
        missing = [place for place in places if not self.lists(*place)]
        if missing:
            raise self._denied(missing)

    def _entry(self, host: str, port: int) -> Allowed:
        allowed = self.find(host, port)
        if allowed is None:
            raise self._denied([(host, port)])
        return allowed

    def find(self, host: str, port: int) -> Allowed | None:
        """Return the entry that names the place for this purpose."""
        for allowed in self.egress.allow:
            if (allowed.host, allowed.port) == (host, port) and self.purpose in allowed.purposes:
                return allowed
        return None

    def _denied(self, places: Sequence[tuple[str, int]]) -> EgressDeniedError:
        lines = [
            line(host, port, [*self._purposes(host, port), self.purpose]) for host, port in places
        ]
        names = " and ".join(f"{host} port {port}" for host, port in places)
        return EgressDeniedError(
            f"The topology does not let {self.purpose!r} reach {names}.",
            hint="\n".join(
                ["If that is meant, write under egress.allow in topology.yaml:", *lines]
            ),
            purpose=self.purpose,
            places=[{"host": host, "port": port} for host, port in places],
            lines=lines,
        )

    def _purposes(self, host: str, port: int) -> list[str]:
        entries = [a for a in self.egress.allow if (a.host, a.port) == (host, port)]
        return [purpose for entry in entries for purpose in entry.purposes]

    def _misled(self, allowed: Allowed, wanted: str, found: Reach) -> EgressDeniedError:
        facts: dict[str, Any] = {
            "host": allowed.host,
            "port": allowed.port,
            "wanted": wanted,
            "found": found,
        }
        message = f"{allowed.host!r} leads to {_KINDS[found]}, not to {_KINDS[wanted]}."
        if found == "never":
            return EgressDeniedError(
                message, hint="No setting allows that; see where the name leads.", **facts
            )
        cure = line(allowed.host, allowed.port, allowed.purposes, found)
        return EgressDeniedError(
            message,
            hint=f"If that is meant, write under egress.allow in topology.yaml:\n{cure}",
            lines=[cure],
            **facts,
        )


def reach_of(address: str) -> Reach:
    """Return how far an IP address leads; one inside another (mapped, NAT64, 6to4) is unwrapped.

    ``never``: link-local, unspecified, multicast, reserved and the clouds' metadata addresses.
    """
    ip = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
    if str(ip) in METADATA:
        return "never"
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved:
        return "never"
    old_lan = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local  # RFC 3879
    return "public" if ip.is_global and not old_lan else "lan"


def line(host: str, port: int, purposes: Sequence[str], address: str | None = None) -> str:
    """Return the entry of ``egress.allow`` for a place, as ``topology.yaml`` spells it."""
    name = f'"{host}"' if ":" in host else host
    entry = f"host: {name}, port: {port}, for: [{', '.join(dict.fromkeys(purposes))}]"
    return f"- {{{entry}{f', address: {address}' if address else ''}}}"


_KINDS = {
    "public": "a public address",
    "lan": "an address of a private network",
    "loopback": "this machine",
    "never": "an address that must not be dialled (link-local, metadata, multicast, reserved)",
}


def _unwrapped(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip


def _place(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a plain URL.

    Odd spellings that clients read differently (user names, backslashes, blanks, letters beyond
    ASCII) are refused.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", port_of(url)
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    odd = not url.isascii() or not url.isprintable() or " " in url or "\\" in url
    if odd or parts.scheme not in {"http", "https"} or "@" in parts.netloc or not host or not port:
        raise BadInputError(
            "This is not a URL that may be dialled.",
            hint="Write http:// or https://, a host, perhaps a port, and a path; no user name.",
        )
    return parts.scheme, host.lower(), port
