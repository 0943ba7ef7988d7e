"""`params.yaml`, parsed once into frozen models.

An unknown key, a contradiction or an impossible value raises ConfigError, which names the key,
the value and what is allowed. Fields have no defaults, but for what may be null in a model and
thresholds of which one is given: what runs is what `params.yaml` says, so that DVC sees every
change.
"""

from pipeline.config.audits import (
    AuditConfig,
    ConceptsConfig,
    DictionaryConfig,
    FailuresConfig,
    FaithfulnessConfig,
    LabelConfig,
    ModesConfig,
    ProbeConfig,
    Relevance,
    ReportConfig,
    ReviewConfig,
    RobustnessConfig,
    SaeConfig,
    StabilityConfig,
)
from pipeline.config.base import ConfigError, Count, Fraction, Name, Positive, Section
from pipeline.config.catalog import (
    CATALOG,
    default_audit,
    default_dataset,
    default_embeddings,
    merged,
    read_catalog,
)
from pipeline.config.data import (
    HERE,
    DatasetConfig,
    EmbedConfig,
    EmbeddingsConfig,
    ModelConfig,
    OutsideConfig,
    PreprocessConfig,
)
from pipeline.config.gate import BudgetConfig, GateConfig, UnreviewedConfig
from pipeline.config.params import Params, load_params
from pipeline.config.samples import LesionsConfig, PretrainConfig, SamplesConfig, ScenesConfig
from pipeline.config.shortcut import (
    COVERED,
    HUES,
    STATISTICS,
    SURROUNDINGS,
    AcquisitionConfig,
    Shift,
    ShortcutConfig,
)
from pipeline.config.verify import ToleranceConfig, VerifyConfig

__all__ = [
    "CATALOG",
    "COVERED",
    "HERE",
    "HUES",
    "STATISTICS",
    "SURROUNDINGS",
    "AcquisitionConfig",
    "AuditConfig",
    "BudgetConfig",
    "ConceptsConfig",
    "ConfigError",
    "Count",
    "DatasetConfig",
    "DictionaryConfig",
    "EmbedConfig",
    "EmbeddingsConfig",
    "FailuresConfig",
    "FaithfulnessConfig",
    "Fraction",
    "GateConfig",
    "LabelConfig",
    "LesionsConfig",
    "ModelConfig",
    "ModesConfig",
    "Name",
    "OutsideConfig",
    "Params",
    "Positive",
    "PreprocessConfig",
    "PretrainConfig",
    "ProbeConfig",
    "Relevance",
    "ReportConfig",
    "ReviewConfig",
    "RobustnessConfig",
    "SaeConfig",
    "SamplesConfig",
    "ScenesConfig",
    "Section",
    "Shift",
    "ShortcutConfig",
    "StabilityConfig",
    "ToleranceConfig",
    "UnreviewedConfig",
    "VerifyConfig",
    "default_audit",
    "default_dataset",
    "default_embeddings",
    "load_params",
    "merged",
    "read_catalog",
]
