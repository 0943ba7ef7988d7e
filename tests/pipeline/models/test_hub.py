"""Sources of models: what is found, what is refused, and that nothing fetched is run.

A hub cache in a folder stands for the hub, laid out as huggingface_hub does it.
"""

import json
import pickle
import shutil
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import huggingface_hub
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from pipeline.config import ConfigError, ModelConfig, PreprocessConfig
from pipeline.models import places
from pipeline.models.building import build, tokenizer_of
from pipeline.models.catalog import load_clip, weights_sha256
from pipeline.models.hub import check, resolve

STATED = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
PREPROCESS = PreprocessConfig(**STATED, interpolation="bilinear", resize_mode="longest")
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"


@pytest.fixture
def cache(hub_cache):
    return hub_cache


@pytest.fixture
def tiny(clip_folder, monkeypatch):
    """A model `Tiny` with the tag `seen` and a `Tiny-quickgelu`, known to open_clip."""
    config = json.loads((clip_folder / CONFIG).read_text())["model_cfg"]
    models, tags = open_clip.factory._MODEL_CONFIGS, open_clip.pretrained._PRETRAINED
    tag = {"hf_hub": "lab/tiny/", "interpolation": "bilinear", "resize_mode": "squash", **STATED}
    quick = {"seen": tag | {"quick_gelu": True}}
    monkeypatch.setitem(models, "Tiny", config)
    monkeypatch.setitem(models, "Tiny-quickgelu", config | {"quick_gelu": True})
    monkeypatch.setitem(tags, "Tiny", {"seen": tag, "quick": quick["seen"]})
    monkeypatch.setitem(tags, "Tiny-quickgelu", quick)
    return config


@pytest.fixture
def weights(clip_folder):
    return load_file(clip_folder / WEIGHTS)


def files_of(folder: Path, changes: dict | None = None) -> dict[str, bytes]:
    """A folder's configuration, its sections updated, and its weights."""
    config = json.loads((folder / CONFIG).read_text())
    for key, value in (changes or {}).items():
        section = config["model_cfg"]["text_cfg"] if key == "text_cfg" else config[key]
        section.update(value)
    return {CONFIG: json.dumps(config).encode(), WEIGHTS: (folder / WEIGHTS).read_bytes()}


def saved(path: Path, content: object) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def test_a_tag_is_taken_from_the_cache_with_its_preprocessing(cache, tiny, clip_folder):
    cache("lab/tiny", files_of(clip_folder))
    source = resolve("k", ModelConfig(name="Tiny", pretrained="seen"))
    assert source.config["model_cfg"] == tiny
    assert source.config["preprocess_cfg"]["mean"] == [0.1, 0.2, 0.3]
    assert source.config["preprocess_cfg"]["resize_mode"] == "squash"
    model = build(source).model
    assert weights_sha256(model) == load_clip(clip_folder).weights_sha256
    assert open_clip.get_model_preprocess_cfg(model)["interpolation"] == "bilinear"


def test_a_tag_s_weights_may_be_no_safetensors(cache, tiny, clip_folder, weights, tmp_path):
    cache("lab/tiny", {"open_clip_pytorch_model.bin": saved(tmp_path / "w", weights)})
    model = build(resolve("k", ModelConfig(name="Tiny", pretrained="seen"))).model
    assert weights_sha256(model) == load_clip(clip_folder).weights_sha256


def test_a_tag_of_another_activation_is_refused_with_the_name_to_use(cache, tiny):
    with pytest.raises(ConfigError, match=r"quick was trained with .* set name to Tiny-quickgelu"):
        resolve("k", ModelConfig(name="Tiny", pretrained="quick"))
    for name, tag in (("ViT-H-14", "dfn5b"), ("ViT-B-32", "laion400m_e32")):
        with pytest.raises(ConfigError, match=f"set name to {name}-quickgelu"):
            resolve("k", ModelConfig(name=name, pretrained=tag))


def test_preprocessing_that_contradicts_the_tag_is_refused_naming_both(cache, tiny):
    entry = ModelConfig(name="Tiny", pretrained="seen", preprocess=PREPROCESS)
    said = r"models\.k\.preprocess\.resize_mode is longest, but open_clip's tag seen says squash"
    with pytest.raises(ConfigError, match=said):
        resolve("k", entry)


def test_a_hub_repository_is_taken_from_the_cache(cache, clip_folder):
    cache("lab/other", files_of(clip_folder))
    source = resolve("k", ModelConfig(name="hf-hub:lab/other"))
    assert source.config["preprocess_cfg"]["resize_mode"] == "squash"
    assert weights_sha256(build(source).model) == load_clip(clip_folder).weights_sha256


def test_a_repository_that_states_no_mean_needs_params_to_say_it(cache, clip_folder):
    cache("lab/other", files_of(clip_folder, {"preprocess_cfg": {"mean": None, "std": None}}))
    with pytest.raises(ConfigError, match=r"lab/other\): preprocess_cfg has no mean and no std"):
        resolve("k", ModelConfig(name="hf-hub:lab/other"))
    given = PREPROCESS.model_copy(update={"resize_mode": "squash"})
    source = resolve("k", ModelConfig(name="hf-hub:lab/other", preprocess=given))
    assert source.config["preprocess_cfg"]["std"] == [0.4, 0.5, 0.6]
    with pytest.raises(ConfigError, match=r"resize_mode is longest, but lab/other's .* squash"):
        resolve("k", ModelConfig(name="hf-hub:lab/other", preprocess=PREPROCESS))


def test_a_repository_s_tokenizer_can_be_replaced(cache, clip_folder):
    other = {"hf_tokenizer_name": "lab/none", "tokenizer_kwargs": {"clean": "lower"}}
    cache("lab/other", files_of(clip_folder, {"text_cfg": other}))
    source = resolve("k", ModelConfig(name="hf-hub:lab/other", tokenizer="ViT-L-14"))
    assert not set(other) & set(source.config["model_cfg"]["text_cfg"])
    tokenize = tokenizer_of(source, build(source).model)
    assert tokenize(["a bat"]).equal(open_clip.get_tokenizer("ViT-L-14")(["a bat"])[:, :8])
    with pytest.raises(ConfigError, match=r"tokenizer is 'ViT-L/14': .*near to it are \['ViT-L-14"):
        resolve("k", ModelConfig(name="hf-hub:lab/other", tokenizer="ViT-L/14"))


def test_a_tokenizer_that_needs_transformers_is_refused_before_the_download(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install transformers"):
        resolve("k", ModelConfig(name="ViT-B-16-SigLIP", pretrained="webli"))


class AskedFor(Exception):
    """Of transformers, with these options."""


def test_code_beside_a_tokenizer_is_not_run(cache, clip_folder, tmp_path, monkeypatch):
    def tokenizer(name, **options):
        raise AskedFor(name, options["trust_remote_code"])

    transformers = ModuleType("transformers")
    transformers.__spec__ = ModuleSpec("transformers", None)
    transformers.AutoTokenizer = SimpleNamespace(from_pretrained=tokenizer)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    files = files_of(clip_folder, {"text_cfg": {"hf_tokenizer_name": "lab/words"}})
    cache("lab/other", files)
    source = resolve("k", ModelConfig(name="hf-hub:lab/other"))
    with pytest.raises(AskedFor) as asked:
        tokenizer_of(source, build(source).model)
    assert asked.value.args == ("lab/words", False)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AskedFor) as asked:
        load_clip(tmp_path)
    assert asked.value.args == (tmp_path, False)


def test_a_repository_that_would_have_code_run_is_refused(cache, clip_folder):
    kwargs = {"tokenizer_kwargs": {"trust_remote_code": True}}
    cache("lab/other", files_of(clip_folder, {"text_cfg": kwargs}))
    with pytest.raises(ConfigError, match=r"tokenizer_kwargs has \['trust_remote_code'\]"):
        resolve("k", ModelConfig(name="hf-hub:lab/other"))


@pytest.mark.parametrize("style", ["plain", "training"])
@pytest.mark.parametrize("suffix", [".pt", ".bin"])
def test_a_checkpoint_is_read_with_stated_preprocessing(
    tiny, clip_folder, weights, tmp_path, style, suffix
):
    content = weights
    if style == "training":  # as open_clip saves it
        state = {f"module.{name}": tensor for name, tensor in weights.items()}
        content = {"epoch": 3, "name": "run", "state_dict": state, "optimizer": {"state": {}}}
    path = tmp_path / f"epoch_3{suffix}"
    torch.save(content, path)
    entry = ModelConfig(name="Tiny", pretrained=str(path), preprocess=PREPROCESS)
    model = build(resolve("k", entry)).model
    assert weights_sha256(model) == load_clip(clip_folder).weights_sha256
    done = open_clip.get_model_preprocess_cfg(model)
    assert (done["mean"], done["interpolation"]) == ([0.1, 0.2, 0.3], "bilinear")
    with pytest.raises(ConfigError, match=r"preprocess is null, and .*epoch_3.* does not say"):
        resolve("k", entry.model_copy(update={"preprocess": None}))


class Payload:
    """What a pickle runs when it is read."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("wrap", [torch.save, lambda content, path: _pickle(content, path)])
def test_code_in_a_checkpoint_is_not_run(cache, tiny, weights, tmp_path, wrap):
    touched, path = tmp_path / "touched", tmp_path / "weights.bin"
    wrap(weights | {"visual.proj": Payload(touched)}, path)
    act, arguments = Payload(touched).__reduce__()
    act(*arguments)
    assert touched.exists()  # the payload works, were it run
    touched.unlink()
    cache("lab/tiny", {"open_clip_pytorch_model.bin": path.read_bytes()})
    for entry in (
        ModelConfig(name="Tiny", pretrained=str(path), preprocess=PREPROCESS),
        ModelConfig(name="Tiny", pretrained="seen"),
    ):
        with pytest.raises(ConfigError, match=r"does not load: .*Only tensors are read"):
            build(resolve("k", entry))
    assert not touched.exists()


def _pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"visual.positional_embedding": torch.zeros(10, 64)}, "positional_embedding.*stretch"),
        ({"positional_embedding": torch.zeros(6, 32)}, r"shape \[6, 32\], the model's is \[8, 32"),
        ({"visual.proj": torch.zeros(64, 47)}, "does not load: .*visual.proj"),
        ({"more": torch.zeros(2)}, "does not load: .*more"),
        ({"visual.conv1.weight": torch.full((64, 3, 16, 16), torch.nan)}, "conv1.*not finite"),
    ],
)
def test_weights_of_another_model_are_refused(tiny, weights, tmp_path, changes, said):
    path = tmp_path / "weights.pt"
    torch.save(weights | changes, path)
    with pytest.raises(ConfigError, match=said) as error:
        build(resolve("k", ModelConfig(name="Tiny", pretrained=str(path), preprocess=PREPROCESS)))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"version https://git-lfs"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_weights_are_refused(tiny, tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"weights{suffix} does not load"):
        build(resolve("k", ModelConfig(name="Tiny", pretrained=str(path), preprocess=PREPROCESS)))


def test_another_folder_is_a_source(clip_folder, weights, tmp_path):
    folder = shutil.copytree(clip_folder, tmp_path / "another")
    (folder / WEIGHTS).unlink()
    torch.save(weights, folder / "epoch_1.pt")
    (folder / "._epoch_1.pt").touch()  # as macOS leaves it on other file systems
    entry = ModelConfig(name=f"local-dir:{folder}")
    sha256 = load_clip(clip_folder).weights_sha256
    assert weights_sha256(build(resolve("k", entry)).model) == sha256
    torch.save({}, folder / "epoch_2.pt")
    with pytest.raises(ConfigError, match=r"holds \['epoch_1.pt', 'epoch_2.pt'\]: it must hold"):
        resolve("k", entry)
    shutil.copy(clip_folder / WEIGHTS, folder)
    assert weights_sha256(build(resolve("k", entry)).model) == sha256


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"name": "local-dir:data/models/k"}, "k lies in .* already.*out of outside.models"),
        ({"name": "local-dir:nowhere"}, "local-dir:nowhere': nowhere is no folder"),
        ({"name": "s3:bucket/model"}, "hf-hub:<repository> or local-dir:<folder>"),
        ({"name": "ViT-B/32", "pretrained": "openai"}, "no such model; near to it are .*ViT-B-32"),
        ({"name": "ViT-B-32"}, r"pretrained is null.*random weights: name one of \['openai'"),
        ({"name": "ViT-B-32", "pretrained": "opnai"}, "'opnai': it is neither a file nor one of"),
        ({"name": "ViT-B-32", "pretrained": __file__}, "test_hub.py is no checkpoint"),
        ({"name": "hf-hub:lab/a/b"}, "Repo id must be"),
    ],
)
def test_an_entry_that_names_nothing_is_refused(cache, entry, said):
    with pytest.raises(ConfigError, match=said):
        resolve("k", ModelConfig(**entry))


def test_without_network_and_cache_the_message_says_what_to_do(cache, tmp_path):
    with pytest.raises(ConfigError) as error:
        resolve("k", ModelConfig(name="ViT-B-16", pretrained="datacomp_xl_s13b_b90k"))
    for said in (
        "models.k: cannot fetch open_clip_model.safetensors or open_clip_pytorch_model.bin",
        "https://huggingface.co/laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
        "offline mode is enabled",
        f"the cache {tmp_path / 'hub'}",
        "set HF_HOME",
        "into data/models/k/, set models.k.name to local-dir:data/models/k",
        "take k out of outside.models",
    ):
        assert said in str(error.value)


def test_a_hub_that_does_not_answer_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: time.sleep(5))
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"lab/other \(no answer within 0.2 s\)"):
        resolve("k", ModelConfig(name="hf-hub:lab/other"))
    assert time.monotonic() - start < 2


def test_a_repository_is_asked_for_what_it_holds(cache, clip_folder, monkeypatch):
    cache("lab/other", files_of(clip_folder))
    names = [CONFIG]

    def info(*_, **__):
        siblings = [{"rfilename": name} for name in names]
        return huggingface_hub.hf_api.ModelInfo(id="lab/other", siblings=siblings)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    with pytest.raises(ConfigError, match=r"other holds no .*safetensors and no .*bin"):
        resolve("k", ModelConfig(name="hf-hub:lab/other"))
    with pytest.raises(ConfigError, match=r"other holds no .*safetensors and no .*bin"):
        check("k", ModelConfig(name="hf-hub:lab/other"))
    names.append(WEIGHTS)
    check("k", ModelConfig(name="hf-hub:lab/other"))
    assert resolve("k", ModelConfig(name="hf-hub:lab/other")).weights.name == WEIGHTS
