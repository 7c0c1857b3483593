"""The faces: MCP apps, the identity server and HTTP streams; composition only."""
