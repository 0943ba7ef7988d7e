"""Files of weights: what is read, that nothing in them is run, and what is said of others."""

import argparse
import pathlib
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict, defaultdict
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from pipeline.config import ConfigError
from pipeline.models.tensors import read

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}


@dataclass
class Settings:
    """What a training script may keep beside the weights."""

    lr: float = 1.0


class Acts:
    """Calls a function with an argument when it is unpickled."""

    def __init__(self, function, *arguments):
        self.how = function, arguments

    def __reduce__(self):
        return self.how


@pytest.mark.parametrize(
    ("beside", "unread"),
    [
        (argparse.Namespace(lr=1, betas=(0.9, 0.98)), "argparse.Namespace"),
        (np.float64(0.3), "numpy._core.multiarray.scalar"),
        (np.arange(3), "numpy._core.multiarray._reconstruct"),
        (np.random.default_rng(0).bit_generator.state, None),
        (pathlib.PurePosixPath("/data"), f"{pathlib.PurePosixPath.__module__}.PurePosixPath"),
        (OmegaConf.create({"lr": 1, "layers": [1, 2]}), "omegaconf.dictconfig.DictConfig"),
        (Settings(), "tests.pipeline.models.test_tensors.Settings"),
        (defaultdict(dict, {0: {"step": 1}}), "collections.defaultdict"),
        ({1, 2}, None),
        (OrderedDict(lr=1), None),
        (torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1).state_dict(), None),
    ],
)
def test_what_is_no_tensor_is_left_unread(tmp_path, beside, unread):
    torch.save({"state_dict": WEIGHTS, "beside": beside, "epoch": 3}, tmp_path / "w.pt")
    content = read(tmp_path / "w.pt")
    assert content.data["epoch"] == 3
    for name, tensor in WEIGHTS.items():
        assert content.data["state_dict"][name].equal(tensor)
    assert (unread in content.unread) if unread else not content.unread


def test_nothing_that_a_file_names_is_imported(tmp_path, monkeypatch):
    """Not even the class of a script: that is not there when its file is read."""
    script = ModuleType("script")
    exec("class Config:\n    pass", script.__dict__)
    monkeypatch.setitem(sys.modules, "script", script)
    torch.save({"model": WEIGHTS, "config": script.Config()}, tmp_path / "w.pt")
    monkeypatch.delitem(sys.modules, "script")
    assert read(tmp_path / "w.pt").unread == ["script.Config"]


def test_code_in_a_file_is_not_run(tmp_path):
    touched = tmp_path / "touched"
    for function, argument, said in (
        (pathlib.Path.touch, touched, "would call what is made of builtins.getattr"),
        (subprocess.call, ["touch", str(touched)], "would call (commands|subprocess).call"),
        (eval, f"open({str(touched)!r}, 'w')", "would call builtins.eval"),
    ):
        torch.save({"a": torch.ones(2), "b": Acts(function, argument)}, tmp_path / "w.pt")
        with pytest.raises(ConfigError, match=f"{said}.*nothing was called"):
            read(tmp_path / "w.pt")
    assert not touched.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_of_before_torch_1_6_is_read_where_it_holds_tensors_only(tmp_path, legacy):
    path = tmp_path / "w.pt"
    content = WEIGHTS | ({"args": argparse.Namespace()} if legacy else {})
    torch.save(content, path, _use_new_zipfile_serialization=False)
    if not legacy:
        assert read(path).data["a.weight"].equal(WEIGHTS["a.weight"])
        return
    with pytest.raises(ConfigError) as error:
        read(path)
    assert "it holds argparse.Namespace, which is neither a tensor nor" in str(error.value)
    assert "torch.save(model.state_dict()" in str(error.value)
    assert "weights_only" not in str(error.value)
    assert "safe_globals" not in str(error.value)


class Bag(dict):
    """A mapping of a script's own."""


def test_a_mapping_of_a_script_s_own_is_named(tmp_path):
    torch.save({"model": Bag(WEIGHTS)}, tmp_path / "w.pt")
    with pytest.raises(
        ConfigError, match=r"it holds tests\.pipeline\.models\.test_tensors\.Bag, which"
    ):
        read(tmp_path / "w.pt")


def test_another_pickle_protocol_is_named(tmp_path):
    torch.save(WEIGHTS, tmp_path / "w.pt", pickle_protocol=4)
    with pytest.raises(ConfigError, match=r"another protocol than torch.save writes"):
        read(tmp_path / "w.pt")


def gguf(size: int = 200) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(size)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty; download or copy it again"),
        (LFS, "a pointer of Git LFS.*git lfs pull"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b"<html>Log in</html>", "a web page"),
        (b"Entry not found", "text of 15 bytes, 'Entry not found'"),
        (b"Access to model lab/x is restricted.", "it is text"),
        (gguf(), "weights of GGUF, and only PyTorch's"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "weights of TensorFlow"),
        (b"PK\x03\x04 no zip", "cut off, damaged or no file of weights"),
        (b"\x80\x02}q\x00.", "does not load"),
        (bytes(range(256)) * 4, "does not load"),
    ],
)
def test_what_is_no_file_of_weights_is_named_with_a_remedy(tmp_path, suffix, content, said):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    if content == b"\x80\x02}q\x00." and suffix != ".safetensors":
        pytest.skip("a pickle of an empty mapping loads, and holds no weights")
    with pytest.raises(ConfigError, match=said) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_that_is_cut_off_is_to_be_downloaded_again(tmp_path, suffix, kept):
    path = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"a": torch.ones(5000)}, path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ConfigError, match=r"cut off, damaged or no file.*download or copy it"):
        read(path)


def test_torchscript_is_to_be_exported(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py", "version"):
            archive.writestr(f"ViT-B-32/{name}", pickle.dumps({}, protocol=2))
    with pytest.raises(ConfigError, match=r"TorchScript.*pretrained: openai") as error:
        read(path)
    assert 'torch.jit.load("ViT-B-32.pt", map_location="cpu").state_dict()' in str(error.value)
