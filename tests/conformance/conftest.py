"""The real suite, for the clients of others."""

from tests.kit.live import live

__all__ = ["live"]
