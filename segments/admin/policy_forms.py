"""The form of an RFM policy: lists as plain text, action types as a choice and a list, and the offers beside it."""

import json
from typing import Any

from django import forms

from segments.admin.revisions import LineByLine
from segments.models import RecommendationPolicy, RfmPolicy

LISTS = {"recency_cuts": int, "frequency_cuts": int, "monetary_cuts": str}
HELP = {
    "recency_cuts": "Day limits, largest first, one fewer than bins: 30, 30, 7, 7 or [30, 30, 7, 7]. Quantile: none.",
    "frequency_cuts": "Minimum numbers of actions, smallest first: 3, 3, 10, 10.",
    "monetary_cuts": "Minimum sums, smallest first: 20, 20, 99.50, 100.",
}
OPTIONAL = {"window_days": 30, "bins": 5, "count": RfmPolicy.Count.ACTIONS}
OFFERS = "recommendation_rules"


class ListField(forms.CharField):
    """A list as text: its items with commas between them, or JSON."""

    def __init__(self, item: type, **kwargs: Any) -> None:
        self.item = item
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        """What the input shows."""
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The list; an item that is none of its type stays text, which the policy refuses in its own words."""
        text = super().to_python(value) or ""
        if text.startswith("["):
            try:
                return json.loads(text)
            except ValueError:
                raise forms.ValidationError("Items with commas between them are expected.") from None
        return [self._item(part.strip()) for part in text.split(",") if part.strip()]

    def _item(self, text: str) -> Any:
        return self.item(text) if self.item is str or text.removeprefix("-").isdecimal() else text


class ShareField(ListField):
    """Percentages, or none."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(value) or None


class TypesField(forms.MultiValueField):
    """All action types, only some, or all but some."""

    CHOICES = (("", "all types"), ("include", "only these:"), ("exclude", "all but these:"))

    def __init__(self, **kwargs: Any) -> None:
        fields = (forms.ChoiceField(choices=self.CHOICES, required=False), ListField(str))
        super().__init__(fields=fields, required=False, require_all_fields=False, widget=TypesWidget(), **kwargs)

    def compress(self, data_list: list[Any]) -> dict[str, list[str]] | None:
        """As RfmPolicy stores it."""
        which, names = data_list or ("", [])
        if names and not which:
            raise forms.ValidationError("Say whether only these types count, or all but these.")
        return {which: names} if which else None


class TypesWidget(forms.MultiWidget):
    """A choice and a list."""

    def __init__(self) -> None:
        super().__init__([forms.Select(choices=TypesField.CHOICES), forms.TextInput({"size": 50})])

    def decompress(self, value: Any) -> list[str]:
        """The inverse of TypesField.compress."""
        ((which, names),) = (value or {"": []}).items()
        return [which, ", ".join(names)]


class RfmPolicyForm(forms.ModelForm):
    """A draft, with the recommendation rules that are published in the same step if they are changed."""

    activity_types = TypesField(label="Types for recency and frequency", help_text="Such as purchase, order.paid.")
    value_types = TypesField(label="Types whose value counts", help_text="For monetary.")
    recency_cuts = ListField(int, help_text=HELP["recency_cuts"])
    frequency_cuts = ListField(int, help_text=HELP["frequency_cuts"])
    monetary_cuts = ListField(str, help_text=HELP["monetary_cuts"])
    shares = ShareField(int, help_text=RfmPolicy._meta.get_field("shares").help_text)
    recommendation_rules = forms.JSONField(
        required=False,
        encoder=LineByLine,
        widget=forms.Textarea({"rows": 6}),
        help_text="Published in the same step if you change them, as a new recommendation policy; the rest of that "
        "policy stays. Needed when groups are renamed or dropped.",
    )

    class Meta:
        model = RfmPolicy
        fields = (*RfmPolicy.CONTENT, "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.fields.keys() & OPTIONAL.keys():
            self.fields[name].required = False
        if OFFERS in self.fields:
            self.fields[OFFERS].initial = RecommendationPolicy.objects.active().rules

    def clean(self) -> dict[str, Any]:
        """What is left out has the default of the model."""
        cleaned = super().clean() or {}
        missing = {name for name in OPTIONAL if cleaned.get(name) in (None, "")} - self.errors.keys()
        return cleaned | {name: OPTIONAL[name] for name in missing}
