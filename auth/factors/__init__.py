"""What a person shows to be let in: passwords, one-time codes, passkeys, recovery codes."""
