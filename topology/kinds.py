"""The kinds of work that the ledger knows, each with spec versions and runs."""

KINDS = (
    "agent",
    "bot",
    "rl",
    "analysis",
    "workflow",
    "backtest",
    "data",
    "workload",
    "terraform",
)
