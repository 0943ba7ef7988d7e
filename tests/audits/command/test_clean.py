"""`audit clean`: what lies beside DVC is listed with its size, and deleted when asked to."""

from pathlib import Path

import pytest
from filelock import FileLock

from audits.command.__main__ import main
from pipeline.artifacts.resume import resumable, workplace

SHARD = 1_500_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture
def left() -> list[Path]:
    """What two killed runs have left, and a person's file beside it."""
    with pytest.raises(KeyboardInterrupt), resumable(Path("data/embeddings/a"), "k1") as folder:
        (folder / "part-00000.parquet").write_bytes(bytes(SHARD))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), workplace(Path("data/saes/a"), "k2") as folder:
        (folder / "7").mkdir()
        (folder / "7" / "checkpoint.safetensors").write_bytes(bytes(SHARD // 3))
        (folder / "notes.txt").write_text("a person's")
        raise KeyboardInterrupt
    return [
        Path("data/unfinished/data-embeddings-a/k1"),
        Path("data/unfinished/data-saes-a/k2"),
    ]


def files() -> set[str]:
    return {path.name for path in Path().rglob("*") if path.is_file() and path.name != "lock"}


def test_it_lists_with_sizes_and_deletes_nothing(left, capsys):
    before = files()
    main(["clean"])
    assert capsys.readouterr().out.splitlines() == [
        f"      1.5 MB  {left[0]}",
        f"      0.5 MB  {left[1]}",
        "      2.0 MB  in all",
        "nothing is deleted without --delete",
    ]
    assert files() == before == {"part-00000.parquet", "checkpoint.safetensors", "notes.txt"}


def test_it_deletes_what_the_workflow_has_written_and_nothing_else(left, capsys):
    stray = Path("data/unfinished/mine/thesis.parquet")
    stray.parent.mkdir()
    stray.write_text("a person's, of no run")
    main(["clean", "--delete"])
    assert capsys.readouterr().out == "deleted: 2.0 MB\n"
    assert files() == {"notes.txt", "thesis.parquet"}
    assert not left[0].parent.exists()


def test_work_that_is_going_on_stays(left, capsys):
    with FileLock(left[0] / "lock"):
        main(["clean"])
        assert f"{left[0]} (in use)" in capsys.readouterr().out
        main(["clean", "--delete"])
    assert capsys.readouterr().out == f"deleted: 0.5 MB\nin use, left: {left[0]}\n"
    assert files() == {"part-00000.parquet", "notes.txt"}


def test_where_nothing_is_kept_it_says_so(capsys):
    main(["clean", "--delete"])
    assert capsys.readouterr().out == "nothing is kept beside DVC\n"
