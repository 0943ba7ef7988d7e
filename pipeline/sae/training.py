"""Training of a top-k SAE on embeddings in memory."""

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from pipeline.attribution import Codes
from pipeline.config import SaeConfig
from pipeline.sae.health import alive_fraction, explained_variance, l0, mean_cosine
from pipeline.sae.topk import TopKSae, reconstruction_loss


def train(
    x: Float[Tensor, "n d"], held_out: Float[Tensor, "v d"], config: SaeConfig, seed: int
) -> tuple[TopKSae, pd.DataFrame]:
    """Train a top-k SAE with loss (10) of the paper.

    Args:
        x: train embeddings.
        held_out: validation embeddings that the curves are computed on.
        config: sizes and schedule.
        seed: of initialisation and order.

    Returns:
        The SAE and its curves: epoch, loss (mean over steps), explained_variance, cosine, l0 and
        alive_fraction on held_out.

    Raises:
        ValueError: the loss is not finite, with the epoch at which it happened.
    """
    generator = torch.Generator().manual_seed(seed)
    sae = TopKSae.initialised(x, config.components, config.k, generator)
    optimizer = torch.optim.AdamW(sae.parameters(), lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, config.decay_after, gamma=0.1)
    rows = max(1, round(config.epoch_fraction * len(x)))
    curves = []
    bar = tqdm(range(1, config.epochs + 1), desc="train SAE", unit="epoch")
    for epoch in bar:
        order = torch.randperm(len(x), generator=generator)[:rows]
        losses = [_step(sae, optimizer, x[batch]) for batch in order.split(config.batch_size)]
        schedule.step()
        loss = sum(losses) / len(losses)
        if not loss < float("inf"):
            raise ValueError(f"the SAE's loss is {loss} in epoch {epoch}: lower learning_rate")
        curves.append({"epoch": epoch, "loss": loss, **health(sae, held_out)})
        bar.set_postfix(loss=f"{loss:.4f}", ev=f"{curves[-1]['explained_variance']:.3f}")
    return sae.eval().requires_grad_(False), pd.DataFrame(curves)


def _step(sae: TopKSae, optimizer: torch.optim.Optimizer, x: Tensor) -> float:
    optimizer.zero_grad()
    loss = reconstruction_loss(x, sae.reconstruct(sae.encode(x)))
    loss.backward()
    sae.remove_parallel_gradient()
    optimizer.step()
    sae.constrain()
    return float(loss.detach())


@torch.inference_mode()
def encode_blocks(sae: TopKSae, x: Float[Tensor, "n d"], rows: int = 4096) -> Codes:
    """Codes of many images, block by block, so that [n, m] is never dense."""
    parts = [sae.encode(block) for block in x.split(rows)]
    return Codes(*(torch.cat(column) for column in zip(*parts, strict=True)))


@torch.inference_mode()
def health(sae: TopKSae, x: Float[Tensor, "n d"]) -> dict[str, float]:
    """Explained variance, cosine, L0 and alive fraction of an SAE on x."""
    codes = encode_blocks(sae, x)
    x_hat = sae.reconstruct(codes)
    return {
        "explained_variance": explained_variance(x, x_hat),
        "cosine": mean_cosine(x, x_hat),
        "l0": l0(codes),
        "alive_fraction": alive_fraction(codes, len(sae.atoms)),
    }
