"""docs/versions.md, typed from top to bottom as it stands, on a small dataset of birds.

Tests follow one another on one repository, as the sections do. Hashes and folders of the page stand
for those of the walk.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.small_repository import ROOT, environment, small_params
from tests.test_commands import DOCUMENTED

pytestmark = pytest.mark.slow
CLASSES = ("owl", "gull", "swan", "heron", "finch", "crane")
TRAIN, VAL = 12, 6
"""Pictures of a class."""
FIRST, SECOND = "eac4c88", "1eeafc2"
"""Commits of the page."""
OLD, NEW = "a8d509e7", "dfcd3eab"
"""Its versions of the dataset."""


def write_birds(root: Path) -> None:
    """Noisy pictures, each class of a colour of its own."""
    rng = np.random.default_rng(0)
    for label in CLASSES:
        colour = rng.uniform(40, 215, 3)
        for number in range(TRAIN + VAL):
            split = "train" if number < TRAIN else "val"
            path = root / split / label / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = colour + rng.normal(0, 40, (48, 48, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


class Walk:
    """A repository, and what stands in it for the page's hashes and folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left = set(TYPED)
        self.stands_for = {
            "/srv/dvc-store": str(folder.with_name("store")),
            "/srv/dvc-cache": str(folder.with_name("cache")),
            "/mnt/birds": str(folder.with_name("mnt") / "birds"),
        }
        own = {"PYTHONPATH": str(folder), "HOME": str(folder.with_name("home"))}
        for who in ("AUTHOR", "COMMITTER"):
            own |= {f"GIT_{who}_NAME": "Ann", f"GIT_{who}_EMAIL": "ann@example.org"}
        self.environment = environment() | own | {"COLUMNS": "200"}

    def do(self, command: str, *, where: Path | None = None) -> str:
        """What a command prints, on both channels; it has to succeed."""
        for shown, real in self.stands_for.items():
            command = command.replace(shown, real)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=where or self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert "Traceback" not in done.stdout, f"{command}\n{done.stdout}"
        return done.stdout

    def typed(self, command: str, *, where: Path | None = None) -> str:
        """As `do`, of what the page says."""
        assert command in TYPED
        self.left.discard(command)
        return self.do(command, where=where)

    def hash_of_head(self) -> str:
        return self.do("git rev-parse --short=7 HEAD").strip()


TYPED = (
    "dvc add data/raw/birds",
    "git add data/raw/birds.dvc",
    "dvc remote add -d store /srv/dvc-store",
    'git commit .dvc/config -m "Where the data lie"',
    "rm data/raw/birds/train/owl/003.png",
    "mv data/raw/birds/train/gull/005.png data/raw/birds/train/swan/005g.png",
    "dvc status",
    "dvc repro prepare@birds",
    "dvc repro publish@birds-tiny",
    "git add data/raw/birds.dvc dvc.lock reports",
    'git commit -m "birds: an owl removed, a gull that is a swan"',
    "dvc push",
    "audit versions birds-tiny",
    "audit versions birds-tiny a8d509e7 dfcd3eab --list",
    "dvc metrics diff eac4c88 1eeafc2",
    "git checkout eac4c88",
    "dvc checkout",
    "git checkout eac4c88 -- data/raw/birds.dvc",
    "dvc checkout data/raw/birds.dvc",
    "git show eac4c88:reports/birds-tiny/report.md",
    "git switch -",
    "dvc push --run-cache",
    "dvc push --all-commits",
    "dvc pull --run-cache",
    "ls reports/birds-tiny",
    "dvc exp run -n few -S audits.lesions-tiny.report.gallery=4 report@lesions-tiny",
    "dvc params diff",
    "git restore params.yaml dvc.lock reports",
    "dvc exp run --queue -n five -S audits.lesions-tiny.report.gallery=5 report@lesions-tiny",
    "dvc queue start",
    "dvc queue status",
    "dvc exp show",
    "dvc gc --all-commits --dry",
    "audit clean",
    "audit clean --delete",
    "dvc import-url /mnt/birds data/raw/birds",
    "dvc import-url --no-download /mnt/birds data/raw/birds",
    "dvc update data/raw/birds.dvc",
    "dvc update --no-download data/raw/birds.dvc",
    "dvc cache dir --local /srv/dvc-cache",
    "dvc config --local cache.shared group",
    "dvc config --local cache.type hardlink,symlink",
    "dvc checkout --relink",
    "dvc unprotect data/raw/birds",
)
"""Commands of the page that are typed here."""


@pytest.mark.parametrize("command", TYPED)
def test_what_is_typed_is_on_the_page(command):
    assert command in {c for section, c in DOCUMENTED if section.startswith("versions.md")}


@pytest.fixture(scope="module")
def walk(repository, tmp_path_factory) -> Walk:
    """The repository after its first audit of the birds, committed."""
    folder = tmp_path_factory.mktemp("walk") / "repository"
    shutil.copytree(repository, folder, symlinks=True)
    for name in (".gitignore", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    walk = Walk(folder)
    folder.with_name("home").mkdir()
    write_birds(folder / "data/raw/birds")
    (folder / "vocabularies/birds.csv").write_text("term,kind\nfeathers,\na beak,\nwater,\n")
    leave_lesions(folder)
    walk.do("dvc add data/raw/lesions data/sources/lesions.json data/models/tiny")
    walk.typed("dvc add data/raw/birds")
    walk.typed("git add data/raw/birds.dvc")
    walk.do(
        "audit add birds-tiny --dataset birds --kind image_folder --root data/raw/birds "
        "--vocabulary vocabularies/birds.csv --labeler tiny --model tiny"
    )
    path = folder / "params.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    small = small_params()["audits"]["scenes-tiny"]
    own = {key: small[key] for key in ("sae", "stability", "probe", "label", "faithfulness")}
    raw["audits"]["birds-tiny"] |= own
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    walk.do("git add -A")
    walk.do("git commit -qm 'Before birds'")
    walk.typed("dvc remote add -d store /srv/dvc-store")
    walk.typed('git commit .dvc/config -m "Where the data lie"')
    walk.typed("dvc repro publish@birds-tiny")
    walk.do("dvc repro publish_comparison@birds publish_comparison@lesions")
    walk.do("git add -A")
    walk.do("git commit -qm birds")
    walk.stands_for[FIRST] = walk.hash_of_head()
    return walk


def leave_lesions(folder: Path) -> None:
    """Take what makes the samples and the model out, and the scenes, which were never audited."""
    path = folder / "dvc.yaml"
    dag = yaml.safe_load(path.read_text(encoding="utf-8"))
    for made in ("sample", "pretrain"):
        del dag["stages"][made]
    path.write_text(yaml.safe_dump(dag), encoding="utf-8")
    path = folder / "params.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, key in (
        ("datasets", "scenes"),
        ("embeddings", "scenes-tiny"),
        ("audits", "scenes-tiny"),
    ):
        del raw[section][key]
    raw["pretrain"]["datasets"] = ["lesions"]
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")


def test_changing_a_dataset(walk):
    walk.typed("rm data/raw/birds/train/owl/003.png")
    walk.typed("mv data/raw/birds/train/gull/005.png data/raw/birds/train/swan/005g.png")
    said = walk.typed("dvc status")
    assert "prepare@birds" in said and "data/raw/birds.dvc" in said and "lesions-tiny" not in said
    walk.typed("dvc repro prepare@birds")
    stale = walk.typed("dvc status")
    assert "embed@birds-tiny" in stale and "lesions-tiny" not in stale
    walk.typed("dvc repro publish@birds-tiny")
    walk.typed("git add data/raw/birds.dvc dvc.lock reports")
    walk.typed('git commit -m "birds: an owl removed, a gull that is a swan"')
    walk.stands_for[SECOND] = walk.hash_of_head()
    walk.typed("dvc push")


def test_what_a_version_is(walk):
    said = walk.typed("audit versions birds-tiny")
    now, then = (re.match(r"\s*(\w{8})", line) for line in said.splitlines()[1:3])
    assert now and then, said
    walk.stands_for |= {OLD: then[1], NEW: now[1]}
    said = walk.typed("audit versions birds-tiny a8d509e7 dfcd3eab --list")
    assert re.search(r"removed +train/owl/003: owl", said)
    assert re.search(r"relabelled +train/swan/005g: gull -> swan", said)
    said = walk.typed("dvc metrics diff eac4c88 1eeafc2")
    assert re.search(r"dataset\.images +108 +107 +-1", said)


def test_going_back(walk):
    walk.typed("git checkout eac4c88")
    walk.typed("dvc checkout")
    assert "up to date" in walk.do("dvc status -d publish@birds-tiny")
    assert "Running stage" not in walk.typed("dvc repro publish@birds-tiny")
    walk.typed("git switch -")
    walk.typed("dvc checkout")
    walk.typed("git checkout eac4c88 -- data/raw/birds.dvc")
    walk.typed("dvc checkout data/raw/birds.dvc")
    said = walk.typed("dvc repro publish@birds-tiny")
    assert set(re.findall(r"Running stage '(\w+)@", said)) <= {"report", "publish"}
    assert "# " in walk.typed("git show eac4c88:reports/birds-tiny/report.md")
    walk.do("git reset --hard -q")
    walk.typed("dvc checkout")


def test_sharing(walk):
    walk.typed("dvc push --run-cache")
    walk.typed("dvc push --all-commits")
    clone = walk.folder.with_name("clone")
    walk.do(f"git clone -q {walk.folder} {clone}")
    walk.typed("dvc pull --run-cache", where=clone)
    assert "up to date" in walk.do("dvc status -d publish@birds-tiny", where=clone)
    assert "report.html" in walk.typed("ls reports/birds-tiny", where=clone)
    walk.do("python -m audits.publish --sync", where=clone)
    assert (clone / "mlflow.db").exists()
    assert "Running stage" not in walk.do("dvc repro --pull publish@birds-tiny", where=clone)


def test_varying_settings(walk):
    walk.typed("dvc exp run -n few -S audits.lesions-tiny.report.gallery=4 report@lesions-tiny")
    assert "audits.lesions-tiny.report.gallery" in walk.typed("dvc params diff")
    walk.typed("git restore params.yaml dvc.lock reports")
    walk.typed("dvc checkout")
    walk.typed(
        "dvc exp run --queue -n five -S audits.lesions-tiny.report.gallery=5 report@lesions-tiny"
    )
    walk.typed("dvc queue start")
    walk.do("while dvc queue status | grep -Eq 'Running|Queued'; do sleep 2; done")
    assert "Success" in walk.typed("dvc queue status")
    assert "five" in walk.typed("dvc exp show")


def test_making_room(walk):
    left = walk.folder / "data/unfinished/data-embeddings-birds-tiny/6c1f"
    left.mkdir(parents=True)
    said = walk.typed("dvc gc --all-commits --dry")
    assert "Removed" in said
    walk.do("dvc gc --all-commits --force")
    assert "up to date" in walk.do("dvc status -d publish@birds-tiny")
    walk.typed("audit clean")
    walk.typed("audit clean --delete")


def test_getting_data_in(walk, tmp_path):
    """In repositories of their own, since each of the ways gives the same folder."""
    write_birds(Path(walk.stands_for["/mnt/birds"]))
    for number, way in enumerate(("", "--no-download ")):
        where = tmp_path / str(number)
        where.mkdir()
        walk.do("git init -q && dvc init -q && mkdir -p data/raw", where=where)
        walk.typed("dvc cache dir --local /srv/dvc-cache", where=where)
        walk.typed("dvc config --local cache.shared group", where=where)
        walk.typed("dvc config --local cache.type hardlink,symlink", where=where)
        walk.typed(f"dvc import-url {way}/mnt/birds data/raw/birds", where=where)
        walk.typed(f"dvc update {way}data/raw/birds.dvc", where=where)
        assert (where / "data/raw/birds/train/owl").is_dir() == (not way)
    where = tmp_path / "0"
    walk.typed("dvc checkout --relink", where=where)
    picture = where / "data/raw/birds/train/owl/000.png"
    assert picture.is_symlink() or picture.stat().st_nlink > 1
    walk.typed("dvc unprotect data/raw/birds", where=where)
    assert not picture.is_symlink() and picture.stat().st_nlink == 1


def test_all_is_typed_that_is_said_to_be(walk):
    assert walk.left == set(), "after all tests of this file"
