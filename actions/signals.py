"""What other parts hear when actions are recorded.

actions_recorded(sender=UserAction, actions=[dict, ..]) is sent after the commit, once for a whole list: it wakes the
relay, which publishes them to Kafka. It is a hint, not a guarantee: the outbox rows are the guarantee.
actions_imported(sender=UserAction) is sent at the end of a bulk import that stored something, also of a broken one.
"""

from django.dispatch import Signal

actions_recorded = Signal()
actions_imported = Signal()
