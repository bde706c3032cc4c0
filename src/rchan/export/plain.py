"""Values of fields as JSON has them."""

from base64 import b64encode
from math import isfinite
from typing import Any


def plain(value: Any) -> Any:
    """The value if JSON has it; bytes in base64, floats that are no number by name ("nan")."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value


def plain_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """All of them."""
    return {name: plain(value) for name, value in fields.items()}
