"""Work that outlives a kill: what is kept, what is never reused."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.artifacts import resume
from pipeline.artifacts.resume import content_hash, resumable, work_key, workplace

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


def fail_after_one_shard(path: Path, key: str) -> None:
    with pytest.raises(KeyboardInterrupt), resumable(path, key) as folder:
        (folder / "part-00000.parquet").write_text("whole")
        (half := folder / ".part-00001.parquet-0123abcd").mkdir()
        for name in ("lock", "part-00001.parquet"):
            (half / name).write_text("hal")
        raise KeyboardInterrupt


def test_whole_shards_are_found_again_and_halves_are_not():
    path = Path("data/embeddings/a")
    fail_after_one_shard(path, "key")
    assert not path.exists()
    with resumable(path, "key") as folder:
        assert [p.name for p in folder.iterdir()] == ["part-00000.parquet"]
        (folder / "part-00001.parquet").write_text("whole")
    assert sorted(p.name for p in path.iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    assert not list(Path("data/unfinished").iterdir())


def test_shards_of_another_key_are_deleted():
    path = Path("data/embeddings/a")
    fail_after_one_shard(path, "old")
    with resumable(path, "new") as folder:
        assert list(folder.iterdir()) == []
        assert not list(Path("data/unfinished").rglob("old"))


def test_shards_of_another_path_are_left_alone():
    fail_after_one_shard(Path("data/embeddings/a"), "key")
    with resumable(Path("data/embeddings/b"), "key") as folder:
        assert list(folder.iterdir()) == []
    with resumable(Path("data/embeddings/a"), "key") as folder:
        assert len(list(folder.iterdir())) == 1


def test_what_was_there_is_replaced():
    path = Path("out")
    path.mkdir()
    (path / "part-00007.parquet").write_text("old")
    with resumable(path, "key") as folder:
        (folder / "part-00000.parquet").write_text("new")
    assert [p.name for p in path.iterdir()] == ["part-00000.parquet"]


STRAY = (".DS_Store", "._part-00000.parquet", "Thumbs.db", "notes.txt", "private/notes.txt")


def scatter(folder: Path) -> set[Path]:
    for name in STRAY:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("a person's")
    return {folder / name for name in STRAY}


def test_stray_files_block_nothing_and_stay():
    path, unfinished = Path("data/embeddings/a"), Path("data/unfinished/data-embeddings-a")
    fail_after_one_shard(path, "old")
    old = unfinished / "old"
    stray = [scatter(place) for place in (unfinished.parent, unfinished, old, old / "parts")]
    fail_after_one_shard(path, "key")
    assert not list(old.rglob("part-*"))
    work = unfinished / "key"
    stray.append(scatter(work))
    scatter(work / "parts")
    with resumable(path, "key") as folder:
        assert (folder / "part-00000.parquet").exists()
        (folder / "vocabulary.parquet").write_text("whole")
    assert sorted(p.name for p in path.iterdir()) == ["part-00000.parquet", "vocabulary.parquet"]
    assert all(file.read_text() == "a person's" for file in set().union(*stray))
    (aside,) = work.glob("stray-*")
    assert {str(p.relative_to(aside)) for p in aside.rglob("*") if p.is_file()} == set(STRAY)


def test_a_workplace_deletes_nothing_of_a_person_s():
    path = Path("data/saes/a")
    fail_in_workplace(path, "old")
    stray = scatter(Path("data/unfinished/data-saes-a/old/parts"))
    with workplace(path, "key") as folder:
        (folder / "7").mkdir()
        (folder / "7" / "checkpoint.safetensors").write_text("epoch 3")
        stray |= scatter(folder / "7")
    assert all(file.read_text() == "a person's" for file in stray)
    assert not list(Path("data/unfinished").rglob("checkpoint*"))


def test_what_a_person_has_put_at_the_path_is_not_replaced():
    path = Path("out")
    path.mkdir()
    (path / "thesis.txt").write_text("years of work")
    with (
        pytest.raises(FileExistsError, match=r"such as out/thesis\.txt: move them"),
        resumable(path, "key") as folder,
    ):
        (folder / "part-00000.parquet").write_text("new")
    assert (path / "thesis.txt").read_text() == "years of work"
    (path / "thesis.txt").rename("thesis.txt")
    with resumable(path, "key") as folder:
        assert (folder / "part-00000.parquet").read_text() == "new"


def test_the_hash_of_contents_leaves_out_what_systems_leave():
    folder = Path("in")
    folder.mkdir()
    (folder / "part-00000.parquet").write_text("a")
    found = content_hash([folder])
    for name in (".DS_Store", "._part-00000.parquet", "Thumbs.db", "desktop.ini"):
        (folder / name).touch()
    assert content_hash([folder]) == found


def test_two_processes_do_not_share_a_folder():
    path = Path("data/embeddings/a")
    fail_after_one_shard(path, "key")
    work = next(Path("data/unfinished").rglob("key"))
    with (
        FileLock(work / "lock"),
        pytest.raises(RuntimeError, match="another process is making data/embeddings/a"),
        resumable(path, "key"),
    ):
        pass
    with FileLock(work / "lock"), resumable(path, "another"):
        pass
    assert work.exists()


def test_experiments_share_the_repository_s_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    fail_after_one_shard(Path("out"), "key")
    assert list((tmp_path / "main" / "data" / "unfinished").rglob("part-00000.parquet"))


def test_a_killed_process_leaves_its_whole_shards():
    code = """
        import os, signal
        from pathlib import Path
        from pipeline.artifacts.resume import resumable
        with resumable(Path("out"), "key") as folder:
            (folder / "part-00000.parquet").write_text("whole")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with resumable(Path("out"), "key") as folder:
        assert [p.name for p in folder.iterdir()] == ["part-00000.parquet"]


def test_the_key_is_of_inputs_and_the_recipe_s_number(tmp_path, monkeypatch):
    numbers = tmp_path / "recipes.yaml"
    monkeypatch.setattr(resume, "RECIPES", numbers)
    numbers.write_text("embed: 3\nencode: 3\n")
    key = work_key("embed", {"rows": 3, "weights": "abc"})
    assert key == work_key("embed", {"weights": "abc", "rows": 3})
    assert key != work_key("embed", {"weights": "abd", "rows": 3})
    assert key != work_key("encode", {"rows": 3, "weights": "abc"})
    numbers.write_text("embed: 4\nencode: 3\n")
    assert key != work_key("embed", {"rows": 3, "weights": "abc"})


def test_an_edit_of_the_code_keeps_the_key(tmp_path, monkeypatch):
    key = work_key("embed", {"rows": 3})
    edited = tmp_path / "resume.py"
    edited.write_text("# a comment")
    for name in [name for name in sys.modules if name.startswith("pipeline.")]:
        monkeypatch.setattr(sys.modules[name], "__file__", str(edited))
    assert key == work_key("embed", {"rows": 3})


def fail_in_workplace(path: Path, key: str) -> None:
    with pytest.raises(KeyboardInterrupt), workplace(path, key) as folder:
        (folder / "checkpoint.safetensors").write_text("epoch 3")
        raise KeyboardInterrupt


def test_a_workplace_outlives_a_kill_and_is_deleted_in_the_end():
    path = Path("data/saes/a")
    fail_in_workplace(path, "key")
    with workplace(path, "key") as folder:
        assert (folder / "checkpoint.safetensors").read_text() == "epoch 3"
    assert not list(Path("data/unfinished").iterdir())
    assert not path.exists()
    with workplace(path, "key") as folder:
        assert list(folder.iterdir()) == []


def test_a_checkpoint_of_another_key_is_not_used():
    path = Path("data/saes/a")
    fail_in_workplace(path, "old")
    with workplace(path, "new") as folder:
        assert list(folder.iterdir()) == []
        assert not list(Path("data/unfinished").rglob("old"))


def test_two_processes_do_not_share_a_workplace():
    path = Path("data/saes/a")
    fail_in_workplace(path, "key")
    work = next(Path("data/unfinished").rglob("key"))
    with (
        FileLock(work / "lock"),
        pytest.raises(RuntimeError, match="another process is making data/saes/a"),
        workplace(path, "key"),
    ):
        pass
    with workplace(path, "key") as folder:
        assert (folder / "checkpoint.safetensors").exists()


def test_the_hash_of_contents_is_of_names_and_bytes():
    folder, file = Path("in"), Path("table.csv")
    (folder / "deep").mkdir(parents=True)
    (folder / "part-00000.parquet").write_text("a")
    (folder / "deep" / "part-00001.parquet").write_text("b")
    file.write_text("c")
    found = [content_hash([folder, file])]
    os.utime(file, (0, 0))
    assert content_hash([folder, file]) == found[0]
    (folder / "deep" / "part-00001.parquet").write_text("x")
    found.append(content_hash([folder, file]))
    (folder / "part-00000.parquet").rename(folder / "part-00002.parquet")
    found.append(content_hash([folder, file]))
    (folder / "part-00003.parquet").write_text("")
    found.append(content_hash([folder, file]))
    file.write_text("d")
    found.append(content_hash([folder, file]))
    found.append(content_hash([folder]))
    assert len(set(found)) == len(found)


def test_the_hash_of_contents_wants_its_inputs():
    with pytest.raises(FileNotFoundError):
        content_hash([Path("nowhere")])
