"""The peer: the original FastAPI + SQLAlchemy design, written anew as its documents intend it.

One pydantic model a request; add, commit, refresh; produce and poll(0) in the request; sync handlers; no keys, no
limits, no outbox. It writes into tables of ours, so that both have the same columns and indexes.
"""
