"""What a report says was done to the images' pixels."""

from typing import Any

from audits.report.sections.pixels import pixels


def said(how: str = "shown", bits: int = 8, **kinds: Any) -> list[str]:
    return pixels({"counts": {"images": 2000}, "pixels": {"as": how, "bits": bits, **kinds}})


def test_plain_pixels_are_not_worth_a_word() -> None:
    assert said() == said("stored") == []


def test_each_kind_is_said_with_its_count() -> None:
    (text,) = said(rotated=1200, transparent=2, cmyk=3, frames=4, blank=5)
    assert text == (
        "Pixels, of 2,000 images: 1,200 turned as the orientation tag says; "
        "2 put on white where transparent; 3 converted from CMYK without a colour profile; "
        "4 reduced to the first of its frames; 5 left one flat colour by that."
    )


def test_what_is_taken_as_stored_is_said_to_be_so() -> None:
    (text,) = said("stored", rotated=7, transparent=1)
    assert "7 left lying as stored though an orientation tag turns it in a viewer" in text
    assert "1 taken without its transparency" in text


def test_the_scale_of_deep_images_is_said() -> None:
    assert said(deep={"8": 3}) == [
        "Pixels, of 2,000 images: 3 of more than 8 bits a channel scaled to 8."
    ]
    (text,) = said(bits=16, deep={"12": 500, "16": 1})
    assert "501 of more than 8 bits a channel scaled to 8 from 16, the most that one" in text
    assert "(500 need 12 and 1 need 16, and what needs fewer is darker than by itself)" in text
