"""MCP sessions of a caller: the only rooms of ``clients`` that load an MCP library."""
