"""Notice: what people should know of a recording that goes on."""

from typing import Self


class Notice(str):
    """A sentence, without its full stop."""

    __slots__ = ("trouble",)

    trouble: bool
    """Is it about something that is not recorded, or could not be until now?"""

    def __new__(cls, text: str, trouble: bool = False) -> Self:
        """trouble: see there."""
        notice = super().__new__(cls, text)
        notice.trouble = trouble
        return notice


__all__ = ["Notice"]
