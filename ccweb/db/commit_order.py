"""Ids are committed in another order than they were drawn in: by how much a reader of new rows must look back.

Between the draw of an id and its transaction's first mark in PostgreSQL's snapshots lie microseconds. OVERLAP is how
many further ids would have to be drawn and committed in them for a reader to miss a row.
"""

OVERLAP = 10_000  # ids
