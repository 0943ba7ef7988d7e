"""What every section of params.yaml shares."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ConfigError(ValueError):
    """params.yaml says something that cannot be run."""


class Section(BaseModel):
    """A part of params.yaml: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", text):
        raise ValueError(
            "a name is a letter a-z and then a-z, 0-9, - or _, so that files can be called by it "
            "and `dvc exp run -S` can name its keys"
        )
    return text


Name = Annotated[str, AfterValidator(_name)]
