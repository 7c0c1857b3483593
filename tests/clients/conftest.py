"""Fixtures of the caller's side."""

from __future__ import annotations

from tests.kit.client import alphaswarm, codes, fresh, served

__all__ = ["alphaswarm", "codes", "fresh", "served"]
