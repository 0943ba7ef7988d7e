"""Other ways to train a top-k SAE, each behind the same four methods."""

import os
from abc import ABC, abstractmethod
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from pipeline.attribution.relevance import Codes
from pipeline.config import SaeConfig

# overcomplete 0.3.0 asks for a function that matplotlib has dropped.
plt.cm.get_cmap = lambda name: matplotlib.colormaps[name]
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # there is no GPU to run it


class Learner(ABC):
    """An SAE in training, on inputs of mean 0 and mean square length 1."""

    @abstractmethod
    def step(self, x: Tensor, rate: float, images: int) -> None:
        """One step on x; images: in an epoch."""

    @abstractmethod
    def codes(self, x: Tensor) -> Codes:
        """Codes of x."""

    @abstractmethod
    def reconstruct(self, codes: Codes) -> Tensor:
        """x̂ of codes."""

    def after_epoch(self, epoch: int, x: Tensor, config: SaeConfig) -> None:  # noqa: B027
        """What is done between epochs; nothing by default."""

    def finish(self) -> None:  # noqa: B027
        """What is done before it is used; nothing by default."""


def dense(codes: Codes, components: int) -> Tensor:
    """Codes as a matrix [n, m]."""
    return torch.zeros(len(codes.component), components).scatter(1, *codes)


class Official(Learner):
    """The step of the paper's code: every product dense, Eq. 10, AdamW, unit decoder."""

    def __init__(self, width: int, components: int, k: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.encoder, self.k = nn.Linear(width, components), k
        self.decoder = nn.Linear(components, width)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimizer = torch.optim.AdamW(parameters)
        self._constrain()

    def step(self, x: Tensor, rate: float, images: int) -> None:
        """One step."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        hidden = torch.relu(self.encoder(x))
        value, index = hidden.topk(self.k, dim=-1)
        x_hat = self.decoder(torch.zeros_like(hidden).scatter(-1, index, value))
        difference = nn.functional.normalize(x, dim=-1) - nn.functional.normalize(x_hat, dim=-1)
        difference.square().sum(dim=-1).mean().backward()
        self.optimizer.step()
        self._constrain()

    def _constrain(self) -> None:
        self.decoder.weight.data = nn.functional.normalize(self.decoder.weight.data, dim=0)

    def codes(self, x: Tensor) -> Codes:
        """Codes of x."""
        value, index = torch.relu(self.encoder(x)).topk(self.k, dim=-1)
        return Codes(index, value)

    def reconstruct(self, codes: Codes) -> Tensor:
        """x̂ of codes."""
        return self.decoder(dense(codes, self.encoder.out_features))


class Overcomplete(Learner):
    """overcomplete's TopKSAE with its auxiliary loss, Adam and gradients clipped to 1."""

    def __init__(self, width: int, components: int, k: int, seed: int) -> None:
        from overcomplete.sae import TopKSAE
        from overcomplete.sae.losses import top_k_auxiliary_loss

        torch.manual_seed(seed)
        self.sae, self.loss, self.k = TopKSAE(width, components, top_k=k), top_k_auxiliary_loss, k
        # It is made for inputs whose single numbers have variance 1.
        self.scale = width**0.5
        self.optimizer = torch.optim.Adam(self.sae.parameters())
        self.sae.train()

    def step(self, x: Tensor, rate: float, images: int) -> None:
        """One step; a batch of one image, whose statistics are undefined, is left out."""
        if len(x) < 2:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        scaled = x * self.scale
        pre_codes, codes, x_hat = self.sae(scaled)
        self.optimizer.zero_grad()
        self.loss(scaled, x_hat, pre_codes, codes, self.sae.get_dictionary()).backward()
        nn.utils.clip_grad_norm_(self.sae.parameters(), 1.0)
        self.optimizer.step()

    def finish(self) -> None:
        """Use the batch statistics of training from here on."""
        self.sae.eval()

    def codes(self, x: Tensor) -> Codes:
        """Codes of x."""
        was = self.sae.training
        self.sae.eval()
        value, index = self.sae.encode(x * self.scale)[1].topk(self.k, dim=-1)
        self.sae.train(was)
        return Codes(index, value)

    def reconstruct(self, codes: Codes) -> Tensor:
        """x̂ of codes."""
        dictionary = self.sae.get_dictionary()
        return dense(codes, len(dictionary)) @ dictionary / self.scale


class Sparsify(Learner):
    """sparsify's SparseCoder with AuxK, and its signum (schedule-free) or Adam."""

    def __init__(self, width: int, components: int, k: int, seed: int, signum: bool) -> None:
        from schedulefree import ScheduleFreeWrapper
        from sparsify import SparseCoder, SparseCoderConfig
        from sparsify.sign_sgd import SignSGD

        torch.manual_seed(seed)
        self.sae = SparseCoder(width, SparseCoderConfig(num_latents=components, k=k))
        self.signum = signum
        self.optimizer: Any = torch.optim.Adam(self.sae.parameters())
        if signum:
            self.optimizer = ScheduleFreeWrapper(SignSGD(self.sae.parameters()), momentum=0.95)
            self.optimizer.train()
        self.idle = torch.zeros(components)

    def step(self, x: Tensor, rate: float, images: int) -> None:
        """One step, as in its Trainer."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.sae.set_decoder_norm_to_unit_norm()
        out = self.sae(x, dead_mask=self.idle >= images)
        (out.fvu + out.auxk_loss / 32).backward()
        self.sae.remove_gradient_parallel_to_decoder_directions()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.idle += len(x)
        self.idle[out.latent_indices.flatten()] = 0

    def finish(self) -> None:
        """Take the averaged weights."""
        if self.signum:
            self.optimizer.eval()
        self.sae.set_decoder_norm_to_unit_norm()

    def codes(self, x: Tensor) -> Codes:
        """Codes of x."""
        value, index, _ = self.sae.encode(x)
        return Codes(index, value)

    def reconstruct(self, codes: Codes) -> Tensor:
        """x̂ of codes."""
        return self.sae.decode(codes.activation, codes.component)
