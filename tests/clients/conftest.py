"""Fixtures of the caller's side."""

from __future__ import annotations

from tests.kit.client import alphaswarm, fresh, served

__all__ = ["alphaswarm", "fresh", "served"]
