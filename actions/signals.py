"""Django signals that are sent when actions are recorded.

actions_recorded(sender=UserAction, actions=[dict, ..]) is sent after the commit, once per list. On SQLite it wakes the
relay. A receiver must not wait: what needs Redis or the database it returns as steps (ccweb.db.steps), which must not
fail. It may be lost with the process; that each action is published is guaranteed by the outbox rows.
actions_pruned(sender=UserAction) is sent at the end of a pruning that deleted actions, also of an interrupted one.
actions_needed(sender=UserAction) asks for how many days back actions are read; a receiver returns the days.
actions_imported(sender=UserAction) is sent at the end of a bulk import that stored actions, also of an interrupted one.
"""

from django.dispatch import Signal

actions_recorded = Signal()
actions_imported = Signal()
actions_pruned = Signal()
actions_needed = Signal()
