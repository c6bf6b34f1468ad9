"""What has to be closed, in a `with` block."""

from typing import Self


class Closing:
    """Something whose `close` the end of a `with` block calls."""

    def close(self) -> None:
        """Closing twice is no error."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
