"""Compiled kernels are kept between the processes and runs of the suite."""

from __future__ import annotations

from tests.kit import kernels

kernels.keep()
