"""``lean_2026``: QuantConnect Lean's rules and figures, read in its source, proven on its prints.

Source of every rule: QuantConnect/Lean, commit 24863901 of 2026-08-21.
"""
