"""Images of a table."""

from pathlib import Path

import pytest

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record, image_table
from pipeline.datasets.adapters import KNOWN_NAMES
from pipeline.datasets.classes import class_names
from pipeline.datasets.splits import split_of
from tests.pipeline.datasets.test_files import write_tar

SHARES = {"train": 0.6, "val": 0.4}
FILES = ("a/1.jpg", "a/2 x.jpg", "b/3.png", "b/3.jpg")


def listed(root: Path, table: str, splits: dict[str, float] | None = None) -> Listing:
    for path in FILES:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    write_tar(root / "c.tar", {"4.jpg": b"4"})
    (root / "images.csv").write_text(table, encoding="utf-8")
    config = DatasetConfig.model_construct(kind="csv", splits=splits)
    return image_table.records(root, config, seed=3)


def test_splits_groups_and_labels_are_those_of_the_table(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        "\ufeffgroup,path,note,label,split\r\n"
        "g,b/3.png,?,bat,val\r\n"
        "\r\n"
        " ,a/1.jpg,, hot_dog ,train\r\n"
        'g,./a//2 x.jpg,"two, three",,val\r\n'
        ",c.tar#4.jpg,,bat,test\r\n",
    )
    assert listing == Listing(
        [
            Record("a/1", "a/1.jpg", "train", "hot_dog", "a/1"),
            Record("a/2_x", "a/2 x.jpg", "val", None, "g"),
            Record("b/3", "b/3.png", "val", "bat", "g"),
            Record("c.tar#4", "c.tar#4.jpg", "test", "bat", "c.tar#4"),
        ],
        ["bat", "hot_dog"],
        [],
    )
    config = DatasetConfig.model_construct(kind="csv", splits=None)
    assert image_table.layout(tmp_path, config) == "images.csv"
    assert class_names(tmp_path, listing.labels, KNOWN_NAMES["csv"])["hot_dog"] == "hot dog"


def test_splits_are_drawn_for_each_group_where_the_table_has_none(tmp_path: Path) -> None:
    table = "path,label,group\na/1.jpg,x,lesion\na/2 x.jpg,y,lesion\nb/3.png,x,\n"
    listing = listed(tmp_path, table, SHARES)
    lesion, alone = (split_of(group, SHARES, 3) for group in ("lesion", "b/3"))
    assert [record.split for record in listing.records] == [lesion, lesion, alone]


def test_namesakes_and_missing_files_are_left_out(tmp_path: Path) -> None:
    table = "path,label,split\nb/3.png,x,val\nb/3.jpg,y,train\nb/9.jpg,z,train\nd.tar#1,x,val\n"
    listing = listed(tmp_path, table)
    assert [record.path for record in listing.records] == ["b/3.png"]
    assert listing.labels == ["x", "y", "z"]
    assert listing.excluded == [
        Excluded("b/3.jpg", "its image_id b/3 is taken by b/3.png"),
        Excluded("b/9.jpg", "no such file, but a row in images.csv"),
        Excluded("d.tar#1", "no such file, but a row in images.csv"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "images.csv, line 1: no column path, label; it has none"),
        (
            "file_name,class,split\na/1.jpg,x,val\n",
            "is 'file_name' meant. Rename it to path; is 'class' meant. Rename it to label",
        ),
        ("path,label,label,split\na/1.jpg,a,x,train\n", "column label is there 2 times"),
        ("path,label,split,groups\na/1.jpg,a,train,g\n", "'groups' is not read; is group meant"),
        (
            "path,label,split\na/1.jpg,x,dove\n",
            "line 2: split is 'dove', not one of train, val, test",
        ),
        ("path,label,split\n\na/1.jpg,x,\n", "line 3: split is ''"),
        ("path,label,split\n ,x,val\n", "line 2: path is blank"),
        ("path,label,split\n/a/1.jpg,x,val\n", "line 2: path '/a/1.jpg' leaves .* relative to /"),
        ("path,label,split\nC:\\data\\1.jpg,x,val\n", "line 2: path .* leaves the folder"),
        ("path,label,split\nc:/data/1.jpg,x,val\n", "line 2: path .* leaves the folder"),
        ("path,label,split\n\\\\disk\\1.jpg,x,val\n", "line 2: path .* leaves the folder"),
        ("path,label,split\na/../../1.jpg,x,val\n", r"path 'a/\.\./\.\./1.jpg' leaves"),
        ("path,label,split\na/1.jpg,x\n", "line 2: has 2 cells, not 3"),
        (
            "path,label,split\na/1.jpg,x,val\nb/3.png,x,val\n./a/1.jpg,y,val\n",
            "line 4 lists the path 'a/1.jpg' again, after line 2",
        ),
        (
            "path,label,split,group\na/1.jpg,x,val,g\nb/3.png,x,train,g\n",
            "line 3: the group 'g' is in split train, and in line 2 in val",
        ),
        ("path,label\na/1.jpg,x\n", "no column split, and splits is null"),
        ('path,label,split\n"a\n1.jpg",x,val\nb/3.png,x,no\n', "line 4: split is 'no'"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, table)


def test_splits_are_given_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has a column split, and splits is"):
        listed(tmp_path, "path,label,split\na/1.jpg,x,val\n", SHARES)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"images\.csv is missing: kind csv needs it"):
        image_table.layout(tmp_path, DatasetConfig.model_construct(kind="csv", splits=None))


@pytest.mark.parametrize(
    "given",
    [
        "{root}/a/1.jpg",
        "{link}/a/1.jpg",
        "../{name}/b/../a/1.jpg",
        "a\\1.jpg",
        ".\\a\\1.jpg",
        "{root}/c.tar#4.jpg",
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_paths_inside_the_folder_count_however_they_are_written(
    tmp_path: Path, given: str, linked: bool
) -> None:
    root, link = tmp_path / "data", tmp_path / "link"
    root.mkdir()
    link.symlink_to(root)
    path = given.format(root=root, link=link, name="link" if linked else "data")
    found = listed(link if linked else root, f"path,label,split\n{path},x,train\n")
    expected = "c.tar#4.jpg" if "#" in given else "a/1.jpg"
    assert [record.path for record in found.records] == [expected]
    assert found.excluded == []


def test_paths_are_found_in_either_unicode_form(tmp_path: Path) -> None:
    for name in ("cafe\u0301/e\u0301.jpg", "th\u00e9/1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    table = "path,label\ncaf\u00e9/\u00e9.jpg,the\u0301\nthe\u0301/1.jpg,th\u00e9\n"
    found = listed(tmp_path, table, SHARES)
    assert {record.path for record in found.records} == {
        "cafe\u0301/e\u0301.jpg",
        "th\u00e9/1.jpg",
    }
    assert found.labels == ["th\u00e9"]


def test_a_file_in_another_case_is_named(tmp_path: Path) -> None:
    found = listed(tmp_path, "path,label,split\nA/1.JPG,x,val\na/9/1.jpg,x,val\nb,x,val\n")
    assert [(item.path, item.reason.rpartition("; ")[2]) for item in found.excluded] == [
        ("A/1.JPG", "there is a/1.jpg"),
        ("a/9/1.jpg", "no such file, but a row in images.csv"),
        ("b", "no such file, but a row in images.csv"),
    ]


def test_splits_may_be_called_as_folders_are(tmp_path: Path) -> None:
    table = "PATH; Label ;Split\na/1.jpg;x;Training\na/2 x.jpg;x;validation\nb/3.png;x;TEST\n"
    assert [record.split for record in listed(tmp_path, table).records] == ["train", "val", "test"]
