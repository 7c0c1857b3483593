"""Compiled kernels are kept between runs of the suite, in the folder that runtimes' tests use."""

from __future__ import annotations

from tests.kit import kernels

kernels.keep()
