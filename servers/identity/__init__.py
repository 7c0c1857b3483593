"""The HTTP face of the issuer, its local socket and its administration."""
