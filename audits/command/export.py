"""`audit export`: an audit's SAE, or its findings, in the format of another tool."""

import argparse
from pathlib import Path

from safetensors.torch import save_file

from audits.export import fiftyone, sae_lens
from pipeline import layout
from pipeline.artifacts.store import atomic, read_json, read_table, write_json
from pipeline.config import Params, load_params
from pipeline.sae import files

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit export scenes-tiny --sae exported/scenes-sae
  audit export scenes-tiny --fiftyone exported/scenes-findings

In Python, where these are installed:
  SAE.load_from_disk("exported/scenes-sae")                       # sae_lens
  fo.Dataset.from_dir("exported/scenes-findings",                 # fiftyone
      dataset_type=fo.types.FiftyOneImageClassificationDataset)

The SAE reads class tokens before ln_post, of the audited model (data/embeddings). labels.json
beside it has every component's name. Findings name their images by absolute paths: import them
where they were exported.
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "export",
        description="Write an audit's sparse autoencoder and the names of its components as "
        "SAELens reads them (cfg.json, sae_weights.safetensors, labels.json), or its findings and "
        "their images as a dataset that FiftyOne imports (labels.json). Needs what "
        "`dvc repro report@NAME` leaves; changes nothing there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sae", type=Path, metavar="DIR", help="write the SAE into this folder")
    what.add_argument("--fiftyone", type=Path, metavar="DIR", help="write the findings into it")
    parser.set_defaults(run=_run, command="export")


def _run(arguments: argparse.Namespace) -> str:
    params = load_params()
    params.audit(arguments.name)
    if arguments.sae:
        return export_sae(params, arguments.name, arguments.sae)
    return export_findings(params, arguments.name, arguments.fiftyone)


def export_sae(params: Params, name: str, folder: Path) -> str:
    """Write an SAE and its labels; what was written, in words.

    Raises:
        OSError, ValueError: the audit has no SAE or labels yet, or they cannot be read.
    """
    audit = params.audit(name)
    sae = files.load(layout.sae(name))
    model = read_json(layout.head(audit.embeddings) / "model.json")
    about = {
        "model_name": f"{audit.model}: {params.models[audit.model].name}",
        "hook_name": "visual.ln_post, its input, class token",
        "weights_sha256": model["weights_sha256"],
        "dataset": read_json(layout.manifest(audit.dataset) / "dataset.json")["fingerprint"],
        "audit": name,
    }
    labels = read_table(layout.labels(name))
    for column in ("top_images", "runners_up", "margins"):
        labels[column] = labels[column].map(list)
    # Without cfg.json SAELens reads nothing: an export that is stopped is not taken for whole.
    (folder / "cfg.json").unlink(missing_ok=True)
    with atomic(folder / "sae_weights.safetensors") as temporary:
        save_file(sae_lens.tensors(sae), temporary)
    write_json(folder / "labels.json", {"components": labels.to_dict("records")})
    write_json(folder / "cfg.json", sae_lens.config(sae, about))
    components, width = sae.atoms.shape
    return f"{folder}: {components} components of {width} dimensions, with labels"


def export_findings(params: Params, name: str, folder: Path) -> str:
    """Write findings and where their images are; what was written, in words.

    Raises:
        OSError: the audit has no report yet.
    """
    audit = params.audit(name)
    findings = read_table(layout.report(name) / "findings.csv")
    manifest = read_table(
        layout.manifest(audit.dataset) / "manifest.parquet", ["image_id", "path", "label"]
    )
    evidence = read_json(layout.audit(name, "review") / "evidence.json")
    shows = {finding_id: about["shows"] for finding_id, about in evidence.items()}
    found, left_out = fiftyone.labels(findings, manifest, params.dataset(audit.dataset).root, shows)
    write_json(folder / "labels.json", found)
    # FiftyOne wants one and leaves it unread, for the labels have whole paths. A data.json it takes
    # only where it is told to.
    (folder / "data").mkdir(exist_ok=True)
    said = f"{folder}: {len(found['labels'])} images of {len(findings)} findings"
    if left_out:
        said += f"; {len(left_out)} left out, which are no files, such as {left_out[0]}"
    return said
