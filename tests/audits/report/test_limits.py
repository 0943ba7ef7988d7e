"""What a report says about how far its findings carry."""

import pandas as pd
import pytest

from audits.report.limits import SMALLEST_CLIP, limits

SAE = {"explained_variance": 0.9, "zero_shot_agreement": 0.95}


def said(accuracy=0.9, parameters=SMALLEST_CLIP, train=100, val=(50, 30, 20), findings=1, **sae):
    labels = [name for name, count in zip("abc", val, strict=True) for _ in range(count)]
    splits = ["train"] * 3 * train + ["val"] * len(labels)
    manifest = pd.DataFrame({"split": splits, "label": list("abc") * train + labels})
    health = SAE | sae
    return limits(manifest, 3, {"parameters": parameters}, accuracy, health, findings)


def test_a_good_model_on_enough_images_is_only_told_its_accuracy():
    (text,) = said()
    assert "names 90% of the 100 labelled validation images right, among 3 classes" in text
    assert "the most frequent one makes up 50%" in text


@pytest.mark.parametrize(
    ("accuracy", "val", "text"),
    [
        (0.5, (50, 30, 20), "what a working prompt relies on."),
        (0.59, (50, 30, 20), "what a working prompt relies on."),  # within two errors
        (0.61, (50, 30, 20), "makes up 50%."),
        (0.45, (34, 33, 33), "rather than hidden dependence."),
    ],
)
def test_a_weak_model_is_called_weak(accuracy, val, text):
    assert said(accuracy=accuracy, val=val)[0].endswith(text)


def test_a_small_model_says_nothing_about_clip():
    texts = said(parameters=9_700_000)
    assert len(texts) == 2
    assert "9.7 million parameters; the smallest CLIP in common use, ViT-B/32, has 151" in texts[1]


def test_few_train_images_are_named():
    texts = said(train=99)
    assert len(texts) == 2
    assert "rests on 99 of its own train images (median), against about 200" in texts[1]


def test_a_dictionary_that_loses_the_model_is_called_so():
    """It changes more predictions than the model gets wrong; the same share is no more."""
    assert said(accuracy=0.9, zero_shot_agreement=0.9)[0] == said(accuracy=0.9)[0]
    texts = said(accuracy=0.9, zero_shot_agreement=0.875)
    assert len(texts) == 2
    assert texts[1].startswith("1 in 8 validation images changes its predicted class")
    assert "the dictionary is not to be trusted" in texts[1]
    assert "is to be trusted" in said(explained_variance=-0.1)[1]


def test_a_dictionary_that_keeps_too_few_predictions_is_warned_of():
    """Below 0.9, even where the model itself is worse."""
    assert len(said(accuracy=0.7, zero_shot_agreement=0.9)) == 1
    texts = said(accuracy=0.7, zero_shot_agreement=0.85)
    assert len(texts) == 2
    assert "85% of the images keep their class; below 90%" in texts[1]
    assert texts[1].endswith("raise sae.k, or sae.components.")


def test_no_finding_is_no_clean_bill():
    assert "another of these 3 classes" in said(findings=0)[-1]


def test_without_findings_nothing_is_said_of_them():
    texts = said(accuracy=0.5, findings=0)
    assert "so a finding would show what its prompts confuse" in texts[0]
    texts = said(accuracy=0.45, val=(34, 33, 33), parameters=9_700_000, findings=0)
    assert "so many findings would be ordinary mistakes" in texts[0]
    assert texts[1].endswith(
        "That there is no finding holds for this model, and says nothing about CLIP models of the "
        "usual size."
    )
    texts = said(accuracy=0.5, parameters=9_700_000)
    assert "so its findings show what its prompts confuse" in texts[0]
    assert "The findings hold for this model, and say nothing" in texts[1]


def test_unlabelled_images_count_for_nothing():
    bare = pd.DataFrame({"split": ["train", "val"], "label": [None, None]})
    assert limits(bare, 3, {"parameters": SMALLEST_CLIP}, 0.5, SAE, 1) == []
    assert limits(bare, 3, {"parameters": SMALLEST_CLIP}, None, SAE, 1) == []
