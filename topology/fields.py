"""The kinds of values that ``topology.yaml`` is made of, and the base of its sections."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat

from topology.credentials import CredentialRef

_DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "redis": 6379, "rediss": 6379}
_RUN_BY_BROWSERS = frozenset({"about", "blob", "data", "file", "javascript", "vbscript"})
_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_HOST_NAME = r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*)$"


class Section(BaseModel):
    """A frozen part of the map that knows all its keys and never repeats a value in an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True
    )


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def port_of(url: str) -> int | None:
    """Return the port of a URL, its scheme's default where none is written."""
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _checked_url(text: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(
            f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}"
        )
    if "@" in parts.netloc:
        raise ValueError("must hold no user or password; name a credential")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment")
    if not text.startswith(f"{parts.scheme}://{parts.netloc.lower()}"):
        raise ValueError("scheme and host must be lower-case")
    if port is not None and port == _DEFAULT_PORTS.get(parts.scheme):
        raise ValueError(f"must not write the default port {port}")
    if text.endswith("/"):
        raise ValueError("must not end with a slash")
    return text


def web_url(text: str) -> str:
    """Return ``text`` where it is an https URL, or an http one of this machine."""
    _checked_url(text, ("http", "https"))
    parts = urlsplit(text)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https beyond this machine")
    return text


def model_url(text: str) -> str:
    """Return ``text`` where it is a URL; whether http will do depends on where it leads."""
    return _checked_url(text, ("http", "https"))


def _base_url(text: str) -> str:
    if urlsplit(web_url(text)).path:
        raise ValueError("must have no path")
    return text


def _postgres_url(text: str) -> str:
    return _checked_url(text, ("postgresql",))


def _valkey_url(text: str) -> str:
    return _checked_url(text, ("redis", "rediss"))


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address such as 127.0.0.1 or '::1'") from None


def _redirect(text: str) -> str:
    if text == "loopback":
        return text
    if re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s#]+", text) is None:
        raise ValueError("must be 'loopback' or a whole URI without a fragment")
    scheme = text.partition(":")[0]
    if scheme in _RUN_BY_BROWSERS:
        raise ValueError("must be an address of a client, not something that a browser runs")
    if scheme == "http" and not is_loopback(_host(text)):
        raise ValueError("must be https beyond this machine")
    return text


def _host(text: str) -> str:
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def _reference(text: str) -> str:
    return str(CredentialRef.parse(text))


WebUrl = Annotated[str, AfterValidator(web_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
ValkeyUrl = Annotated[str, AfterValidator(_valkey_url)]
IpAddress = Annotated[str, AfterValidator(_ip_address)]
Redirect = Annotated[str, AfterValidator(_redirect)]
Reference = Annotated[str, AfterValidator(_reference)]
AbsolutePath = Annotated[str, Field(pattern=r"^/.+")]
ServerPath = Annotated[str, Field(pattern=r"^(/[a-z0-9][a-z0-9_.-]*)+$")]
HostName = Annotated[str, Field(pattern=_HOST_NAME)]
Seconds = Annotated[PositiveFloat, Field(le=86_400 * 365)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, Field(pattern=_NAME)]
Scope = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*:[a-z][a-z0-9_-]*$")]
