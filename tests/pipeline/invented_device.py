"""A GPU that is not there: its tensors have values, and refuse what CUDA or MPS would refuse.

Values are computed on the CPU. PyTorch's device type "lazy" stands for the GPU, since it asks for
no hardware and the gradient's engine runs on it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_iter, tree_map_only

DEVICE = torch.device("lazy")
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
"""What may go from one device to the other."""
WITHOUT_ORDER = {
    aten.histc,
    aten.median,
    aten.nanmedian,
    aten.put_,
    aten.put,
    aten.nll_loss_forward,
    aten.nll_loss2d_forward,
    aten._ctc_loss_backward,
    aten.max_unpool2d,
    aten.max_unpool3d,
    aten._adaptive_avg_pool2d_backward,
    aten.adaptive_max_pool2d_backward,
    aten.avg_pool3d_backward,
    aten.reflection_pad1d_backward,
    aten.reflection_pad2d_backward,
    aten.grid_sampler_2d_backward,
    aten.upsample_linear1d_backward,
    aten.upsample_bilinear2d_backward,
    aten.upsample_bicubic2d_backward,
}
"""What CUDA refuses under deterministic algorithms (docs of torch.use_deterministic_algorithms),
beside a weighted `bincount`."""


class Refused(RuntimeError):
    """CUDA or MPS would not run it."""


class Held(Tensor):
    """A tensor on the GPU that is not there."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Held":
        made: Held = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Sees to what makes tensors on the device out of none."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> object:
    given = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
    there = any(isinstance(value, Held) for value in given)
    if there and func not in COPIES:
        _check(func, args, kwargs, given)
    asked = kwargs.get("device")
    if asked is not None:
        there = torch.device(asked).type == DEVICE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif func is aten.copy_.default:
        there = isinstance(args[0], Held)
    bare_args, bare_kwargs = tree_map_only(Held, lambda value: value.held, (args, kwargs))
    out = func(*bare_args, **bare_kwargs)
    if not there:
        return out
    if any(v.dtype == torch.float64 for v in tree_iter(out) if isinstance(v, Tensor)):
        raise Refused(f"{func}: MPS has no float64")
    wrapped = tree_map_only(Tensor, lambda value: Held(value), out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


def _check(func: Any, args: Any, kwargs: Any, given: list[Tensor]) -> None:
    if any(value.dim() and not isinstance(value, Held) for value in given):
        raise Refused(f"{func}: tensors on two devices")
    if not torch.are_deterministic_algorithms_enabled():
        return
    weighted = func.overloadpacket is aten.bincount and len(given) > 1
    if weighted or func.overloadpacket in WITHOUT_ORDER:
        raise Refused(f"{func}: CUDA has no deterministic implementation")


@contextmanager
def gpu() -> Iterator[torch.device]:
    """The device, as long as the block runs."""
    tensor = torch.tensor

    def tensor_there(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        return tensor(data, **options).to(device)

    swapped = torch.__future__.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        for target, stand_in in (
            ("torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: [DEVICE.type]),
            ("torch.tensor", tensor_there),  # which makes its tensor where no mode sees it
            # Views of tensors such as these cannot be made in it.
            ("torch.inference_mode.__enter__", lambda _: None),
            ("torch.inference_mode.__exit__", lambda *_: None),
        ):
            stack.enter_context(patch(target, stand_in))
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swapped)
        # So that a module's parameters stay the ones that an optimizer knows.
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.enter_context(_Factories())
        yield DEVICE
