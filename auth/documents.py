"""Clients that are described by a document at their id: an https URL (client-ID documents).

Some documents are pinned: data files here, with their source, date and SHA-256. Others are known
only while a face that may reach the web has read them lately. A document says who a client is, and
nothing of what it may do.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from auth.clients import GRANT_TYPES, PUBLIC, Client, is_loopback_redirect
from auth.fields import GrantTypes, Text, Uri
from auth.wire import Parameters
from topology.canonical import sha256
from topology.errors import FaultError

PINNED = Path(__file__).with_name("pinned")
LARGEST = 5_120
"""Bytes of a document (draft-ietf-oauth-client-id-metadata-document)."""
KEPT_S = 900
"""How long a document that was read is believed."""
_MOST = 1_000
_ID = re.compile(r"https://[a-z0-9.-]+(:[1-9][0-9]{0,4})?(/[A-Za-z0-9_~.-]+)+")
_SECRETS = ("client_secret", "client_secret_expires_at", "jwks_uri")


class Document(BaseModel):
    """What a document may say; unknown members are ignored, secrets and keys are refused."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    client_id: Uri
    redirect_uris: tuple[Uri, ...] = Field(min_length=1, max_length=10)
    client_name: Text | None = None
    client_uri: Annotated[Uri, StringConstraints(pattern=r"^https://")] | None = None
    grant_types: GrantTypes = ("authorization_code",)
    response_types: tuple[Literal["code"], ...] = Field(("code",), min_length=1, max_length=1)
    token_endpoint_auth_method: Literal["none"] = PUBLIC


class DocumentRefusedError(Exception):
    """A document that does not describe the client at its address; the text is our own."""


def is_document_id(client_id: str) -> bool:
    """Tell whether a client id is an https URL with a path and nothing else, and no dot segment."""
    if len(client_id) > 512 or _ID.fullmatch(client_id) is None:
        return False
    return not {".", ".."} & set(urlsplit(client_id).path.split("/"))


def named(raw: bytes) -> str:
    """Return the client id in a form or a query, empty where none can be read."""
    try:
        return Parameters.parse(raw).get("client_id")
    except OAuth2Error:
        return ""  # the endpoint says what is wrong


def read(client_id: str, raw: bytes, *, redirects: Sequence[str] = ()) -> Client:
    """Return the client that the document ``raw`` at ``client_id`` describes.

    Its ``client_id`` is this address, letter by letter. Redirects lead to this machine, to the
    host of the document or to one of ``redirects``. Anything else raises `DocumentRefusedError`.
    """
    try:
        body: Any = json.loads(raw) if len(raw) <= LARGEST else None
        document = Document.model_validate(body)
    except (ValueError, RecursionError):
        raise DocumentRefusedError("not a metadata document") from None
    if any(name in body for name in _SECRETS):
        raise DocumentRefusedError("a public client has no secret")
    if document.client_id != client_id:
        raise DocumentRefusedError("the document is of another client")
    host = urlsplit(client_id).netloc
    for uri in document.redirect_uris:
        own = uri.startswith(f"https://{host}/")
        if not own and uri not in redirects and not is_loopback_redirect(uri):
            raise DocumentRefusedError("a redirect leads elsewhere")
    return Client(
        client_id=client_id,
        name=f"{document.client_name or 'unnamed'} ({host})",
        redirect_uris=document.redirect_uris,
        grant_types=tuple(kind for kind in GRANT_TYPES if kind in document.grant_types),
    )


class Documents:
    """The described clients that are known now: the pinned ones, and those read lately."""

    def __init__(self) -> None:
        self._read: OrderedDict[str, tuple[Client | None, int]] = OrderedDict()

    def find(self, client_id: str, now: int) -> Client | None:
        """Return a known client."""
        found, until = self._read.get(client_id, (None, 0))
        return pinned().get(client_id) or (found if now < until else None)

    def asked(self, client_id: str, now: int) -> bool:
        """Tell whether there is nothing to read: pinned, or read or refused lately."""
        return client_id in pinned() or now < self._read.get(client_id, (None, 0))[1]

    def keep(self, client_id: str, client: Client | None, *, until: int) -> None:
        """Remember what was read, None for a refused document."""
        self._read[client_id] = (client, until)
        self._read.move_to_end(client_id)
        if len(self._read) > _MOST:
            self._read.popitem(last=False)


@cache
def pinned() -> dict[str, Client]:
    """Return the pinned clients by id; a file that is not what it says raises `FaultError`."""
    return dict(_pinned(path) for path in sorted(PINNED.glob("*.json")))


def _pinned(path: Path) -> tuple[str, Client]:
    body: dict[str, Any] = json.loads(path.read_text("utf-8"))
    document = body["document"]
    if sha256(document) != body["sha256"] or document["client_id"] != body["source"]:
        raise FaultError(
            f"The pinned document {path.name!r} is not the one that was pinned.",
            hint="Restore the file of this version.",
        )
    return body["source"], read(body["source"], json.dumps(document).encode())
