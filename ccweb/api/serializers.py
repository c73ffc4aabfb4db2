"""The base of the serializers of request bodies."""

from collections.abc import Callable
from typing import Any

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ccweb.api.fields import StrictField
from ccweb.api.problems import field_error


class StrictSerializer(serializers.Serializer):
    """A plain serializer that refuses unknown fields and returns only what the client sent."""

    @cached_property
    def _validators(self) -> dict[str, tuple[bool, Any]]:
        return {n: (f.required, _validator(f)) for n, f in self.fields.items() if not f.read_only}

    @cached_property
    def _representers(self) -> list[tuple[str, Any]]:
        return [(name, field.to_representation) for name, field in self.fields.items() if not field.write_only]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """A shortcut for events, which are dicts whose fields are all present."""
        if type(instance) is dict:
            return {name: represent(instance[name]) for name, represent in self._representers}
        return super().to_representation(instance)

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        """The cleaned fields that were sent; ValidationError with all errors by field."""
        if type(data) is not dict:
            raise field_error("", "A JSON object is expected.", "type")
        cleaned, errors = {}, {}
        for name, (required, run_validation) in self._validators.items():
            if name in data:
                try:
                    cleaned[name] = run_validation(data[name])
                except ValidationError as error:
                    errors[name] = error.detail
            elif required:
                errors[name] = ValidationError("This field is required.", code="required").detail
        if len(cleaned) < len(data):  # compare lengths first: faster for each item of a list
            for name in data.keys() - self._validators.keys():
                errors[name] = ValidationError("There is no such field.", code="unknown").detail
        if errors:
            raise ValidationError(errors)
        return cleaned


def _validator(field: serializers.Field) -> Callable[[Any], Any]:
    return field.clean if isinstance(field, StrictField) else field.run_validation
