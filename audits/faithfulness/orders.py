"""Orders in which components are switched: relevance of slots, and of components, by method."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from audits.faithfulness.parts import FIRST_SLOT, Images, Model, Parts, Prompt, slopes, switched
from pipeline.attribution.relevance import Codes, energy, random_relevance

METHODS = (
    "act_grad",
    "integrated_gradients",
    "act_logit_lens",
    "logit_lens",
    "energy",
    "random",
)


def slot_scores(
    images: Images,
    parts: Parts,
    prompt: Prompt,
    lens: Float[Tensor, " m"],
    model: Model,
    points: int,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, "n k"]]:
    """Relevance of every slot for one prompt, by every method; empty slots get -inf.

    As `pipeline.attribution` gives it, from the images' parts; `random` is a random order of the
    active slots.

    Args:
        images: the images.
        parts: theirs.
        prompt: what is asked of them.
        lens: Logit Lens of every component for that prompt.
        model: head and atoms.
        points: of Integrated Gradients.
        generator: of the random order.
    """
    codes = images.codes
    on = torch.ones(len(images.x), points, codes.component.shape[1], dtype=torch.bool)
    way = switched(on, True, images.x.dtype)
    way[:, :, FIRST_SLOT:] *= ((torch.arange(points, dtype=way.dtype) + 0.5) / points)[:, None]
    here = switched(on[:, :1], True, images.x.dtype)
    slot_lens = lens[codes.component]
    scores = {
        "act_grad": slopes(here, parts, prompt, model.head)[:, 0],
        "integrated_gradients": slopes(way, parts, prompt, model.head).mean(dim=1),
        "act_logit_lens": codes.activation * slot_lens,
        "logit_lens": slot_lens,
        "energy": energy(codes, model.atoms),
        "random": random_relevance(codes, generator),
    }
    empty = codes.activation <= 0
    return {method: score.masked_fill(empty, -torch.inf) for method, score in scores.items()}


def component_scores(
    method: str,
    scores: Float[Tensor, "n k"],
    codes: Codes,
    components: int,
    generator: torch.Generator,
) -> Float[Tensor, " m"]:
    """Relevance of each component for one prompt over n images; -inf where active on none.

    The mean over all n images, 0 where a component is off. Logit Lens does not depend on the
    image and stays as it is; the random order is drawn anew, over components.
    """
    active = codes.activation > 0
    component = codes.component[active]
    result = torch.full((components,), -torch.inf, dtype=scores.dtype)
    if method == "logit_lens":
        result[component] = scores[active]
    elif method == "random":
        draw = torch.rand(components, generator=generator, dtype=scores.dtype)
        result[component] = draw[component]
    else:
        result[component] = 0
        result.index_add_(0, component, scores[active] / len(scores))
    return result


def local_ranks(scores: Float[Tensor, "n k"]) -> Int[Tensor, "n k"]:
    """Place of each slot in its image's own order, 0 for the largest score."""
    return _places(scores.argsort(dim=1, descending=True, stable=True))


def component_ranks(scores: Float[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Place of each component in one order for all images, 0 for the largest score."""
    return _places(scores.argsort(descending=True, stable=True))


def _places(order: Int[Tensor, "*n k"]) -> Int[Tensor, "*n k"]:
    """The inverse of orders."""
    place = torch.arange(order.shape[-1]).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, place)


def ranks(
    images: Images,
    scores: dict[str, Float[Tensor, "n k"]],
    reference: Images,
    reference_scores: dict[str, Float[Tensor, "r k"]],
    components: int,
    generator: torch.Generator,
) -> dict[tuple[str, str], Int[Tensor, "n k"]]:
    """Place of every slot of one class's images by order (local, global, random) and method."""
    places = {}
    for method in METHODS:
        places["local", method] = local_ranks(scores[method])
        for order, codes, score in (
            ("global", images.codes, scores[method]),
            ("random", reference.codes, reference_scores[method]),
        ):
            by_component = component_scores(method, score, codes, components, generator)
            places[order, method] = component_ranks(by_component)[images.codes.component]
    return places
