"""Agents: graphs of roles that know the world only through audience-bound tools.

Every answer of a model and every result of a tool is a row before the next step is taken. A run
that died, waited or is replayed walks its graph again from the start and gets those rows back, so
that no second record of its state is needed.
"""
