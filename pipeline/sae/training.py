"""Training of an SAE on embeddings that are read by blocks."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pandas as pd
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from pipeline.artifacts.stage import pick_device, train_deterministically
from pipeline.artifacts.store import read_table, write_table
from pipeline.config import SaeConfig
from pipeline.models.memory import out_of_memory
from pipeline.sae import checkpoint, files
from pipeline.sae.blocks import Batch, Column, EmbeddingBlocks
from pipeline.sae.model import Sae
from pipeline.sae.revival import revive
from pipeline.sae.start import centroids
from pipeline.sae.trainee import Frame, Trainee

CURVES = "curves.parquet"
SAME = 1e-12
"""Tokens whose distance to their mean is this part of its length differ by rounding alone."""
Measure = Callable[[Sae], Mapping[str, float | list[int]]]
"""Says figures, or lists of counts, by name."""
COLUMNS: dict[str, tuple[Column, ...]] = {
    "class": ("x",),
    "spatial": ("spatial",),
    "both": ("x", "spatial"),
}
"""Columns of the embeddings that `tokens` asks for."""


def train(
    blocks: EmbeddingBlocks,
    config: SaeConfig,
    seed: int,
    measure: Measure,
    checkpoints: Path | None = None,
) -> tuple[Sae, pd.DataFrame]:
    """Train an SAE by AdamW, with the loss that config.loss names.

    Several devices share each batch and give the curves of one within rounding. On one kind of CPU
    and number of threads the result is bit for bit the same, whether a run was killed or not.

    Args:
        blocks: train embeddings, opened with the columns that config.tokens asks for.
        config: sizes and schedule.
        seed: of initialisation and order.
        measure: what is to be known of the SAE after each epoch, by name: figures, or lists of
            counts; it has to be picklable where there are several devices.
        checkpoints: folder for a checkpoint an epoch, from which a later run goes on; None keeps
            none.

    Returns:
        The SAE and its curves, a row an epoch: epoch, loss (mean over steps), dead_fraction (of
        components that have not fired for `dead_after` epochs), and what measure says. Where all
        tokens are the same there is nothing to learn: an SAE in which nothing fires, and one row.

    Raises:
        ValueError: the loss is not finite, with the epoch at which it happened.
    """
    where = frame(blocks, config)
    if where is None:
        sae = silent(blocks, config, seed)
        return sae, pd.DataFrame([{"epoch": 1, "loss": 0.0, "dead_fraction": 1.0, **measure(sae)}])
    fabric = Fabric(
        accelerator=pick_device(config.device, "sae.device"),
        devices=config.devices,
        strategy="ddp_spawn" if config.devices > 1 else "auto",
    )
    run: Any = _run  # Fabric's type allows for no arguments
    # The result of a spawned process would have to fit a pipe.
    with TemporaryDirectory() as result:
        threads = max(1, torch.get_num_threads() // config.devices)
        fabric.launch(run, threads, blocks, where, config, seed, measure, checkpoints, Path(result))
        return files.load(Path(result)), read_table(Path(result) / CURVES)


def _run(
    fabric: Fabric,
    threads: int,
    blocks: EmbeddingBlocks,
    where: Frame,
    config: SaeConfig,
    seed: int,
    measure: Measure,
    checkpoints: Path | None,
    result: Path,
) -> None:
    torch.set_num_threads(threads)
    train_deterministically()
    trainee = Trainee(config, where, torch.Generator().manual_seed(seed))
    optimizer = torch.optim.AdamW(
        trainee.parameters(), lr=config.learning_rate, weight_decay=0.0, fused=True
    )
    module, optimizer = fabric.setup(trainee, optimizer)
    run = _Run(fabric, module, trainee, optimizer, blocks, config, seed)
    curves = checkpoint.restore(checkpoints, trainee, optimizer)
    if not curves and config.atoms_init == "kmeans":
        run.start()
    bar = tqdm(
        range(len(curves) + 1, config.epochs + 1),
        desc="train SAE",
        unit="epoch",
        initial=len(curves),
        total=config.epochs,
        disable=not fabric.is_global_zero,
    )
    for epoch in bar:
        if epoch - 1 in config.revive_after:
            revive(trainee, optimizer, run.dead(), run.first_tokens(epoch), seed + epoch)
        try:
            loss = run.epoch(epoch)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise RuntimeError(
                f"an SAE of sae.components {config.components} does not fit the GPU's memory with "
                f"sae.batch_size {config.batch_size}: lower the latter, or set sae.device to cpu "
                f"({error})"
            ) from error
        if not math.isfinite(loss):
            raise ValueError(
                f"the SAE's loss is {loss} in epoch {epoch}: lower sae.learning_rate, or look for "
                "images whose embedding is 0 throughout"
            )
        row = {"epoch": epoch, "loss": loss, "dead_fraction": float(run.dead().float().mean())}
        if fabric.is_global_zero:
            curves.append({**row, **measure(trainee.served())})
            checkpoint.save(checkpoints, trainee, optimizer, curves)
            bar.set_postfix({"loss": f"{loss:.4f}"})
        else:
            curves.append(row)
        fabric.barrier()
    if fabric.is_global_zero:
        files.save(trainee.served().cpu(), result, {})
        write_table(result / CURVES, pd.DataFrame(curves))


def frame(blocks: EmbeddingBlocks, config: SaeConfig) -> Frame | None:
    """Where the encoder's origin lies and how far tokens are from it, over the train images.

    The mean is the class tokens' where both kinds are learnt from, since they are what is audited.
    None where all tokens are the same, as those of a single image are.
    """
    mean, scale = blocks.mean_and_scale("spatial" if config.tokens == "spatial" else "x")
    if scale <= SAME * float(mean.norm()):
        return None
    if not config.centre:
        length = math.hypot(scale, float(mean.norm()))
        return Frame(torch.zeros_like(mean).float(), length, scale)
    return Frame(mean.float(), scale, scale)


def silent(blocks: EmbeddingBlocks, config: SaeConfig, seed: int) -> Sae:
    """An SAE that says of every image that it is the mean: its atoms are drawn, and none fires."""
    mean, _ = blocks.mean_and_scale("spatial" if config.tokens == "spatial" else "x")
    start = Trainee(config, Frame(mean.float(), 1.0, 1.0), torch.Generator().manual_seed(seed))
    with torch.no_grad():
        sae = start.served()
        sae.encoder_weight.zero_()
        sae.encoder_bias.zero_()
    return sae


def learning_rate(config: SaeConfig, epoch: int, step: int) -> float:
    """Rate of a step: it rises over the warm-up and is divided by 10 after some epochs.

    Args:
        config: its rate and schedule.
        epoch: from 1 on.
        step: from 0 on, over all epochs.
    """
    risen = min(1.0, (step + 1) / (config.warmup + 1))
    return config.learning_rate * risen * 0.1 ** sum(epoch > last for last in config.decay_after)


def tokens(batch: Batch) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"]]:
    """Tokens of a batch and the weight of each in the loss (paper, Eq. 10).

    A class token counts as much as all spatial tokens of its image; the weights of the batch's
    images on all devices sum to 1 for each of the two kinds.
    """
    parts, weights = [], []
    if batch.x is not None:
        parts.append(batch.x)
        weights.append(batch.x.new_full((len(batch.x),), 1 / batch.images))
    if batch.spatial is not None:
        images, count, _ = batch.spatial.shape
        parts.append(batch.spatial.flatten(0, 1))
        weights.append(batch.spatial.new_full((images * count,), 1 / (batch.images * count)))
    return torch.cat(parts), torch.cat(weights)


class _Run:
    """The steps of an epoch on this device."""

    def __init__(
        self,
        fabric: Fabric,
        module: Any,
        trainee: Trainee,
        optimizer: Any,
        blocks: EmbeddingBlocks,
        config: SaeConfig,
        seed: int,
    ) -> None:
        self.fabric, self.module, self.trainee = fabric, module, trainee
        self.optimizer, self.blocks, self.config, self.seed = optimizer, blocks, config, seed
        self.images = max(1, round(config.epoch_fraction * blocks.rows))
        self.steps = -(-self.images // config.batch_size)

    def dead(self) -> Tensor:
        """Components [m] that have not fired for `dead_after` epochs."""
        return self.trainee.idle >= self.config.dead_after * self.images

    def epoch(self, number: int) -> float:
        """One pass; the mean loss of its steps."""
        # Asked of a GPU once, for a step would wait for the one before. In one piece, for a number
        # of its own left by every step keeps the memory around it from being used again.
        losses = torch.zeros(self.steps, device=self.fabric.device)
        first = (number - 1) * self.steps
        for step, batch in enumerate(self._batches(number)):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.config, number, first + step)
            losses[step] = self._step(batch)
        # Not sum(), whose rounding depends on Python's version.
        total = 0.0
        for loss in losses.cpu().tolist():
            total += loss
        return total / self.steps

    def start(self) -> None:
        """Put the atoms at centroids of the first epoch's tokens, the same on all devices."""
        found = centroids(self._framed, self.config.components)
        self.trainee.start_at(found, self._framed())

    def _framed(self) -> Iterator[Float[Tensor, "b d"]]:
        for batch in self._batches(1, alone=True):
            x = tokens(batch)[0]
            yield (x - self.trainee.frame_mean) / self.trainee.scale

    def first_tokens(self, number: int) -> Float[Tensor, "n d"]:
        """As many tokens of an epoch's beginning as there are components, the same everywhere."""
        found: list[Tensor] = []
        for batch in self._batches(number, alone=True):
            found.append(tokens(batch)[0])
            if sum(map(len, found)) >= self.config.components:
                break
        return torch.cat(found)[: self.config.components]

    def _batches(self, epoch: int, alone: bool = False) -> Iterator[Batch]:
        rank, world = (0, 1) if alone else (self.fabric.global_rank, self.fabric.world_size)
        fraction = self.config.epoch_fraction
        return self.blocks.batches(
            self.config.batch_size,
            fraction,
            self.seed,
            epoch,
            rank=rank,
            world=world,
            device=self.fabric.device,
        )

    def _step(self, batch: Batch) -> Tensor:
        x, weight = tokens(batch)
        self.optimizer.zero_grad()
        step = self.module(x, weight, self.dead(), self._gather)
        # DDP takes the mean over devices of what are shares of a sum.
        self.fabric.backward(step.loss * self.fabric.world_size)
        self.trainee.remove_parallel_gradient()
        torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), self.config.clip)
        self.optimizer.step()
        self.trainee.constrain()
        self.trainee.note(self._sum(step.fired.float()) > 0, batch.images, step.threshold)
        return self._sum(step.loss.detach())

    def _sum(self, value: Tensor) -> Tensor:
        return cast(Tensor, self.fabric.all_reduce(value, reduce_op="sum"))

    def _gather(self, value: Float[Tensor, "n s"]) -> Float[Tensor, " v"]:
        """Values of all devices, of which one may have a row more than another."""
        if self.fabric.world_size == 1:
            return value.flatten()
        rows = torch.tensor(float(len(value)), device=value.device)
        most = int(cast(Tensor, self.fabric.all_reduce(rows, reduce_op="max")))
        padded = value.new_full((most, value.shape[1]), -math.inf)
        padded[: len(value)] = value
        every = cast(Tensor, self.fabric.all_gather(padded)).flatten()
        return every[every > -math.inf]
