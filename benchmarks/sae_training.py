"""How fast and how well an SAE is trained, beside the field's libraries.

    pip install -e '.[peers]'
    python -m benchmarks.sae_training speed                  # seconds a step, in turns
    python -m benchmarks.sae_training quality --audits scenes-tiny lesions-tiny
    python -m benchmarks.sae_training quality --root ../photos --audits objects skin
    python -m benchmarks.sae_training time --audits lesions-tiny

`speed` invents its data. `quality` and `time` train on embeddings that `dvc repro` has made in
--root: every library with the same k, m, batches and steps, the same centred and scaled inputs and
the same drops of the rate, each at the rate of a grid (ours: rate and clip) that explains most
variance on the images held out, averaged over seeds. The loss and what keeps components alive are
each library's own.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.measured import peak
from benchmarks.sae_peers import Learner, Official, Overcomplete, Sparsify
from pipeline import layout
from pipeline.artifacts.store import read_table
from pipeline.attribution.relevance import Codes
from pipeline.config import AuditConfig, SaeConfig, load_params
from pipeline.embeddings.vectors import read_embeddings
from pipeline.sae.revival import revive
from pipeline.sae.trainee import Frame, Trainee
from pipeline.sae.training import learning_rate

OFFICIAL = "official style"
RATES = (3e-3, 1e-2, 2e-2, 4e-2)
CLIPS = (0.02, 1.0)
"""Lengths that our gradients are shortened to; the libraries' are their own."""


class Ours(Learner):
    """The steps of pipeline.sae.training on tensors in memory."""

    def __init__(self, width: int, config: SaeConfig, seed: int) -> None:
        frame = Frame(torch.zeros(width), 1.0, 1.0)
        self.trainee = Trainee(config, frame, torch.Generator().manual_seed(seed))
        self.optimizer = torch.optim.AdamW(
            self.trainee.parameters(), lr=config.learning_rate, weight_decay=0.0, fused=True
        )
        self.dead_after, self.clip, self.seed = config.dead_after, config.clip, seed

    def step(self, x: Tensor, rate: float, images: int) -> None:
        """One step on x; images: in an epoch."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        trainee = self.trainee
        self.optimizer.zero_grad()
        dead = trainee.idle >= self.dead_after * images
        step = trainee(x, torch.full((len(x),), 1 / len(x)), dead)
        step.loss.backward()
        trainee.remove_parallel_gradient()
        torch.nn.utils.clip_grad_norm_(trainee.parameters(), self.clip)
        self.optimizer.step()
        trainee.constrain()
        trainee.note(step.fired, len(x), step.threshold)

    def after_epoch(self, epoch: int, x: Tensor, config: SaeConfig) -> None:
        """Revive what has died, where config says so."""
        if epoch in config.revive_after:
            dead = self.trainee.idle >= self.dead_after * len(x)
            revive(self.trainee, self.optimizer, dead, x[: config.components], self.seed + epoch)

    def codes(self, x: Tensor) -> Codes:
        """Codes of x."""
        return self.trainee.served().encode(x)

    def reconstruct(self, codes: Codes) -> Tensor:
        """x̂ of codes."""
        return self.trainee.served().reconstruct(codes)


def libraries(width: int, config: SaeConfig, seed: int) -> dict[str, Callable[[], Learner]]:
    """Every way to train, fresh."""
    nested = config.model_copy(update={"kind": "matryoshka"})
    size = (width, config.components, config.k)
    return {
        OFFICIAL: lambda: Official(*size, seed),
        "overcomplete 0.3.0": lambda: Overcomplete(*size, seed),
        "sparsify 1.3.3, Adam": lambda: Sparsify(*size, seed, signum=False),
        "sparsify 1.3.3, signum": lambda: Sparsify(*size, seed, signum=True),
        "ours, topk": lambda: Ours(width, config, seed),
        "ours, matryoshka": lambda: Ours(width, nested, seed),
    }


def invented(n: int, width: int, directions: int, seed: int) -> Tensor:
    """Sparse sums of random directions, with noise, of mean 0 and mean square length 1."""
    generator = torch.Generator().manual_seed(seed)
    atoms = nn.functional.normalize(torch.randn(directions, width, generator=generator), dim=1)
    # Directions are as frequent as words are: the first often, the last hardly ever.
    frequency = 1 / torch.arange(1, directions + 1).float()
    index = torch.multinomial(frequency.expand(n, -1), 32, generator=generator)
    weight = torch.rand(n, 32, generator=generator)
    x = nn.functional.embedding_bag(index, atoms, mode="sum", per_sample_weights=weight)
    x = x + 0.05 * torch.randn(n, width, generator=generator)
    x = x - x.mean(dim=0)
    return x / x.square().sum(dim=1).mean().sqrt()


def speed(args: argparse.Namespace) -> None:
    """Print the least and the median seconds of a step, the libraries taking turns."""
    config = default_config(args)
    x = invented(args.batch * 2, args.width, 4096, 0)
    made = {name: make() for name, make in libraries(args.width, config, 0).items()}
    weight = torch.randn(args.components, args.width)
    out = torch.empty(args.batch, args.components)
    times: dict[str, list[float]] = {name: [] for name in [*made, "encoder's product alone"]}
    for repeat in range(args.repeats + 1):
        batch = x[: args.batch] if repeat % 2 else x[args.batch :]
        for name, learner in made.items():
            start = time.perf_counter()
            learner.step(batch, 1e-4, 10**9)
            times[name].append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.mm(batch, weight.T, out=out)
        times["encoder's product alone"].append(time.perf_counter() - start)
    table = pd.DataFrame(times).iloc[1:].agg(["min", "median"]).T
    ours = table.loc["ours, topk"]
    table["ours / theirs, min"] = ours["min"] / table["min"]
    table["ours / theirs, median"] = ours["median"] / table["median"]
    print(table.round(3).to_string())
    print(f"peak {peak():.1f} GiB in all")


def default_config(args: argparse.Namespace) -> SaeConfig:
    """The settings of params.yaml's defaults with the sizes asked for."""
    first = next(iter(load_params().audits.values())).sae
    sizes = {"components": args.components, "k": args.k, "batch_size": args.batch}
    return first.model_copy(update=sizes)


def explained(learner: Learner, x: Tensor) -> tuple[float, set[int]]:
    """Explained variance of x, and the components that fire on it."""
    with torch.inference_mode():
        parts = [learner.codes(part) for part in x.split(1024)]
        codes = Codes(*(torch.cat(column) for column in zip(*parts, strict=True)))
        error = (x - learner.reconstruct(codes)).square().sum()
    fired = set(codes.component[codes.activation > 0].tolist())
    return 1 - float(error / (x - x.mean(dim=0)).square().sum()), fired


def epochs(learner: Learner, x: Tensor, config: SaeConfig, rate: float, seed: int) -> Iterator[int]:
    """Train and yield after each epoch."""
    generator = torch.Generator().manual_seed(seed)
    step = 0
    for epoch in range(1, config.epochs + 1):
        for rows in torch.randperm(len(x), generator=generator).split(config.batch_size):
            scheduled = learning_rate(config, epoch, step) / config.learning_rate
            learner.step(x[rows], rate * scheduled, len(x))
            step += 1
        learner.after_epoch(epoch, x, config)
        yield epoch


def trained(
    learner: Learner, x: Tensor, held_out: Tensor, config: SaeConfig, rate: float, seed: int
) -> dict[str, float]:
    """Figures of a library after training."""
    start = time.perf_counter()
    for _ in epochs(learner, x, config, rate, seed):
        pass
    seconds = time.perf_counter() - start
    learner.finish()
    variance, fired = explained(learner, held_out)
    train_variance, train_fired = explained(learner, x)
    return {
        "explained variance": variance,
        "alive": len(fired | train_fired) / config.components,
        "on train images": train_variance,
        "seconds": seconds,
    }


def quality(args: argparse.Namespace) -> None:
    """Print a table of libraries for every audit: each at its best rate, mean over seeds."""
    params = load_params(args.root / "params.yaml")
    for name in args.audits:
        config = params.audit(name).sae
        if args.revive_after is not None:
            config = config.model_copy(update={"revive_after": args.revive_after})
        x, held_out = framed(args.root, params.audit(name))
        steps = config.epochs * -(-len(x) // config.batch_size)
        print(
            f"\n{name}: {len(x)} train, {len(held_out)} held out, d = {x.shape[1]}, "
            f"m = {config.components}, k = {config.k}, {steps} steps"
        )
        rows = {}
        for library in libraries(x.shape[1], config, 0):
            if library == OFFICIAL:  # Eq. 10 alone does not ask for the length of centred inputs
                continue
            tried = {}
            for rate in args.rates:
                for clip in args.clips if library.startswith("ours") else (config.clip,):
                    chosen = config.model_copy(update={"clip": clip})
                    runs = [
                        trained(
                            libraries(x.shape[1], chosen, seed)[library](),
                            x,
                            held_out,
                            chosen,
                            rate,
                            seed,
                        )
                        for seed in range(args.seeds)
                    ]
                    tried[rate, clip] = pd.DataFrame(runs)
            best = max(tried, key=lambda key: tried[key]["explained variance"].mean())
            row = tried[best].mean().to_dict()
            spread = tried[best]["explained variance"].std()
            rows[library] = {**row, "sd": spread, "rate": best[0], "clip": best[1]}
            print(
                pd.DataFrame({library: rows[library]}).T.round(4).to_string(header=len(rows) == 1),
                flush=True,
            )


def framed(root: Path, audit: AuditConfig) -> tuple[Tensor, Tensor]:
    """Train and held-out embeddings less the train mean, of mean square length 1."""
    embeddings = read_embeddings(root / layout.embeddings(audit.embeddings), "x")
    manifest = root / layout.manifest(audit.dataset) / "manifest.parquet"
    images = read_table(manifest).set_index("image_id")
    train = torch.from_numpy(images.loc[embeddings.image_ids, "split"].to_numpy() == "train")
    x = torch.from_numpy(embeddings.values).float()
    x = x - x[train].mean(dim=0)
    x = x / x[train].square().sum(dim=1).mean().sqrt()
    return x[train], x[~train]


def to_quality(args: argparse.Namespace) -> None:
    """Print the seconds of training until explained variance reaches some targets."""
    params = load_params(args.root / "params.yaml")
    for name in args.audits:
        config = params.audit(name).sae
        x, held_out = framed(args.root, params.audit(name))
        print(
            f"\n{name}: the least seconds over rates, looking after each of {config.epochs} epochs"
        )
        rows = {}
        for library in libraries(x.shape[1], config, 0):
            if library == OFFICIAL:
                continue
            reached = dict.fromkeys(args.targets, np.inf)
            for rate in args.rates:
                learner = libraries(x.shape[1], config, 0)[library]()
                for target, seconds in reaching(learner, x, held_out, config, rate, args.targets):
                    reached[target] = min(reached[target], seconds)
            rows[library] = {f"to {target}": seconds for target, seconds in reached.items()}
        print(pd.DataFrame(rows).T.round(2).to_string(), flush=True)


def reaching(
    learner: Learner,
    x: Tensor,
    held_out: Tensor,
    config: SaeConfig,
    rate: float,
    targets: list[float],
) -> Iterator[tuple[float, float]]:
    """Targets of explained variance that a training reaches, and after how many seconds."""
    missing = sorted(targets)
    start, looked = time.perf_counter(), 0.0
    for _ in epochs(learner, x, config, rate, 0):
        now = time.perf_counter()
        variance, _ = explained(learner, held_out)
        while missing and variance >= missing[0]:
            yield missing.pop(0), now - start - looked
        looked += time.perf_counter() - now


def main() -> None:
    """Run the part that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
    for name, part in (("speed", speed), ("quality", quality), ("time", to_quality)):
        sub = parts.add_parser(name, help=part.__doc__)
        sub.set_defaults(part=part)
        sub.add_argument("--threads", type=int, default=2)
        if name == "speed":
            sub.add_argument("--width", type=int, default=768)
            sub.add_argument("--components", type=int, default=30000)
            sub.add_argument("--k", type=int, default=64)
            sub.add_argument("--batch", type=int, default=1024)
            sub.add_argument("--repeats", type=int, default=5)
            continue
        sub.add_argument("--root", type=Path, default=Path(), help="repository with embeddings")
        sub.add_argument("--audits", nargs="+", required=True)
        sub.add_argument("--rates", type=float, nargs="+", default=RATES)
        if name == "time":
            sub.add_argument("--targets", type=float, nargs="+", default=[0.8, 0.9, 0.94])
            continue
        sub.add_argument("--seeds", type=int, default=3)
        sub.add_argument("--clips", type=float, nargs="+", default=CLIPS)
        sub.add_argument("--revive-after", type=int, nargs="*", help="else the audit's")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.part(args)


if __name__ == "__main__":
    main()
