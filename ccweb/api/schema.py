"""What the OpenAPI document says about keys and strict fields."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension

KEY_DESCRIPTION = "`Api-Key <key>`, with the blank; `manage.py create_api_key` makes one."


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The Authorization header; OpenAPI has no name of its own for the scheme Api-Key."""

    target_class = "ccweb.api.auth.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """As components.securitySchemes shows it."""
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": KEY_DESCRIPTION}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of the admin, for the pages about the API."""

    target_class = "ccweb.api.auth.StaffSession"
    name = "StaffSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """As components.securitySchemes shows it."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class StrictFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Strict fields describe themselves."""

    target_class = "ccweb.api.fields.StrictField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """The field's JSON Schema; direction is "request" or "response"."""
        taken, answered = self.target.openapi, self.target.openapi_out
        return dict(answered if direction == "response" and answered else taken)
