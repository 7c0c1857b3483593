"""What may be wrong with bars: small rules, what they found, and an honest report.

A finding never changes a price. `lakehouse.quality.rules` lists the rules, `check` runs them after
an ingest and keeps what they found, `report` runs them for a reader.
"""
