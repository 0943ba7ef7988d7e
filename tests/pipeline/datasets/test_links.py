"""Symbolic links in a dataset."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.datasets.adapters import layout, listing
from pipeline.datasets.links import refuse_links
from tests.pipeline.datasets.test_adapters import folder_config, touch


@pytest.fixture
def root(tmp_path: Path) -> Path:
    touch(tmp_path / "disk", "train/bat/1.png", "val/bat/2.png", "more/3.png")
    touch(tmp_path / "root", "train/bat/1.png", "val/bat/2.png")
    return tmp_path / "root"


@pytest.mark.parametrize("place", ["train/dog", "extra", "train/bat/more", "val/bat/more"])
def test_a_linked_folder_is_refused_at_any_depth(root: Path, place: str) -> None:
    os.symlink(root.parent / "disk/more", root / place)
    for look in (lambda: layout(folder_config(root)), lambda: listing(folder_config(root), 0)):
        with pytest.raises(ValueError, match="DVC does not look behind") as caught:
            look()
        said = str(caught.value)
        assert f"{root / place} is a symbolic link to the folder {root.parent}/disk/more" in said
        assert f"cp -al {root.parent}/disk/more {root / place}" in said


def test_a_table_behind_a_linked_folder_is_refused(root: Path) -> None:
    (root / "images.csv").write_text("path,label,split\nlinked/3.png,bat,train\n")
    os.symlink("../disk/more", root / "linked")
    with pytest.raises(ValueError, match=r"linked is a symbolic link to the folder .*/disk/more"):
        layout(folder_config(root, kind="csv"))


@pytest.mark.parametrize("target", ["nowhere", "loop.png"])
def test_a_link_that_leads_nowhere_is_refused(root: Path, target: str) -> None:
    os.symlink(target, root / "train/bat/loop.png")
    with pytest.raises(ValueError, match=rf"loop\.png is a symbolic link to {target}, where no"):
        refuse_links(root)


def test_a_loop_of_folders_is_refused(root: Path) -> None:
    os.symlink("..", root / "train/bat/up")
    os.symlink("..", root / "val/bat/up")
    with pytest.raises(ValueError, match=r"train/bat/up is .* \(and 1 more such links"):
        refuse_links(root)


def test_links_that_dvc_follows_are_fine(root: Path) -> None:
    os.symlink(root.parent / "disk/more/3.png", root / "train/bat/3.png")
    os.symlink(root.parent / "disk", root / ".hidden")
    os.symlink(root, root.parent / "link")
    config = folder_config(root.parent / "link")
    assert layout(config) == "train/<class>/ and val/<class>/"
    assert [record.path for record in listing(config, 0).records] == [
        "train/bat/1.png",
        "train/bat/3.png",
        "val/bat/2.png",
    ]


@pytest.mark.slow
def test_dvc_sees_what_is_not_refused(root: Path) -> None:
    disk = root.parent / "disk"
    os.symlink(disk / "more/3.png", root / "train/bat/3.png")
    os.symlink(root, root.parent / "link")
    (root.parent / "dvc.yaml").write_text("stages: {s: {cmd: 'true', deps: [link]}}\n")

    def dvc(*words: str) -> str:
        command = [sys.executable, "-m", "dvc", *words]
        run = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, check=True)
        return run.stdout

    dvc("init", "--no-scm")
    dvc("repro")
    (disk / "more/3.png").write_text("changed")
    assert "modified" in dvc("status")
