"""The real suite, for the tests of the servers."""

from tests.kit.live import live

__all__ = ["live"]
