"""What counts as made by a stage."""

from pathlib import Path

from audits.verify.outputs import made_in


def test_what_desktops_leave_in_folders_is_no_output(tmp_path: Path) -> None:
    for name in ("out/a.txt", "out/.DS_Store", "out/deep/b.txt", "out/deep/._b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    made = made_in(tmp_path, "out")
    assert made is not None and list(made) == ["out/a.txt", "out/deep/b.txt"]
    assert made["out/a.txt"]() == b"out/a.txt"
    assert made_in(tmp_path, "elsewhere") is None
