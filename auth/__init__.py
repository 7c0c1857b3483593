"""Who may: the protocol core of the issuer and of the resource servers; no HTTP, no database."""
