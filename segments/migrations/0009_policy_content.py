"""What an RFM policy counts, its bins and shares; users' figures of their whole history."""

from decimal import Decimal

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0008_help_texts"),
    ]

    operations = [
        # The next run reads everything: rows have no figures of the whole history yet.
        migrations.RunSQL("UPDATE rfm_runs SET seen_action_id = NULL", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="rfmpolicy",
            name="activity_types",
            field=models.JSONField(
                blank=True, default=None, help_text="Which action types count for recency and frequency.", null=True
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="bins",
            field=models.PositiveSmallIntegerField(
                db_default=5, default=5, help_text="Scores go from 1 to this number, 2 to 10."
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="count",
            field=models.CharField(
                choices=[("actions", "Each action"), ("orders", "Each order: the actions of a user with one order_id")],
                db_default="actions",
                default="actions",
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="negative_is_activity",
            field=models.BooleanField(
                db_default=True,
                default=False,
                help_text="Whether an action with a negative value, such as a refund, counts as activity.",
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="shares",
            field=models.JSONField(
                blank=True,
                default=None,
                help_text="For quantile: percentages of users by bin, best first: 1, 4, 15, 30, 50. Empty: equal bins.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="value_types",
            field=models.JSONField(
                blank=True, default=None, help_text="The value of which action types counts for monetary.", null=True
            ),
        ),
        migrations.AddField(
            model_name="rfmpolicy",
            name="window_days",
            field=models.PositiveSmallIntegerField(
                db_default=30, default=30, help_text="How far back actions count, 1 to 730 days."
            ),
        ),
        migrations.AddField(
            model_name="usersegment",
            name="first_action_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="usersegment",
            name="lifetime_actions",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="usersegment",
            name="lifetime_value",
            field=models.DecimalField(db_default=0, decimal_places=2, default=Decimal("0.00"), max_digits=20),
        ),
        # Help texts and labels: nothing of the tables.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="frequency_cuts",
                    field=models.JSONField(
                        blank=True, default=list, help_text="Minimum numbers of actions, smallest first: 3, 3, 10, 10."
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="kind",
                    field=models.CharField(
                        choices=[
                            ("fixed", "Fixed: the cut points below"),
                            ("quantile", "Quantile: shares of the active users, computed at each run"),
                        ],
                        default="fixed",
                        max_length=8,
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="monetary_cuts",
                    field=models.JSONField(
                        blank=True, default=list, help_text="Minimum sums, smallest first: 20, 20, 100, 100."
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="recency_cuts",
                    field=models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Day limits, largest first, one fewer than bins: 30, 30, 7, 7. Empty for quantile.",
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="rules",
                    field=models.JSONField(
                        help_text='Groups, best first, with their minimum scores: [{"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4, "color": "#1f77b4"}, ...]. The first that matches counts; the last must match all (1, 1, 1). A rule may also ask the whole history: "lifetime_actions": 10, "lifetime_value": "500", "gone_days": 60.'
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="active",
                    field=models.BigIntegerField(blank=True, help_text="Users with activity in the window.", null=True),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="lapsed",
                    field=models.BigIntegerField(
                        blank=True, help_text="Users whose last activity left the window.", null=True
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="seen_action_id",
                    field=models.BigIntegerField(
                        editable=False, help_text="All actions up to this id (and as_of) are in the rows.", null=True
                    ),
                ),
            ]
        ),
    ]
