"""The explanation as a page."""

import re
from html import unescape
from pathlib import Path

from audits.explain import __main__ as command
from tests.audits.explain.invented import K


def test_the_page_is_self_contained_and_escapes_what_it_is_given(audited, capsys):
    prompt = "<script>"
    arguments = ["--audit", "a", "--image", "raw/n02/10.png", "--html", "pages/one.html"]
    command.main([*arguments, "--prompt", prompt])
    assert "wrote pages/one.html" in capsys.readouterr().err
    html = Path("pages/one.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert prompt in unescape(html)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "thing" in html and "<i>" not in html.replace('<i style="', "")
    command.main([*arguments, "--class", "n02", "--top", "9"])
    html = Path("pages/one.html").read_text(encoding="utf-8")
    assert "Known to this audit." in html
    assert "the model sees the square in its middle" not in html  # this one squashes
    assert "Trained on &lt;nothing&gt;." in html
    assert html.count('alt="labelled ') == 2 * (K - 1)
    assert html.count("no train image") == 1
