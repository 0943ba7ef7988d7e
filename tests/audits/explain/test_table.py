"""The explanation in the terminal."""

import re

from audits.explain import __main__ as command
from tests.audits.explain.invented import explained


def test_the_table_has_a_line_for_each_component(audited, capsys):
    command.main(["--audit", "a", "--image", "raw/n02/10.png", "--class", "n02", "--top", "2"])
    text = capsys.readouterr().out
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n02")["explanations"][0]
    assert "id10 of the dataset's val set, labelled <b>" in text
    assert f"prompt “<b>”: output y = {found['y']:.4f}" in text
    lines = re.findall(r"^(for|against) +(\d+) .*?([+-]0\.\d{4}) ", text, re.MULTILINE)
    for side, sign in (("for", 1), ("against", -1)):
        ranked = sorted(found["components"], key=lambda c: -sign * c["effect"])
        expected = [c for c in ranked if sign * c["effect"] > 0][:2]
        assert [(int(j), effect) for name, j, effect in lines if name == side] == [
            (c["component"], f"{c['effect']:+.4f}") for c in expected
        ]
    assert "not measured" in text
    assert len(re.findall(r" \d+% (?:at the|in) \w+", text)) == len(lines)
