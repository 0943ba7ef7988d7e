"""Whether the tokenizer that lies beside a model of transformers is CLIP's own.

open_clip brings CLIP's tokenizer with it; another vocabulary needs transformers to read it.
"""

from pathlib import Path
from typing import Any

from open_clip import SimpleTokenizer

from pipeline.artifacts.store import read_json
from pipeline.config import ConfigError
from pipeline.models.folder import reason
from pipeline.models.places import Place

SPECIAL = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
"""open_clip's names of the two special tokens → transformers'."""
FILES = (
    *("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""What transformers reads a tokenizer from, as far as it is there."""


def is_clips_own(place: Place) -> bool | None:
    """Whether the tokenizer makes the tokens of CLIP's own; None where there is none.

    It does where the tokens, their numbers, and the order in which they are merged are the same,
    no token is added, and upper case is made lower.

    Raises:
        ConfigError: a file of the tokenizer cannot be read.
    """
    path = place.find("tokenizer.json", "vocab.json")
    if path is None:
        return None
    try:
        content = read_json(path)
        if path.name == "tokenizer.json":
            words, merges = content["model"]["vocab"], content["model"]["merges"]
            added = {token["id"] for token in content.get("added_tokens") or []}
            lower = '"Lowercase"' in path.read_text(encoding="utf-8")
        else:
            words, merges = content, _lines(place.get("merges.txt"))
            more = place.find("added_tokens.json")
            added, lower = set(read_json(more).values()) if more else set(), True
            settings = place.find("tokenizer_config.json")
            if settings is not None:
                lower = bool(read_json(settings).get("do_lower_case", True))
        pairs = [tuple(pair.split()) if isinstance(pair, str) else tuple(pair) for pair in merges]
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ConfigError(f"{path} is no tokenizer's: {reason(error)}") from error
    own = SimpleTokenizer()
    numbers = {SPECIAL.get(word, word): number for word, number in own.encoder.items()}
    same_merges = pairs[: len(own.bpe_ranks)] == sorted(own.bpe_ranks, key=own.bpe_ranks.get)
    return bool(lower and words == numbers and same_merges and added <= set(own.all_special_ids))


def _lines(path: Path) -> list[Any]:
    lines = path.read_text(encoding="utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#version")]
