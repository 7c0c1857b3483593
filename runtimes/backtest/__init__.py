"""The runtime of kind ``backtest``: pinned bars in, the engine's result out to the gold layer."""
