"""Texts of the admin: help, labels, plurals; nothing that the database knows of."""

import django.core.validators
import django.db.models.deletion
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0007_scores_of_runs"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterModelOptions(
                    name="killswitch",
                    options={"ordering": ["-id"], "verbose_name_plural": "kill switches"},
                ),
                migrations.AlterField(
                    model_name="killswitch",
                    name="note",
                    field=models.CharField(blank=True, help_text="Reason (shown in the history).", max_length=300),
                ),
                migrations.AlterField(
                    model_name="killswitch",
                    name="probability",
                    field=models.DecimalField(
                        decimal_places=4,
                        default=Decimal("0.1000"),
                        help_text="The answer for all users.",
                        max_digits=5,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0")),
                            django.core.validators.MaxValueValidator(Decimal("1")),
                        ],
                    ),
                ),
                migrations.AlterField(
                    model_name="recommendationpolicy",
                    name="note",
                    field=models.CharField(blank=True, help_text="Reason (shown in the history).", max_length=300),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="frequency_cuts",
                    field=models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Four minimum numbers of actions, smallest first: [3, 3, 10, 10].",
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="monetary_cuts",
                    field=models.JSONField(
                        blank=True,
                        default=list,
                        help_text='Four minimum sums, smallest first, as text: ["20", "20", "100", "100"].',
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="note",
                    field=models.CharField(blank=True, help_text="Reason (shown in the history).", max_length=300),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="recency_cuts",
                    field=models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Four day limits, largest first: [30, 30, 7, 7]. Empty for quantile.",
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmpolicy",
                    name="rules",
                    field=models.JSONField(
                        help_text='Groups, best first, with their minimum scores: [{"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4}, ...]. The first that matches counts; the last must match all (1, 1, 1).'
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="as_of",
                    field=models.DateTimeField(
                        blank=True,
                        help_text="UTC. Actions after this moment are ignored. Empty until the run starts.",
                        null=True,
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="kind",
                    field=models.CharField(
                        choices=[
                            ("daily", "Daily"),
                            ("startup", "Start-up"),
                            ("manual", "Manual"),
                            ("requested", "Requested"),
                        ],
                        max_length=9,
                    ),
                ),
                migrations.AlterField(
                    model_name="rfmrun",
                    name="policy",
                    field=models.ForeignKey(
                        blank=True,
                        help_text="The active policy if empty.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="segments.rfmpolicy",
                    ),
                ),
            ]
        )
    ]
