"""What a file of weights holds, read as data: tensors and plain containers.

A pickle may name any function and have it called. torch's own reader for weights refuses what is
no tensor; here an inert object stands for each thing of another kind, so that nothing which a file
names is imported or run, and the settings that training scripts save beside weights do no harm.
"""

import json
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.config import ConfigError
from pipeline.models.folder import reason

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
"""Of files of weights that are read."""
INDEX = ".index.json"
"""How the name ends of a file that says in which files transformers has put which tensors."""

FOREIGN = {
    ".h5": "TensorFlow",
    ".index": "TensorFlow",
    ".pb": "TensorFlow",
    ".tflite": "TensorFlow Lite",
    ".msgpack": "Flax",
    ".npz": "JAX",
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".mlpackage": "Core ML",
    ".mlmodel": "Core ML",
}
"""Suffix → framework of weights that are not read."""
MAGIC = {
    b"\x89HDF\r\n\x1a\n": "TensorFlow",
    b"GGUF": "GGUF",
    b"\x93NUMPY": "NumPy",
}
"""First bytes → framework of weights that are not read, whatever their name."""

ACTING = {"os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "importlib", "runpy"}
ACTING |= {
    "commands",
    "ctypes",
    "pty",
    "webbrowser",
    "builtins.eval",
    "builtins.exec",
    "builtins.__import__",
}
"""What no record of a training names. Nothing of it would be run: its owner is to be told."""

ONLY_WEIGHTS = (
    "Only tensors are read: save nothing but the weights, "
    'torch.save(model.state_dict(), "weights.pt"), where the model was trained'
)

CALLS = "as a pickle it would call "


class Content(NamedTuple):
    """What a file of weights holds."""

    data: Any
    """Tensors, in mappings and lists as they were saved."""
    unread: list[str]
    """Full names of the types and functions that inert objects stand for."""


class Unread:
    """Stands for an object that is neither a tensor nor a plain container, and keeps nothing."""

    def __new__(cls, *_: Any) -> "Unread":
        """Take no notice of what the object would have been made of."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Likewise."""

    def __setstate__(self, state: Any) -> None:
        """Likewise."""


def read(path: Path) -> Content:
    """Read a file of weights, or the files that an index names, without running anything.

    Raises:
        ConfigError: it is missing, damaged, no file of weights, or of a kind that only code can
            read; the message says which and what to do.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path)
    refuse_foreign(path)
    if path.suffix == ".safetensors":
        try:
            return Content(load_file(path), [])
        except (SafetensorError, OSError, ValueError) as error:
            raise ConfigError(_damaged(path, error)) from error
    return _read_pickle(path)


def shards(index: Path) -> list[str]:
    """Names of the files that an index of transformers names, sorted.

    Raises:
        ConfigError: it is no such index, or names files of other folders.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        plain = all(Path(name).name == name for name in names)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{index} is no index of weights: {reason(error)}") from error
    if not names or not plain:
        raise ConfigError(f"{index} must name files beside it, but names {names[:3]}")
    return names


def files(weights: Path) -> list[Path]:
    """The files with tensors: one, or those that an index names, which may be missing.

    Raises:
        ConfigError: as `shards`.
    """
    if not weights.name.endswith(INDEX):
        return [weights]
    return [weights.with_name(name) for name in shards(weights)]


def refuse_foreign(path: Path) -> None:
    """Refuse, by its first bytes, a file that holds no weights of PyTorch.

    Raises:
        ConfigError: it cannot be read, is empty, text, a pointer of Git LFS, a web page, a
            TorchScript archive, or another framework's; the message says what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}") from error
    if not head:
        raise ConfigError(f"{path} does not load: it is empty; download or copy it again")
    if head.startswith(b"version https://git-lfs"):
        raise ConfigError(
            f"{path} does not load: it is a pointer of Git LFS in place of the weights; run "
            "`git lfs pull` where it was cloned, or download the file itself"
        )
    framework = next((name for magic, name in MAGIC.items() if head.startswith(magic)), None)
    if framework := framework or FOREIGN.get(path.suffix):
        raise ConfigError(f"{path} does not load: {of_other_framework(framework)}")
    begin = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if begin[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ConfigError(
            f"{path} does not load: it is a web page, perhaps of an error or a login, saved in "
            "place of the weights; download it again"
        )
    if len(head) > 8 and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        raise ConfigError(
            f"{path} does not load: it is text of {size} bytes, {head[:60].decode()!r}; download "
            "the weights again"
        )
    if path.suffix != ".safetensors" and _is_torchscript(path):
        raise ConfigError(
            f"{path} does not load: it is a TorchScript archive, which holds code. OpenAI's own "
            "models are had by name: ViT-B-32-quickgelu with pretrained: openai, and likewise. "
            "Another, whose origin you trust, becomes plain weights by\n"
            f'  torch.save(torch.jit.load("{path.name}", map_location="cpu").state_dict(), '
            '"weights.pt")'
        )


def of_other_framework(framework: str) -> str:
    """That weights are another framework's, and what to do."""
    return (
        f"it holds weights of {framework}, and only PyTorch's are read, files that end in "
        f"{', '.join(SUFFIXES)}; take those of the same model, or convert it"
    )


def of_adapters(what: str) -> str:
    """That weights are LoRA's, and what to do."""
    return (
        f"it holds adapters of LoRA ({what}), which change a model and are none: merge them into "
        "it and save that, with peft `model.merge_and_unload().save_pretrained(FOLDER)`"
    )


def _read_shards(index: Path) -> Content:
    data: dict[str, Any] = {}
    unread: set[str] = set()
    for path in files(index):
        part = read(path)
        if not isinstance(part.data, dict):
            raise ConfigError(f"{path} does not load: it is no part of weights")
        data |= part.data
        unread |= set(part.unread)
    return Content(data, sorted(unread))


def _read_pickle(path: Path) -> Content:
    zipped, names = zipfile.is_zipfile(path), list[str]()
    try:
        if zipped:
            names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
        if acting := [name for name in names if {name, name.partition(".")[0]} & ACTING]:
            raise UnpicklingError(f"{CALLS}{', '.join(acting)}")
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in names]):
            data = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        said = _refused(error, names)
        raise ConfigError(f"{path} does not load: {said}. {ONLY_WEIGHTS}") from error
    except Exception as error:  # on damaged data torch's reader raises nearly everything there is
        raise ConfigError(_damaged(path, error)) from error
    return Content(data, names)


def _stand_in(name: str) -> Any:
    """What a name in a pickle becomes; for a mapping with items, one of those that torch fills."""
    if name == "collections.defaultdict":
        return lambda *_: OrderedDict()
    module, _, own = name.rpartition(".")
    return type(own, (Unread,), {"__module__": module})  # so that torch's errors name it


def _refused(error: UnpicklingError, names: list[str]) -> str:
    """What torch's reader refuses, without its advice to read it all the same."""
    text = str(error)
    if text.startswith(CALLS):
        return (
            f"{text}, which no weights need; nothing was called. Do not open it with other tools, "
            "and take the weights from elsewhere"
        )
    for begin in ("Unsupported global: GLOBAL ", "but got <class '", "unsupported GLOBAL "):
        if begin in text:
            named = re.split(r"['\s]", text.partition(begin)[2])[0]
            return f"it holds {named}, which is neither a tensor nor a plain container"
    if "unrecognized function" in text:
        return f"{CALLS}what is made of {', '.join(names)}; nothing was called"
    if "Unsupported operand" in text:
        return "it is a pickle of another protocol than torch.save writes"
    return "it is no file that torch.save has written"


def _damaged(path: Path, error: BaseException) -> str:
    return (
        f"{path} does not load: {reason(error)}. It is cut off, damaged or no file of weights "
        f"({path.stat().st_size if path.exists() else 0} bytes): download or copy it again"
    )


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except Exception:  # on a damaged archive it raises much; whoever reads it says so
        return False
