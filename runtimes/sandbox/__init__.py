"""Strategies that somebody else wrote: their source runs confined, and the account is not there."""
