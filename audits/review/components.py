"""Which component is which, from one SAE of an audit to the next."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float16, Float32

from audits.review.component_files import Components
from pipeline.sae.matching import match


class CarriedComponents(NamedTuple):
    """The components of the present SAE with their ids, and where those are from."""

    components: Components
    cosine: Float32[np.ndarray, " m"]
    """Of each atom with the pinned one of its id, NaN for a new id."""
    carried_over: float | None
    """Fraction of the pinned components that are found again, None where nothing is pinned."""


def carry_components(
    pinned: Components | None, atoms: Float[np.ndarray, "m d"], cosine: float
) -> CarriedComponents:
    """Give the components of an SAE the ids of those that were pinned, one-to-one.

    Atoms are paired so that their cosines sum to the most (`pipeline.sae.matching.match`); a pair
    of at least `cosine` is the same component. All others are new: in the order of their indices
    they get the numbers from `next_id` on, which no component has had. Where nothing is pinned, an
    id is the index; where the atoms are those that are pinned, each keeps its id and nothing is
    matched.

    Args:
        pinned: of the last review, of any number of components and any width: of another width, it
            is another model's and none is the same.
        atoms: of the present SAE; compared in half precision, as they are pinned.
        cosine: least.
    """
    atoms = atoms.astype(np.float16)
    if pinned is None:
        ids = np.arange(len(atoms), dtype=np.int32)
        return CarriedComponents(Components(ids, atoms, len(ids)), _undefined(len(atoms)), None)
    if np.array_equal(pinned.atoms, atoms):
        return CarriedComponents(pinned, np.ones(len(atoms), dtype=np.float32), 1.0)
    ids, found = np.full(len(atoms), -1, dtype=np.int32), _undefined(len(atoms))
    if pinned.atoms.shape[1] == atoms.shape[1]:
        before, now, cosines = _pairs(pinned.atoms, atoms)
        same = cosines >= cosine
        ids[now[same]], found[now[same]] = pinned.ids[before[same]], cosines[same]
    new = np.flatnonzero(ids < 0)
    ids[new] = pinned.next_id + np.arange(len(new))
    carried_over = (len(ids) - len(new)) / len(pinned.ids)
    components = Components(ids, atoms, pinned.next_id + len(new))
    return CarriedComponents(components, found, carried_over)


def component_table(carried: CarriedComponents) -> pd.DataFrame:
    """A row for each component of the present SAE: component, component_id and cosine."""
    ids = carried.components.ids
    component = np.arange(len(ids), dtype=np.int32)
    return pd.DataFrame({"component": component, "component_id": ids, "cosine": carried.cosine})


def _pairs(
    before: Float16[np.ndarray, "n d"], now: Float16[np.ndarray, "m d"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of both that belong together, as many as the smaller has, and their cosines."""
    old, new = torch.tensor(before), torch.tensor(now)
    if len(old) <= len(new):
        matched = match(old, new)
        return np.arange(len(old)), matched.partner, matched.cosine
    matched = match(new, old)
    return matched.partner, np.arange(len(new)), matched.cosine


def _undefined(m: int) -> Float32[np.ndarray, " m"]:
    return np.full(m, np.nan, dtype=np.float32)
