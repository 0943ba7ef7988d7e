"""What an attribution costs with automatic differentiation and in closed form, and the whole suite.

    python -m benchmarks.attribution                 # one attribution, three ways
    python -m benchmarks.attribution --suite         # the audit faithfulness on 5,000 images

Everything is invented: an open_clip model of random weights, a dictionary of random atoms, images
made of them. Times are the least of several repeats, taken in turns in one process; where other
jobs run on the machine, OMP_WAIT_POLICY=passive keeps threads from waiting for a core in vain.
"""

import argparse
import os
from collections.abc import Callable

import open_clip
import torch
from torch import Tensor

from audits.faithfulness.curves import PROTOCOLS, audit_faithfulness
from audits.faithfulness.orders import METHODS
from audits.faithfulness.parts import Images, model_of
from benchmarks.measured import peak, seconds
from pipeline.artifacts.gaps import Gaps
from pipeline.attribution.head import Head, unit
from pipeline.attribution.relevance import (
    CACHED_ROWS,
    ORDERED_ROWS,
    Codes,
    act_grad,
    decode,
    gradient,
    slot_dots,
)
from pipeline.config import FaithfulnessConfig
from pipeline.models.catalog import head_of, image_tower


def least(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least time of each work over repeats in turns, after one to warm up."""
    for work in works.values():
        work()
    times = [{name: seconds(work) for name, work in works.items()} for _ in range(repeats)]
    return {name: min(turn[name] for turn in times) for name in works}


def draw_codes(n: int, args: argparse.Namespace, dtype: torch.dtype) -> Codes:
    """Codes of n images, components at random."""
    component = torch.stack([torch.randperm(args.components)[: args.k] for _ in range(n)])
    return Codes(component, 0.1 + torch.rand(n, args.k, dtype=dtype))


def one_attribution(args: argparse.Namespace) -> None:
    """Time one attribution: through the tower, through head and SAE, in closed form."""
    model = open_clip.create_model(args.model, pretrained=None, pretrained_text=False).eval()
    head, tower = head_of(model), image_tower(model)
    d, p = head.w_proj.shape
    atoms = unit(torch.randn(args.components, d))
    codes = draw_codes(args.images, args, torch.float32)
    x = decode(codes, atoms) + 0.3 * torch.randn(args.images, d) / d**0.5
    t = unit(torch.randn(args.images, p))
    pixels = torch.randn(args.batch, 3, *tower.image_size)
    first = Codes(codes.component[: args.batch], codes.activation[: args.batch])

    def insert(class_token: Tensor) -> tuple[Tensor, Tensor]:
        """Dense activations that gradients reach, and the class tokens put together from them."""
        dense = torch.zeros(args.batch, args.components)
        dense.scatter_(1, *first).requires_grad_(True)
        mixed = dense @ atoms
        return dense, mixed + (class_token - mixed.detach())

    def output(class_token: Tensor) -> Tensor:
        """Sum over a batch of images and prompts, so that one pass has the gradient of each."""
        z = tower.ln_post(class_token) @ tower.proj
        return ((z / z.norm(dim=1, keepdim=True)) * t[: args.batch]).sum()

    def through_tower(whole: bool) -> None:
        """A batch forward, and back to the activations or through the tower too."""
        kept: list[Tensor] = []
        handle = tower.ln_post.register_forward_pre_hook(lambda _, tokens: kept.append(tokens[0]))
        tower(pixels)
        handle.remove()
        dense, class_token = insert(kept[0][:, 0])
        if whole:
            model.zero_grad()
            output(class_token).backward()
        else:
            torch.autograd.grad(output(class_token), dense)

    def through_head() -> None:
        """A batch from its cached class tokens."""
        dense, class_token = insert(x[: args.batch])
        torch.autograd.grad(output(class_token), dense)

    g = gradient(x, t, head)
    ours = {
        "closed form": lambda: act_grad(gradient(x, t, head), codes, atoms),
        "  its gradients": lambda: gradient(x, t, head),
        "  its dots with atoms": lambda: slot_dots(g, codes.component, atoms),
    }
    theirs = {
        "(a) autograd through the tower, forward and back": lambda: through_tower(True),
        "(a') the same, back to the activations only": lambda: through_tower(False),
        "(b) autograd through head and SAE": through_head,
    }
    found = least({**theirs, **ours}, args.repeats)
    for name in found:
        found[name] /= args.batch if name in theirs else args.images
    mine = found["closed form"]
    for name, taken in found.items():
        print(f"{name:50s} {taken * 1e3:10.5f} ms   {taken / mine:9.2f} of ours")
    floor(args, d, p, mine)


def floor(args: argparse.Namespace, d: int, p: int, mine: float) -> None:
    """What the closed form cannot do without, by this machine's own rates, and the distance."""
    flops = 4 * d * p + 2 * args.k * d
    gathered = 4 * args.k * d
    # Each atom once for the images that are taken together, and x, t and codes in, relevance out.
    taken = min(ORDERED_ROWS, args.images)
    moved = 4 * (args.components * d / taken + d + p + 4 * args.k)
    left, right = torch.randn(CACHED_ROWS, d), torch.randn(d, p)
    big = torch.randn(2**26)
    product = least({"": lambda: left @ right}, 20 * args.repeats)[""]
    rate = 2 * CACHED_ROWS * d * p / product
    bandwidth = 4 * len(big) / least({"": big.sum}, args.repeats)[""]
    arithmetic, memory = flops / rate, moved / bandwidth
    print(
        f"\nfloor: {flops / 1e6:.2f} MFLOP at {rate / 1e9:.0f} GFLOP/s = {arithmetic * 1e3:.5f} ms"
    )
    print(f"       {moved / 1e3:.0f} kB at {bandwidth / 1e9:.0f} GB/s = {memory * 1e3:.5f} ms")
    print(
        f"       ({gathered / 1e3:.0f} kB = {gathered / bandwidth * 1e3:.5f} ms if each image "
        "fetched its atoms from memory)"
    )
    print(f"distance to the floor, their sum: {mine / (arithmetic + memory):.2f}")


def suite(args: argparse.Namespace) -> None:
    """Time the audit faithfulness as a stage runs it: its defaults, in double precision."""
    double = torch.float64
    config = FaithfulnessConfig(
        classes=args.classes, images=50, steps=10, subsets=9, reference_images=500, points=10
    )
    d, p = 768, 512

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=double)

    head = Head(1 + 0.2 * normal(d), 0.1 * normal(d), 1e-5, normal(d, p) / d**0.5)
    atoms, texts = unit(normal(args.components, d)), unit(normal(args.classes, p))
    bias = normal(d) / d**0.5

    def images(n: int) -> Images:
        codes = draw_codes(n, args, double)
        x = decode(codes, atoms) + bias + 0.3 * normal(n, d) / d**0.5
        return Images(x, codes, torch.arange(n) % args.classes)

    own, reference = images(args.classes * config.images), images(config.reference_images)
    before = peak()

    def audit() -> None:
        model = model_of(head, atoms, bias)
        generator = torch.Generator().manual_seed(0)
        audit_faithfulness(own, reference, texts, model, config, generator, Gaps())

    taken = seconds(audit)
    outputs = 2 * len(own.x) * len(METHODS) * len(PROTOCOLS) * (config.steps + 1)
    print(
        f"{len(own.x)} images × {len(METHODS)} methods × {len(PROTOCOLS)} protocols × "
        f"{config.steps} steps, error kept and dropped: {taken:.1f} s, {outputs / taken:.0f} "
        "outputs/s"
    )
    print(f"peak memory {before:.2f} GiB before, {peak():.2f} GiB after")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", action="store_true", help="time the audit faithfulness")
    parser.add_argument("--model", default="ViT-B-32", help="open_clip's model name")
    parser.add_argument("--components", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=64, help="active components of an image")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=32, help="images of a pass of autograd")
    parser.add_argument("--classes", type=int, default=100, help="of 50 images, with --suite")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the start")
    (suite if args.suite else one_attribution)(args)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
