"""What the command may be asked."""

import pytest

from audits.explain import __main__ as command


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    assert "python -m audits.explain --audit scenes-tiny --image" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [[], ["--prompt", "a", "--class", "b"]])
def test_exactly_one_of_prompt_and_class_is_asked_for(asked, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--audit", "a", "--image", "x.png", *asked])
    assert stopped.value.code == 2
