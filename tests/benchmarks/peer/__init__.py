"""The peer: the original FastAPI + SQLAlchemy design, reimplemented after its documents.

One pydantic model per request; add, commit, refresh; produce and poll(0) in the request; sync handlers; no API keys, no
limits, no outbox. It writes into tables of this project, so that both have the same columns and indexes. So
do two second peers: async_app.py and drf.py.
"""
