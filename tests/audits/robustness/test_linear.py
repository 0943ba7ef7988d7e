"""The linear classifier: what it learns from, its folds, its regularisation and its scores."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from audits.robustness import linear
from pipeline.config import RobustnessConfig

SETTINGS = {"min_images": 5, "train_images": 50, "search_images": 20, "folds": 3}
CONFIG = RobustnessConfig(**SETTINGS, regularisation=[1.0, 10.0, 100.0])


def blobs(classes: str = "cab", each: int = 20, seed: int = 0) -> tuple[np.ndarray, pd.DataFrame]:
    """Unit embeddings around a corner of a cube for each class."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(classes), each)
    centres = {label: np.eye(5)["abcd".index(label)] for label in classes}
    z = np.array([centres[label] for label in labels]) + 0.3 * rng.normal(size=(len(labels), 5))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    ids = [f"{label}{i:03d}" for i, label in enumerate(labels)]
    images = pd.DataFrame({"image_id": ids, "label": labels, "group_id": ids})
    return z.astype(np.float32), images


def test_it_is_repeatable_and_names_its_columns():
    z, images = blobs()
    found = linear.fit(z, images, CONFIG, seed=1)
    scores = found.scores(z[:50])
    assert np.array_equal(scores, linear.fit(z, images, CONFIG, seed=1).scores(z[:50]))
    assert scores.shape == (50, 3)
    assert found.labels == ["a", "b", "c"]
    assert (np.array(found.labels)[scores.argmax(axis=1)] == images["label"][:50]).mean() > 0.9
    assert found.images == 60
    assert 0 < found.steps < linear.STEPS


def test_two_classes_have_two_columns_of_opposite_sign():
    z, images = blobs("ca")
    found = linear.fit(z, images, CONFIG, seed=0)
    scores = found.scores(z[:7])
    assert found.labels == ["a", "c"]
    assert np.array_equal(scores[:, 0], -scores[:, 1])
    assert (scores[:, 1] > 0).mean() > 0.8


@pytest.mark.parametrize(("classes", "scale"), [("cab", 1.0), ("ca", 0.5)])
def test_its_scores_are_scikit_learn_s(classes, scale):
    """Of two classes scikit-learn has one score s, whose probability is that of (−s/2, s/2)."""
    z, images = blobs(classes)
    found = linear.fit(z, images, CONFIG, seed=0)
    model = LogisticRegression(C=found.c, max_iter=linear.STEPS)
    theirs = model.fit(z - found.centre, images["label"]).predict_proba(z[:9] - found.centre)
    assert np.allclose(softmax(scale * found.scores(z[:9]), axis=1), theirs, atol=1e-5)


@pytest.mark.parametrize("classes", ["cab", "ca"])
def test_it_is_saved_and_read_as_it_is(classes, tmp_path):
    z, images = blobs(classes)
    found = linear.fit(z, images, CONFIG, seed=0)
    for name in ("one", "two"):
        linear.save(tmp_path / name, found)
    again = linear.read(tmp_path / "one")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (again.labels, again.c, again.images, again.steps) == (
        found.labels,
        found.c,
        found.images,
        found.steps,
    )
    assert np.array_equal(again.scores(z), found.scores(z))
    assert again.weight.shape == (len(classes), 5)


def test_it_is_the_optimum_of_the_penalised_loss():
    """The gradient of Σ loss + ‖w‖²/(2C) is 0, in float32's precision, at what was chosen."""
    z, images = blobs(each=40)
    config = RobustnessConfig(**SETTINGS, regularisation=[3.0])
    found = linear.fit(z, images, config, seed=0)
    excess = softmax(found.scores(z), axis=1)
    excess -= images["label"].to_numpy()[:, None] == np.array(found.labels)
    gradient = excess.T @ (z - found.centre) + found.weight / 3.0
    assert found.c == 3.0
    assert np.abs(gradient).max() / len(z) < 1e-4


def test_many_classes_do_not_stop_it_before_it_starts():
    """At 300 classes the mean loss's gradient is near scikit-learn's usual tolerance from the
    start."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(300), 4)
    z = 3 + rng.normal(size=(300, 64))[labels] + 0.8 * rng.normal(size=(1200, 64))
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    images = pd.DataFrame({"label": labels.astype(str)})
    images["image_id"] = images["group_id"] = images.index.astype(str)
    config = RobustnessConfig(**SETTINGS, regularisation=[100.0])
    found = linear.fit(z, images, config, seed=0)
    assert found.steps > 20
    predicted = np.array(found.labels)[found.scores(z).argmax(axis=1)]
    assert (predicted == images["label"]).mean() > 0.95


def test_the_best_regularisation_is_chosen():
    """Labels of which a third are wrong want a strong one; clean ones get by with a weak one."""
    z, images = blobs(each=50, seed=3)
    noisy = images.copy()
    wrong = np.arange(len(noisy)) % 3 == 0
    noisy.loc[wrong, "label"] = np.random.default_rng(0).permutation(noisy["label"])[wrong]
    config = RobustnessConfig(**SETTINGS, regularisation=[1e4, 1e-4, 1.0])
    assert linear.fit(z, noisy, config, seed=0).c == 1.0
    single = RobustnessConfig(**SETTINGS, regularisation=[7.0])
    assert linear.fit(z, noisy, single, seed=0).c == 7.0


def test_the_search_sees_no_more_than_it_may(monkeypatch):
    z, images = blobs(each=30)
    seen = []

    def folds(labels, groups, count, seed):
        seen.append(len(labels))
        return given(labels, groups, count, seed)

    given = linear.folds
    monkeypatch.setattr(linear, "folds", folds)
    found = linear.fit(z, images, CONFIG, seed=0)
    assert seen == [60]
    assert found.images == 90


@pytest.mark.parametrize(("small", "threads"), [(10**9, {1}), (1000, {1, 2}), (0, {2})])
def test_small_products_are_of_one_thread(small, threads, monkeypatch):
    """Of 90 images × 5 numbers × 3 classes, and of the 60 that are searched."""

    class Noted(LogisticRegression):
        def fit(self, x, y):
            pools = [one for one in threadpool_info() if one["user_api"] == "blas"]
            seen.append((len(x), {one["num_threads"] for one in pools}))
            return super().fit(x, y)

    seen: list[tuple[int, set[int]]] = []
    monkeypatch.setattr(linear, "SMALL", small)
    monkeypatch.setattr(linear, "LogisticRegression", Noted)
    with threadpool_limits(2):
        linear.fit(*blobs(each=30), CONFIG, seed=0)
    assert set().union(*(used for _, used in seen)) == threads
    assert seen[-1] == (90, {max(threads)})


def test_drawing_caps_each_class_and_knows_images_by_their_id():
    images = blobs("cab", each=12)[1].iloc[:31]  # 12, 12 and 7
    rows = linear.draw(images, 9, seed=2)
    assert images["label"].iloc[rows].value_counts().to_dict() == {"c": 9, "a": 9, "b": 7}
    order = np.random.default_rng(0).permutation(len(images))
    again = linear.draw(images.iloc[order], 9, seed=2)
    ids = images["image_id"].to_numpy()
    assert ids[rows].tolist() == ids[order][again].tolist()
    assert set(linear.draw(images, 9, seed=3)) != set(rows)


def test_no_group_is_on_both_sides_of_a_fold():
    labels = np.repeat(["a", "b", "c"], [24, 18, 9])
    groups = np.arange(51) // 3
    tested = []
    for learn, test in linear.folds(labels, groups, 3, seed=0):
        assert not set(groups[learn]) & set(groups[test])
        assert set(labels[test]) == {"a", "b", "c"}
        tested += test.tolist()
    assert sorted(tested) == list(range(51))


def test_folds_of_single_images_are_stratified():
    labels = np.repeat(["a", "b", "c"], [24, 18, 2])  # c is rarer than there are folds
    for _, test in linear.folds(labels, np.arange(44), 3, seed=0):
        assert (labels[test] == "a").sum() == 8
        assert (labels[test] == "b").sum() == 6


@pytest.mark.parametrize(("labels", "groups"), [("aabbcc", "uvwxyz"), ("aaaabbbb", "uuuuvvvv")])
def test_too_little_for_the_folds_is_said(labels, groups):
    with pytest.raises(ValueError, match=r"too few for 3 folds \(robustness.folds"):
        linear.folds(np.array(list(labels)), np.array(list(groups)), 3, seed=0)


def test_one_class_is_refused():
    z, images = blobs("a")
    with pytest.raises(ValueError, match="there are train images of 1 class"):
        linear.fit(z, images, CONFIG, seed=0)


@pytest.mark.parametrize(("search", "train"), [(2, 50), (51, 50)])
def test_searching_more_than_is_learned_from_is_refused(search, train):
    settings = SETTINGS | {"search_images": search, "train_images": train}
    with pytest.raises(
        ValueError, match=f"search_images is {search}: it must be from folds, 3, to"
    ):
        RobustnessConfig(**settings, regularisation=[1.0])
