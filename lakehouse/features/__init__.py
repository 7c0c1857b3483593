"""The feature language: Qlib's expressions parsed to data, hashed, and evaluated over arrays.

Text to syntax tree, operator table, named sets and hashes need neither numpy nor numba, so that
servers check expressions too; `lakehouse.features.evaluate` and the kernels load in workers only.
"""
