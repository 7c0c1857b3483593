"""The one way to a language model: policy, budget, cassette, wire and record of every call.

`complete.router_complete` is the door. The record and the purse come in through `words.Book`, so
that the gateway knows no database.
"""
