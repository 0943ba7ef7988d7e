"""Where a report comes from."""

import platform

from audits.report.provenance import lock_hashes, processor


def test_lock_hashes_are_of_what_was_read_and_not_of_what_made_it() -> None:
    lock = {
        "stages": {
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
    }
    read = ["data/x/model.json", "data/labels.csv"]
    assert lock_hashes(lock, read) == {"data/x": "3", "data/labels.csv": "6"}


def test_the_processor_is_named_by_what_decides_rounding() -> None:
    machine, *kernels = processor().split()
    assert machine == platform.machine()
    assert kernels == sorted(kernels)
