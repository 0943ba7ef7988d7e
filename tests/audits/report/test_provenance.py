"""Where a report comes from."""

from pathlib import Path

from audits.report.provenance import git_state, lock_hashes


def test_lock_hashes_follows_dependencies_upwards_only() -> None:
    lock = {
        "stages": {
            "prepare": {"outs": [{"path": "data/m", "hash": "md5", "md5": "1.dir"}]},
            "embed": {
                "deps": [{"path": "data/m/manifest.parquet", "md5": "2"}],
                "outs": [{"path": "data/x", "md5": "3"}],
            },
            "other": {
                "deps": [{"path": "data/x", "md5": "3"}],
                "outs": [{"path": "data/xy", "md5": "4"}],
            },
        }
    }
    assert lock_hashes(lock, ["data/x/model.json"]) == {
        "embed": {"deps": {"data/m/manifest.parquet": "2"}, "outs": {"data/x": "3"}},
        "prepare": {"deps": {}, "outs": {"data/m": "1.dir"}},
    }


def test_git_state_outside_a_checkout_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": None, "dirty": None}
