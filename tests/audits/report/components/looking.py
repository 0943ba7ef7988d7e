"""The page of components as a test looks at it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDE, NARROW = (1440, 900), (390, 844)
Open = Callable[..., "Page"]


def rows(page: "Page") -> list[int]:
    """Components of the list's page, from top to bottom."""
    cells = page.locator("#rows th .under").all_inner_texts()
    return [int(text.split()[1]) for text in cells]


def count(page: "Page") -> int:
    return int(page.get_by_role("status").inner_text().split()[0].replace(",", ""))


def one(page: "Page") -> int:
    """The component that is shown."""
    return int(page.locator("#one h2 + p").inner_text().split()[1])
