"""Every test of the lake may ask for a lake of its own."""

from __future__ import annotations

from tests.kit.lake import depot, market

__all__ = ["depot", "market"]
