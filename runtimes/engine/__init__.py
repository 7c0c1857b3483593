"""Pure simulation: one compiled step over arrays, its costs, its records and its measures.

Bars and target weights go in, an equity curve and fills come out; nothing here knows where bars
come from, who asked, or where results go. `simulation` is the door, `kernel` the one step.
"""
