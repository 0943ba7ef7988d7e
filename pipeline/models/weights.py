"""The weights of a model among what a training script has saved.

Scripts nest weights (`model_state_dict`, `model`), wrap the model (`module.`, `clip.`,
`_orig_mod.`) and save averages beside it. No list of such names is kept: the weights are the one
mapping that, below one prefix, has every parameter of the model in its shape.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from open_clip.convert import convert_state_dict
from torch import Tensor, nn

from pipeline.config import ConfigError
from pipeline.models.layouts import Layout, Shapes, layouts
from pipeline.models.tensors import ONLY_WEIGHTS, Content, of_adapters

WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Modules that torch.compile, FSDP and activation checkpointing put around others, at any depth."""
AVERAGED = re.compile(r"(?<![a-z])(ema|avg|averaged?|swa|polyak|shadow|teacher|momentum)(?![a-z])")
"""Words in the name of weights that are averages of those that were trained."""
BESIDE = re.compile(r"(input_resolution|context_length|vocab_size)|(.*\.)?position_ids")
"""Tensors without weights that OpenAI and old versions of transformers save."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FEW = 3  # names that a message shows


class Found(NamedTuple):
    """The weights of a model."""

    tensors: dict[str, Tensor]
    """Parameter of the model → tensor."""
    notes: list[str]
    """What is not obvious about where they were found."""


class Candidate(NamedTuple):
    """Tensors that may be the weights of a model."""

    place: str
    """Keys that lead to their mapping, joined by dots; empty for the outermost."""
    prefix: str
    library: str
    """Whose names they have."""
    layout: Layout
    tensors: dict[str, Tensor]
    """The whole mapping."""
    missing: list[str]
    unexpected: list[str]
    misshapen: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Parameter of the model → its shape in the file, and in the model."""

    def fits(self) -> bool:
        """Whether they are the model's."""
        return not (self.missing or self.unexpected or self.misshapen)

    def averaged(self) -> bool:
        """Whether they are said to be averages of other weights."""
        where = f"{self.place}.{self.prefix}".lower()
        return "n_averaged" in self.tensors or AVERAGED.search(where) is not None

    def name(self) -> str:
        """Where they lie, for messages."""
        parts = [f"key {self.place!r}"] if self.place else []
        parts += [f"prefix {self.prefix!r}"] if self.prefix else []
        return " and ".join(parts) or "the outermost names"

    def values(self) -> dict[str, Tensor]:
        """Parameter of the model → tensor."""
        return {key: part.value(self.tensors, self.prefix) for key, part in self.layout.items()}


def find(model: nn.Module, content: Content, where: str) -> Found:
    """The weights of a model in what a file holds.

    Where both trained weights and averages of them are there (EMA), the trained ones are taken, as
    open_clip takes `state_dict`; the notes say so.

    Args:
        model: of the architecture that is looked for.
        content: what the file holds.
        where: the file, for messages.

    Raises:
        ConfigError: they are not there, of another architecture, adapters of LoRA, quantised, or
            there are several of which none is more likely than another.
    """
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    candidates: list[Candidate] = []
    notes: list[str] = []
    for place, mapping in mappings(content.data):
        names = {WRAPPERS.sub("", name): tensor for name, tensor in mapping.items()}
        _refuse_adapters(mapping, where)
        if len(names) < len(mapping):  # the same names with wrappers and without
            names = mapping
        elif names.keys() != mapping.keys():
            removed = sorted({name for key in mapping for name in WRAPPERS.findall(key)})
            notes.append(f"{', '.join(removed)} taken out of the names")
        candidates += _candidates(place, convert_state_dict(model, names), shapes)
    fitting = [candidate for candidate in candidates if candidate.fits()]
    if not fitting:
        raise ConfigError(f"{where} does not load: {_why(candidates, shapes, content.unread)}")
    taken = _choose(fitting, where)
    values = taken.values()
    for name, tensor in values.items():
        if state[name].is_floating_point() and tensor.dtype not in FLOATS:
            raise ConfigError(
                f"{where} does not load: {name} is {tensor.dtype}: the weights are quantised; save "
                "them in float16 or float32"
            )
        values[name] = tensor.reshape(shapes[name])
    return Found(values, [*_notes(taken, fitting, content.unread), *notes])


def mappings(data: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each mapping with named tensors in nested containers, and the keys that lead to it."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", data)]
    while waiting:
        place, item = waiting.pop(0)
        if id(item) in seen:  # a pickle may hold itself
            continue
        seen.add(id(item))
        if isinstance(item, Mapping):
            named = {k: v for k, v in item.items() if isinstance(k, str) and isinstance(v, Tensor)}
            if named:
                yield place, named
            inside = [(str(key), value) for key, value in item.items()]
        elif isinstance(item, list | tuple):
            inside = [(str(number), value) for number, value in enumerate(item)]
        else:
            continue
        waiting += [(f"{place}.{key}" if place else key, value) for key, value in inside]


def _candidates(place: str, tensors: dict[str, Tensor], shapes: Shapes) -> list[Candidate]:
    """Candidates of a mapping: all that have every parameter, else the one that has most."""
    counted = []
    for library, layout in layouts(shapes).items():
        wanted = {name for part in layout.values() for name in part.names}
        prefixes = Counter(
            name[:cut] for name in tensors for cut in _cuts(name) if name[cut:] in wanted
        )
        counted += [
            (count / len(wanted), prefix, library, layout, wanted)
            for prefix, count in prefixes.items()
        ]
    if not counted:
        return []
    most = max(share for share, *_ in counted)
    best = [entry for entry in counted if entry[0] == most]
    found: dict[str, Candidate] = {}
    for _, prefix, library, layout, wanted in best if most == 1 else best[:1]:
        if prefix in found:  # two layouts of one name for all
            continue
        others = tuple(entry[1] for entry in best if len(entry[1]) > len(prefix))
        there = {name[len(prefix) :] for name in tensors if name.startswith(prefix)}
        missing = [
            key for key, part in layout.items() if not all(name in there for name in part.names)
        ]
        unexpected = [
            name
            for name in sorted(there - wanted)
            if not BESIDE.fullmatch(name) and not (most == 1 and (prefix + name).startswith(others))
        ]
        misshapen = {}
        for key in sorted(layout.keys() - set(missing)):
            shape = layout[key].shape(tensors, prefix)
            scalar = key.startswith("logit_") and shape in ((), (1,))
            if shape != shapes[key] and not scalar:
                misshapen[key] = (shape, shapes[key])
        given = (place, prefix, library, layout, tensors, missing, unexpected, misshapen)
        found[prefix] = Candidate(*given)
    return list(found.values())


def _cuts(name: str) -> list[int]:
    """Where a prefix of a name may end."""
    return [0, *(place + 1 for place, letter in enumerate(name) if letter == ".")]


def _choose(fitting: list[Candidate], where: str) -> Candidate:
    """The one to take: the trained weights rather than averages of them."""
    trained = [candidate for candidate in fitting if not candidate.averaged()] or fitting
    first = trained[0].values() if len(trained) > 1 else {}
    for other in trained[1:]:
        if not all(tensor.equal(first[name]) for name, tensor in other.values().items()):
            raise ConfigError(
                f"{where} holds several weights of this model, under "
                f"{'; '.join(candidate.name() for candidate in trained)}: which are meant? Save "
                f"those alone. {ONLY_WEIGHTS}"
            )
    return trained[0]


def _notes(taken: Candidate, fitting: list[Candidate], unread: list[str]) -> list[str]:
    notes = []
    if taken.place or taken.prefix:
        notes.append(f"weights found under {taken.name()}")
    if taken.library != "open_clip":
        notes.append(f"names are those of {taken.library}")
    others = [candidate for candidate in fitting if candidate is not taken]
    averages = [candidate.name() for candidate in others if candidate.averaged()]
    if averages and not taken.averaged():
        notes.append(
            f"taken are the trained weights ({taken.name()}), not their averages (EMA) under "
            f"{'; '.join(averages)}; to audit those, save them alone"
        )
    elif taken.averaged():
        notes.append("taken are averaged weights (EMA), for there are no others")
    prefixes = tuple(c.prefix for c in fitting if c.place == taken.place)
    beside = [name for name in taken.tensors if not name.startswith(prefixes)]
    if beside:
        notes.append(f"{len(beside)} tensors beside the model are left out: {_some(beside)}")
    if unread:
        notes.append(f"not read, for they are no tensors: {', '.join(unread)}")
    return notes


def _refuse_adapters(names: Mapping[str, Tensor], where: str) -> None:
    adapters = [name for name in names if "lora_" in name]
    if adapters:
        raise ConfigError(f"{where} does not load: {of_adapters(_some(adapters))}")


def _why(candidates: list[Candidate], shapes: Shapes, unread: list[str]) -> str:
    """Why nothing fits, from what comes nearest."""
    skipped = f". Not read, for they are no tensors: {', '.join(unread)}" if unread else ""
    if not candidates:
        return f"it holds none of the model's weights, such as {_some(shapes)}. {ONLY_WEIGHTS}" + (
            skipped
        )
    near = min(candidates, key=lambda c: (len(c.missing) + len(c.misshapen), len(c.unexpected)))
    said = []
    for name, (in_file, in_model) in [*near.misshapen.items()][:FEW]:
        said.append(f"{name} has the shape {list(in_file)}, the model's is {list(in_model)}")
    if len(near.misshapen) > FEW:
        said.append(f"and {len(near.misshapen) - FEW} more have other shapes")
    if near.missing:
        said.append(f"the model's {_some(near.missing)} are not there")
    if near.unexpected:
        said.append(f"the model has no {_some(near.unexpected)}")
    under = f" (under {near.name()})" if near.place or near.prefix else ""
    return f"{'; '.join(said)}{under}. {_cause(near)}{skipped}"


def _cause(near: Candidate) -> str:
    images = {name for name in near.layout if name.startswith("visual.")}
    texts = {name for name in near.layout if not name.startswith(("visual.", "logit_"))}
    for tower, parameters in (("image", images), ("text", texts)):
        if parameters <= set(near.missing):
            return f"It has no {tower} tower: a CLIP needs both; save the whole model"
    if near.misshapen and all(name.endswith("positional_embedding") for name in near.misshapen):
        return (
            "It is of another image size or context length, and open_clip would stretch it; take "
            "the model that it was trained as"
        )
    if near.misshapen:
        return (
            "It is of another architecture than the configuration or the name of the model says; "
            "take the one that it was trained as"
        )
    return f"All that the model has must be there, and nothing else. {ONLY_WEIGHTS}"


def _some(names: Any) -> str:
    first = [*names][:FEW]
    more = len([*names]) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
