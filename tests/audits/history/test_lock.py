"""What dvc.lock says of stages and of what they have made."""

from pathlib import Path

import pytest

from audits.history.lock import lock_hashes, manifest_digest, read_lock


def test_lock_hashes_are_of_what_was_read_and_not_of_what_made_it() -> None:
    stages = {
        "prepare": {"outs": [{"path": "data/m", "hash": "md5", "md5": "1.dir"}]},
        "embed": {
            "deps": [{"path": "data/m/manifest.parquet", "md5": "2"}],
            "outs": [{"path": "data/x", "md5": "3"}, {"path": "data/h", "md5": "5"}],
        },
        "other": {
            "deps": [{"path": "data/x", "md5": "3"}],
            "outs": [{"path": "data/xy", "md5": "4"}, {"path": "data/labels.csv", "md5": "6"}],
        },
    }
    read = ["data/x/model.json", "data/labels.csv"]
    assert lock_hashes(stages, read) == {"data/x": "3", "data/labels.csv": "6"}


def test_an_output_is_known_by_the_hash_that_its_entry_names_and_by_no_other() -> None:
    outs = [{"path": "a", "hash": "etag", "etag": "1", "md5": "2"}, {"path": "b", "size": 3}]
    assert lock_hashes({"import": {"outs": outs}}, ["a", "b"]) == {"a": "1"}


def test_manifest_digest_takes_the_file_else_its_folder() -> None:
    manifest = Path("data/manifests/scenes/manifest.parquet")
    folder = {"path": "data/manifests/scenes", "md5": "f.dir"}
    file = {"path": str(manifest), "md5": "abc"}
    stages = {"other": {"cmd": "x"}, "prepare@scenes": {"outs": [folder]}}
    assert manifest_digest(stages, manifest) == "f.dir"
    both = {**stages, "more": {"outs": [file]}}
    assert manifest_digest(both, manifest) == "abc"
    with pytest.raises(KeyError, match=r"data/manifests/lesions/.*prepare@lesions"):
        manifest_digest(stages, Path("data/manifests/lesions/manifest.parquet"))


def test_a_lock_is_read_as_its_stages() -> None:
    text = "schema: '2.0'\nstages:\n  fetch@tiny:\n    cmd: x\n"
    assert read_lock(text) == {"fetch@tiny": {"cmd": "x"}}
