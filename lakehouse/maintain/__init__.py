"""The upkeep of tables: few large files, few snapshots, no orphans, and nothing that was is lost.

One pass of a table is `table.maintain`; its steps are the other modules. Each step is safe to kill
and to repeat, beside writers, readers and another pass.
"""
