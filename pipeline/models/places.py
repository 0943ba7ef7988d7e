"""Where the files of a model lie: in a folder, or in a hub repository and its cache.

Of a repository's files those in the cache are taken, others are downloaded, and where neither is
possible a message says what to do.
"""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline.artifacts.litter import is_litter
from pipeline.config import HERE, ConfigError
from pipeline.models.folder import CHECKPOINT, CONFIG, WEIGHTS, reason
from pipeline.models.tensors import FOREIGN, of_other_framework

PATIENCE = 10.0
"""Seconds that the hub has to answer; its client would try for minutes."""


def safe_first(filename: str) -> tuple[str, str]:
    """Names of a repository's weights, safetensors before what may hold a pickle."""
    safe = WEIGHTS if filename == CHECKPOINT else str(Path(filename).with_suffix(".safetensors"))
    return safe, filename


class Place(ABC):
    """Files of one model, by their names."""

    def __init__(self, key: str, name: str) -> None:
        """
        Args:
            key: the model's in params.yaml, for messages.
            name: of the place, for messages.
        """
        self.key, self.name = key, name

    @abstractmethod
    def find(self, *names: str) -> Path | None:
        """The first of the files that is there; None where there is none of them."""

    @abstractmethod
    def lacking(self, *names: str) -> str:
        """That there is none of the files, and what to do."""

    def get(self, *names: str) -> Path:
        """The first of the files that is there.

        Raises:
            ConfigError: there is none of them; the message says what to do.
        """
        if (found := self.find(*names)) is None:
            raise ConfigError(self.lacking(*names))
        return found

    def look(self, *names: str) -> None:
        """Make sure that `get` would find one, without downloading it.

        Raises:
            ConfigError: as `get`.
        """
        self.get(*names)


class Folder(Place):
    """A folder."""

    def __init__(self, key: str, path: Path) -> None:
        """As a `Place` of that path."""
        super().__init__(key, str(path))
        self.path = path

    def find(self, *names: str) -> Path | None:
        """As `Place.find`."""
        return next((self.path / name for name in names if (self.path / name).is_file()), None)

    def lacking(self, *names: str) -> str:
        """As `Place.lacking`."""
        there = {path.name for path in self.path.iterdir() if not is_litter(path.name)}
        return f"models.{self.key}: {self.path} holds no {' and no '.join(names)}{_instead(there)}"


class Repository(Place):
    """A repository of the Hugging Face hub, `<organisation>/<name>`."""

    def find(self, *names: str) -> Path | None:
        """As `Place.find`; what the hub has and the cache has not is downloaded.

        Raises:
            ConfigError: the name is no repository's, or a file of it cannot be downloaded.
        """
        if isinstance(self._listing, Exception):
            return self._cached(names)
        name = next((name for name in names if name in self._listing), None)
        if name is None:
            return None
        try:
            return Path(hf_hub_download(self.name, name))
        except Exception as error:  # the hub's client has exceptions of its own library's
            raise ConfigError(self._by_hand(name, error)) from error

    def look(self, *names: str) -> None:
        """As `Place.look`."""
        if isinstance(self._listing, Exception):
            super().look(*names)
        elif self._listing.isdisjoint(names):
            raise ConfigError(self.lacking(*names))

    def lacking(self, *names: str) -> str:
        """As `Place.lacking`."""
        if isinstance(self._listing, Exception):
            return self._by_hand(" or ".join(names), self._listing)
        return (
            f"models.{self.key}: {constants.ENDPOINT}/{self.name} holds no "
            f"{' and no '.join(names)}{_instead(self._listing)}"
        )

    @cached_property
    def _listing(self) -> set[str] | Exception:
        """Names of the repository's files, or why there are none within PATIENCE."""
        answers: Queue[set[str] | Exception] = Queue()

        def ask() -> None:
            try:
                siblings = HfApi().model_info(self.name, timeout=PATIENCE).siblings or []
                answers.put({sibling.rfilename for sibling in siblings})
            except Exception as error:  # the hub's client has exceptions of its own library's
                answers.put(error)

        # In a thread: a time-out holds for each of the hub's addresses, and not for their look-up.
        Thread(target=ask, daemon=True).start()
        try:
            return answers.get(timeout=PATIENCE)
        except Empty:
            return TimeoutError(f"no answer within {PATIENCE:g} s")

    def _cached(self, names: tuple[str, ...]) -> Path | None:
        for name in names:
            try:
                return Path(hf_hub_download(self.name, name, local_files_only=True))
            except LocalEntryNotFoundError:
                continue
            except ValueError as invalid:  # what is no name of a repository
                raise ConfigError(f"models.{self.key}: {reason(invalid)}") from invalid
        return None

    def _by_hand(self, wanted: str, error: Exception) -> str:
        return (
            f"models.{self.key}: cannot fetch {wanted} of {constants.ENDPOINT}/{self.name} "
            f"({reason(error)}), and the cache {constants.HF_HUB_CACHE} does not hold it. Either "
            "set HF_HOME to the home of a cache that holds it. Or download by hand from there:\n"
            f"  {CONFIG} and {WEIGHTS} into data/models/{self.key}/, set models.{self.key}.name to "
            f"{HERE}/{self.key} with nothing but a note beside it, and take {self.key} out of "
            "outside.models;\n"
            f"  or, where it has others, such as {CHECKPOINT} or transformers' config.json and "
            f"model.safetensors, all its files into another folder, and set models.{self.key}.name "
            "to local-dir:<folder> without pretrained"
        )


def _instead(names: set[str]) -> str:
    """Which weights of other frameworks are there, and what to do."""
    foreign = {FOREIGN[suffix] for name in names if (suffix := Path(name).suffix) in FOREIGN}
    return f": {of_other_framework(' and '.join(sorted(foreign)))}" if foreign else ""
