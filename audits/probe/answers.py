"""What in a model answers to writing: words on neutral grounds, and components' activations."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.random import Generator
from PIL import Image
from scipy.sparse import csr_array
from scipy.stats import rankdata
from torch import Tensor
from tqdm import tqdm

from audits.auroc import auroc, auroc_of_columns
from audits.probe.writing import Ground, blank, marked, writable, written
from pipeline.attribution.relevance import Codes
from pipeline.config import EmbedConfig, ProbeConfig
from pipeline.embeddings.forward import Forward, split_preprocess
from pipeline.models.catalog import Clip, class_tokens

CONTROL_WORDS = (
    *("open", "sale", "exit", "welcome", "new", "free", "please", "today", "since", "best"),
    *("from", "with", "more", "only", "every", "right", "under", "north", "seven", "hundred"),
    *("private", "special", "original", "always", "because", "together", "ready"),
    *("entry", "quality", "service", "thanks"),
)
"""Words that signs and prints carry and that name no thing to be seen."""
NO_WORD = -1

LEAST = 3
"""Grounds that a word is on at least: on fewer, chance answers for a component."""


class Words(NamedTuple):
    """The words of a probe."""

    of_class: dict[str, str]
    """Class label → its word, of the classes that are probed."""
    written: list[str]
    """All words, each once: the classes' and the controls."""
    left_out: int
    """Classes whose word the fonts cannot write, or beyond the number asked for."""


class Plan(NamedTuple):
    """What is on each of n pictures."""

    word: np.ndarray
    """Position [n] among the words, NO_WORD where there are marks or nothing."""
    ground: np.ndarray
    """Position [n] among the grounds."""


class Answers(NamedTuple):
    """How m components answer to w words, see `answers`."""

    writing: np.ndarray
    """AUROC [m] of the activation on writing."""
    fires: np.ndarray
    """The j components that fire on some picture; the others answer to nothing."""
    to_word: np.ndarray
    """AUROC [w, j] of their activation on each word against others."""


def choose_words(short: dict[str, str], config: ProbeConfig, rng: Generator) -> Words:
    """The words to be written: at most config.words classes, drawn at random, and the controls.

    Args:
        short: class label → short name.
        config: how many.
        rng: source of the choice, where there are more.

    Raises:
        ValueError: no two words can be written.
    """
    can = {label: word for label, word in short.items() if writable(word)}
    labels = sorted(can)
    if len(labels) > config.words:
        labels = sorted(rng.choice(labels, config.words, replace=False).tolist())
    of_class = {label: can[label] for label in labels}
    taken = {word.lower() for word in short.values()}
    controls = [word for word in dict.fromkeys(CONTROL_WORDS) if word not in taken]
    found = list(dict.fromkeys([*of_class.values(), *controls[: config.controls]]))
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} words can be written: none is left to compare with; raise probe.controls"
        )
    return Words(of_class, found, len(short) - len(of_class))


def plan(words: int, config: ProbeConfig) -> Plan:
    """Every word on as many grounds as config.pictures allows, at least LEAST.

    With pictures for all, each word is on each ground; with fewer, consecutive words are on other
    grounds, so that all have their share of words to compare, and none fewer than 2.
    """
    sharing = -(-2 * config.grounds // words)
    each = min(config.grounds, max(LEAST, sharing, config.pictures // words))
    word = np.repeat(np.arange(words), each)
    ground = (word * each + np.tile(np.arange(each), words)) % config.grounds
    bare = np.repeat(np.arange(config.grounds), config.marks + 1)
    return Plan(np.concatenate([word, np.full(len(bare), NO_WORD)]), np.concatenate([ground, bare]))


def pictures(
    words: list[str], places: list[Ground], planned: Plan, rng: Generator
) -> Iterator[Image.Image]:
    """The pictures of a plan in its order: words, and for each ground the blank and its marks.

    Marks take the place of words drawn at random.
    """
    previous = NO_WORD
    for word, ground in zip(planned.word.tolist(), planned.ground.tolist(), strict=True):
        if word != NO_WORD:
            yield written(words[word], places[ground])
        elif ground != previous:
            yield blank(places[ground])
        else:
            yield marked(words[int(rng.integers(len(words)))], places[ground], rng)
        previous = ground if word == NO_WORD else NO_WORD


def embed_pictures(
    clip: Clip, shown: Iterator[Image.Image], count: int, config: EmbedConfig
) -> Float[Tensor, "n d"]:
    """Class tokens of pictures."""
    pixels_of, normalize = split_preprocess(clip)
    forward: Forward | None = None
    found: list[Tensor] = []
    with tqdm(total=count, desc="probe", unit=" images") as bar:
        while pixels := [pixels_of(p) for p in islice(shown, config.batch_size)]:
            batch = torch.stack(pixels)
            forward = forward or Forward(clip, class_tokens, normalize, config, batch[:8])
            found.append(forward(batch))
            bar.update(len(batch))
    return torch.cat(found)


def answers(codes: Codes, components: int, planned: Plan) -> Answers:
    """How components answer to writing and to single words.

    Writing: AUROC of the activation, written pictures against the marked and blank ones of the same
    ground, mean over grounds. A word: the same of its pictures against those of other words on the
    same grounds. 1 fires more on each, 0.5 does not care; ties count half.
    """
    on = codes.activation.numpy() > 0
    rows = np.broadcast_to(np.arange(len(on))[:, None], on.shape)[on]
    entries = (codes.activation.numpy()[on], (rows, codes.component.numpy()[on]))
    sparse = csr_array(entries, shape=(len(on), components))
    fires = np.unique(codes.component.numpy()[on])
    writing = np.full(components, 0.5, dtype=np.float32)
    to_word = np.zeros((int(planned.word.max()) + 1, len(fires)))
    places = np.unique(planned.ground)
    for ground in places:
        there = np.flatnonzero(planned.ground == ground)
        activation = sparse[there].toarray()[:, fires]
        word = planned.word[there]
        has_word = word != NO_WORD
        writing[fires] += (auroc_of_columns(activation, has_word) - 0.5) / len(places)
        ranks = rankdata(activation[has_word], axis=0) - 1
        to_word[word[has_word]] += ranks / (has_word.sum() - 1)
    times = np.bincount(planned.word[planned.word != NO_WORD])
    return Answers(writing, fires, to_word / times[:, None])


def directions(x: Float[Tensor, "n d"], planned: Plan) -> np.ndarray:
    """From marked and blank pictures to written ones: the difference of means [g, d] by ground.

    A picture of the dataset is a ground, too.
    """
    values, has_word = x.double().numpy(), planned.word != NO_WORD
    found = []
    for ground in np.unique(planned.ground):
        there = planned.ground == ground
        found.append(values[there & has_word].mean(axis=0) - values[there & ~has_word].mean(axis=0))
    return np.stack(found)


def direction(by_ground: Float[np.ndarray, "g d"]) -> Float[np.ndarray, " d"]:
    """The direction of writing, their mean made unit length.

    Raises:
        ValueError: writing makes no difference to x.
    """
    mean = by_ground.mean(axis=0)
    length = np.linalg.norm(mean)
    if not length > 0:
        raise ValueError("the model's embeddings of written and blank grounds are the same")
    return mean / length


def reliability(by_ground: Float[np.ndarray, "g d"]) -> float:
    """How far as many other grounds would give the same direction: 1 the same, 0 any other.

    Spearman-Brown's g r/(1 + (g − 1) r), r = Σ_{i≠j} δ_i · δ_j / ((g − 1) Σ_i ‖δ_i‖²) the agreement
    of single grounds' differences δ; 0 where r is negative.
    """
    count, squares = len(by_ground), float(np.square(by_ground).sum())
    r = (float(np.square(by_ground.sum(axis=0)).sum()) - squares) / ((count - 1) * squares)
    return count * r / (1 + (count - 1) * r) if r > 0 else 0.0


def separation(
    x: Float[Tensor, "n d"], planned: Plan, by_ground: Float[np.ndarray, "g d"]
) -> float:
    """AUROC along the direction of writing on grounds that had no part in it, mean over grounds.

    1 tells every written picture from every marked or blank one, 0.5 none.
    """
    values, found = x.double().numpy(), []
    for ground in range(len(by_ground)):
        there = planned.ground == ground
        along = direction(np.delete(by_ground, ground, axis=0))
        scores, has_word = values[there] @ along, planned.word[there] != NO_WORD
        found.append(auroc(scores[has_word], np.sort(scores[~has_word])))
    return float(np.mean(found))


def word_table(words: Words, found: Answers, least: float) -> pd.DataFrame:
    """Columns component, class and answer: the pairs whose answer is at least so much."""
    position = {word: index for index, word in enumerate(words.written)}
    pairs = [
        (found.fires[at], label, found.to_word[position[word], at])
        for label, word in sorted(words.of_class.items())
        for at in np.flatnonzero(found.to_word[position[word]] >= least)
    ]
    table = pd.DataFrame(pairs, columns=["component", "class", "answer"])
    return table.astype({"component": np.int32, "class": str, "answer": np.float32})
