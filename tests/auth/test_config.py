"""What an issuer cannot be told."""

from __future__ import annotations

import pytest

from auth.config import Lifetimes
from topology.errors import BadInputError


def test_an_access_token_that_servers_would_refuse_is_not_configured() -> None:
    with pytest.raises(BadInputError, match="900 s") as caught:
        Lifetimes(access_s=901)
    assert "limits.tokens.access_s" in caught.value.message
