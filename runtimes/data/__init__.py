"""The runtime of kind ``data``: a provider's payload to bronze, and typed rows to silver."""
