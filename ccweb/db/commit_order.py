"""Ids are not committed in the order in which the sequence assigned them: how far a reader of new rows must look back.

Microseconds pass between the assignment of an id and the moment when its transaction is visible as running in
PostgreSQL's snapshots. OVERLAP is how many further ids would have to be assigned and committed in that time for a
reader to miss a row.
"""

OVERLAP = 10_000  # ids
