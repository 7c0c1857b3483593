"""Compiled windows over symbol-major rows. Every value is computed from its own window alone.

No running sums: a row's value does not depend on where the computation began, so the last row of
an incremental update equals a full recomputation bit for bit. Inside a window values are added
from the newest to the oldest, in blocks of rows side by side, which is what vectorises.
"""
