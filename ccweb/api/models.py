"""Rows that every write door consults."""

from django.db import models


class ErasedUser(models.Model):
    """A user whose data was erased; later events of his are refused with 410."""

    user_id = models.BigIntegerField(primary_key=True)
    erased_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "erased_users"

    def __str__(self) -> str:
        return f"user {self.user_id}, erased {self.erased_at:%Y-%m-%d}"
