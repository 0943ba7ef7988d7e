"""`audit concepts`: the components that answer to a text or an image most, and least."""

import argparse
import sys
from pathlib import Path

from audits.report.gallery import Gallery
from audits.search import look
from audits.search.page import page
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import atomic, json_text
from pipeline.config import load_params

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit concepts scenes-tiny --prompt "a photo of snow" --prompt writing
  audit concepts scenes-tiny --image data/raw/scenes/val/bat/00003.jpg --top 3
  audit concepts scenes-tiny --prompt bat --json
  audit concepts scenes-tiny --prompt writing --html explanations/writing.html

A text is compared with what the images show on which a component fires most, as the dataset's
labeler sees it; an image goes through the audited model.
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "concepts",
        description="List the components of an audit's sparse autoencoder that answer to a text or "
        "an image most and least: names, how clear and how stable they are, the findings that they "
        "are part of, and train images on which they fire most. Needs what `dvc repro report@NAME` "
        "leaves in data/; changes nothing there.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument(
        "--prompt", action="append", metavar="TEXT", help="a word or more; give it again for others"
    )
    asked.add_argument(
        "--image", action="append", type=Path, metavar="FILE", help="any image file; likewise"
    )
    parser.add_argument(
        "--top", type=int, default=5, metavar="N", help="components at either end (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--html", type=Path, metavar="OUT", help="also write a self-contained page with pictures"
    )
    parser.set_defaults(run=_run, command="concepts")


def _run(arguments: argparse.Namespace) -> str:
    if arguments.top < 1:
        raise ValueError(f"--top {arguments.top} is not 1 or more")
    params = load_params()
    params.audit(arguments.name)
    set_threads(params.threads, params.seed)
    library = look.read_library(params, arguments.name)
    answers = [look.look_for_text(library, prompt) for prompt in arguments.prompt or []]
    answers += [look.look_for_image(library, path) for path in arguments.image or []]
    records = [look.record(library, answer, arguments.top) for answer in answers]
    if arguments.html is not None:
        config, audited = params.audit(arguments.name).report, library.audited
        gallery = Gallery(
            audited.manifest, library.root, audited.reading, audited.names, config.thumbnail
        )
        text = page(arguments.name, library, records, gallery, config.gallery)
        with atomic(arguments.html) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {arguments.html}", file=sys.stderr)
    if arguments.json:
        return json_text({"audit": arguments.name, "answers": records})
    return look.table(arguments.name, records, len(library.audited.sae.atoms))
