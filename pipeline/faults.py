"""What readers raise, as messages of one report."""

from collections.abc import Callable


def faults(read: Callable[[], object]) -> list[str]:
    """The message of what a reader raises, if it does."""
    try:
        read()
    except (OSError, ValueError) as error:
        return [str(error)]
    return []
