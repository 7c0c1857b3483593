"""What a caller may do: typed, thin, permissioned functions without any protocol library."""
