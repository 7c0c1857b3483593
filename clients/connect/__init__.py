"""Enter this suite into the settings of MCP clients, and take it out again."""
