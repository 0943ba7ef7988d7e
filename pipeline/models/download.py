"""Files of hub repositories: from the cache, or downloaded, or a message that says what to do."""

from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline.config import HERE, ConfigError
from pipeline.models.folder import CHECKPOINT, CONFIG, WEIGHTS, reason

PATIENCE = 10.0
"""Seconds that the hub has to answer; its client would try for minutes."""


def safe_first(filename: str) -> list[str]:
    """Names of a repository's weights, safetensors before what may hold a pickle."""
    safe = WEIGHTS if filename == CHECKPOINT else str(Path(filename).with_suffix(".safetensors"))
    return [safe, filename]


class HubFile(NamedTuple):
    """A file of a hub repository, under one of several names."""

    key: str
    """The model's in params.yaml, for messages."""
    repository: str
    """`<organisation>/<name>`."""
    names: list[str]
    """The preferred one first."""

    def get(self) -> Path:
        """The file, downloaded where the cache has not got it; without network, the cache's.

        Raises:
            ConfigError: neither the hub nor the cache has it; the message says what to do.
        """
        listing = _listing(self.repository)
        if isinstance(listing, Exception):
            return self._cached(listing)
        name = self._listed(listing)
        try:
            return Path(hf_hub_download(self.repository, name))
        except Exception as error:  # the hub's client has exceptions of its own library's
            raise ConfigError(_by_hand(self.key, self.repository, name, error)) from error

    def look(self) -> None:
        """Make sure that `get` would find it, without downloading it.

        Raises:
            ConfigError: as `get`.
        """
        listing = _listing(self.repository)
        if isinstance(listing, Exception):
            self._cached(listing)
        else:
            self._listed(listing)

    def _listed(self, listing: set[str]) -> str:
        name = next((name for name in self.names if name in listing), None)
        if name is None:
            raise ConfigError(
                f"models.{self.key}: {constants.ENDPOINT}/{self.repository} holds no "
                f"{' and no '.join(self.names)}"
            )
        return name

    def _cached(self, error: Exception) -> Path:
        for name in self.names:
            try:
                return Path(hf_hub_download(self.repository, name, local_files_only=True))
            except LocalEntryNotFoundError:
                continue
            except ValueError as invalid:  # what is no name of a repository
                raise ConfigError(f"models.{self.key}: {reason(invalid)}") from invalid
        wanted = " or ".join(self.names)
        raise ConfigError(_by_hand(self.key, self.repository, wanted, error))


def _listing(repository: str) -> set[str] | Exception:
    """Names of a hub repository's files, or why there are none within PATIENCE."""
    answers: Queue[set[str] | Exception] = Queue()

    def ask() -> None:
        try:
            siblings = HfApi().model_info(repository, timeout=PATIENCE).siblings or []
            answers.put({sibling.rfilename for sibling in siblings})
        except Exception as error:  # the hub's client has exceptions of its own library's
            answers.put(error)

    # In a thread: a time-out holds for each of the hub's addresses, and not for their look-up.
    Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except Empty:
        return TimeoutError(f"no answer within {PATIENCE:g} s")


def _by_hand(key: str, repository: str, wanted: str, error: Exception) -> str:
    return (
        f"models.{key}: cannot fetch {wanted} of {constants.ENDPOINT}/{repository} "
        f"({reason(error)}), and the cache {constants.HF_HUB_CACHE} does not hold it. Either set "
        "HF_HOME to the home of a cache that holds it. Or download by hand from there:\n"
        f"  {CONFIG} and {WEIGHTS} into data/models/{key}/, set models.{key}.name to "
        f"{HERE}/{key} with nothing but a note beside it, and take {key} out of outside.models;\n"
        f"  or, where it has only {CHECKPOINT}, {CONFIG} and that into another folder, and set "
        f"models.{key}.name to local-dir:<folder> without pretrained"
    )
