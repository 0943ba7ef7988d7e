"""`python -m audits.explain`: what speaks for a prompt in one image, and what against."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from audits.explain.explanation import explain
from audits.explain.page import page
from audits.explain.record import record
from audits.explain.sources import ask_classes, ask_prompts, read_audited, read_picture
from audits.explain.table import table
from audits.output import show
from audits.report.gallery import Gallery
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import atomic, json_text
from pipeline.config import load_params

DESCRIPTION = """\
Say which components of an audit's sparse autoencoder speak for a prompt in one image, and which
against: what each does to the model's output, what it is called, and where else it fires. Any image
file will do, not only the dataset's. Needs what `dvc repro report@NAME` leaves in data/; changes
nothing there."""
EXAMPLE = """\
example:
  python -m audits.explain --audit scenes-tiny --image data/raw/scenes/val/bat/00003.jpg \\
      --class bat --class bear --html explanations/bat.html

A table goes to the terminal, JSON instead with --json, and a page of its own with --html. Several
--prompt or several --class are explained one after the other."""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="python -m audits.explain",
        description=DESCRIPTION,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--audit", required=True, metavar="NAME", help="an audit of params.yaml")
    made.add_argument("--image", required=True, type=Path, metavar="FILE")
    asked = made.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help='such as "a photo of a cat"; give it again to compare',
    )
    asked.add_argument(
        "--class",
        dest="label",
        action="append",
        metavar="LABEL",
        help="a class of the audit's dataset, whose prompt is its short name; give it again to "
        "compare",
    )
    made.add_argument(
        "--top",
        type=_count,
        default=5,
        metavar="N",
        help="components for and components against that the table and the page show, with where "
        "in the image they fire (%(default)s); JSON has all components, and maps of these",
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of the table")
    made.add_argument(
        "--html", type=Path, metavar="OUT", help="also write a self-contained page with pictures"
    )
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Explain one image; what a user can put right is one message and exit code 1."""
    chosen = parser().parse_args(arguments)
    try:
        show(run(chosen))
    except (OSError, ValueError) as error:
        sys.exit(f"explain: {error}")


def run(chosen: argparse.Namespace) -> str:
    """Write the page where it is asked for, and return what is printed.

    Raises:
        OSError: the image or an artifact is missing.
        ValueError: the image, a prompt, a class or an artifact cannot be used.
    """
    params = load_params()
    audit = params.audit(chosen.audit)
    set_threads(params.threads, params.seed)
    audited = read_audited(params, chosen.audit)
    picture = read_picture(chosen.image, audited)
    asked = (
        ask_classes(chosen.label, audited)
        if chosen.label
        else ask_prompts(chosen.prompt, audited.clip)
    )
    explanations = [explain(picture, one, audited, chosen.top) for one in asked]
    if chosen.html is not None:
        root = params.dataset(audit.dataset).root
        edge = audit.report.thumbnail
        gallery = Gallery(audited.manifest, root, audited.reading, audited.names, edge)
        text = page(picture, explanations, audited, gallery, chosen.top, audit.report.gallery)
        with atomic(chosen.html) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {chosen.html}", file=sys.stderr)
    if chosen.json:
        return json_text(record(picture, explanations, audited))
    return table(picture, explanations, audited, chosen.top)


if __name__ == "__main__":
    main()
