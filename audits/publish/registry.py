"""An audit's SAE and head as a registered model of MLflow, a version for each of the audit's."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from audits.publish.model import Model
from audits.publish.version import FINGERPRINT_TAG, Version
from pipeline.artifacts.store import write_json

if TYPE_CHECKING:
    import mlflow

__all__ = ["CONTENT_TAG", "CURRENT_ALIAS", "FOLDER", "register"]

FOLDER = "model"
"""Artifact of a run that holds the model."""
CONTENT_TAG = "audit.model_sha256"
"""Tag of a model's version: hash of all that it holds."""
CURRENT_ALIAS = "current"
"""Alias of the version that was published last: models:/AUDIT@current."""
CODE = Path(__file__).with_name("served.py")
NEEDS = ["clip-audit", "mlflow"]
"""Requirements that the model names: the repository's lock has the versions."""


def register(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", version: Version) -> None:
    """Make the one version of an audit's registered model that is of this version of the audit.

    A model that an earlier version has as well is not stored again. Call it under the lock.
    """
    name, model = version.audit, version.model
    known = list(_versions(client, name))
    own = next((one for one in known if one.tags.get(FINGERPRINT_TAG) == version.fingerprint), None)
    alike = [one for one in known if one.tags.get(CONTENT_TAG) == model.content]
    source = next((one.source for one in alike if _is_there(client, one.source)), None)
    if source is None:
        _store(client, run.info.run_id, model)
        source = f"runs:/{run.info.run_id}/{FOLDER}"
    if own is not None and own.source != source:  # what it was made of is lost
        client.delete_model_version(name, own.version)
        own = None
    if own is None:
        if not known:
            _create(client, name)
        tags = {FINGERPRINT_TAG: version.fingerprint, CONTENT_TAG: model.content}
        own = client.create_model_version(
            name, source, run.info.run_id, tags=tags, description=version.headline
        )
    aliases = client.get_registered_model(name).aliases
    if str(aliases.get(CURRENT_ALIAS)) != str(own.version):
        client.set_registered_model_alias(name, CURRENT_ALIAS, str(own.version))


def _versions(
    client: "mlflow.MlflowClient", name: str
) -> Iterator["mlflow.entities.model_registry.ModelVersion"]:
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _create(client: "mlflow.MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    said = f"Codes and relevance of images by the SAE and head of audit {name} (clip-audit)."
    try:
        client.create_registered_model(name, description=said)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _is_there(client: "mlflow.MlflowClient", source: str) -> bool:
    """Whether the run that a model lies in still has it."""
    from mlflow.exceptions import MlflowException

    run_id, _, path = source.removeprefix("runs:/").partition("/")
    try:
        return any(item.path == f"{path}/MLmodel" for item in client.list_artifacts(run_id, path))
    except MlflowException:
        return False


def _store(client: "mlflow.MlflowClient", run_id: str, model: Model) -> None:
    # MLflow warns of type hints that it has itself, of one that takes images and embeddings, and of
    # a missing example, which would have to be an image.
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        warnings.filterwarnings("ignore", ".*([Tt]ype hint|input example)")
        # Imported late: it takes seconds.
        from mlflow.models import ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import ParamSchema, ParamSpec

        content, folder = Path(scratch) / "audit", Path(scratch) / FOLDER
        content.mkdir()
        for name, path in model.files.items():
            shutil.copy(path, content / name)
        write_json(content / "about.json", model.about)
        save_model(
            folder,
            python_model=str(CODE),
            artifacts={"audit": str(content)},
            model_config={"clip": ""},
            pip_requirements=NEEDS,
            signature=ModelSignature(params=ParamSchema([ParamSpec("label", "string", "")])),
        )
        client.log_artifacts(run_id, str(folder), FOLDER)
