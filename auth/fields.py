"""The values that clients say of themselves, bounded before anybody reads them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from auth.clients import GRANT_TYPES


def _plain(text: str) -> str:
    if not text.isprintable():
        msg = "must be printable"
        raise ValueError(msg)
    return text


def _code_only(grants: tuple[str, ...]) -> tuple[str, ...]:
    if "authorization_code" not in grants or not set(grants) <= set(GRANT_TYPES):
        msg = "must be authorization_code, with or without refresh_token"
        raise ValueError(msg)
    return grants


Text = Annotated[str, StringConstraints(max_length=200), AfterValidator(_plain)]
Uri = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[\x21-\x7e]+$")]
GrantTypes = Annotated[tuple[str, ...], Field(max_length=4), AfterValidator(_code_only)]
