"""What a with block closes."""

from abc import abstractmethod
from typing import Self


class Closing:
    """Closed at the end of a with block, however that ends."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Let go of what it has."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
