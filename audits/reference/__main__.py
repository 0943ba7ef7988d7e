"""Stage `reference`: the relevance that each component is expected to have for each class.

For every class, relevance of each component for the class's own prompt over the class's own train
images: what a new image's relevance is compared with (paper, Sec. 4.2b). Each image is read once,
in blocks that are merged.
"""

from audits.inputs import load_inputs
from audits.reference.expected import reference
from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import write_table


def main() -> None:
    """Compute an audit's expected relevance."""
    name, params = begin(__doc__)
    kind = params.audit(name).failures.relevance
    table, classes = reference(load_inputs(params, name), kind)
    folder = layout.reference(name)
    write_table(folder / "reference.parquet", table)
    write_table(folder / "classes.parquet", classes)


if __name__ == "__main__":
    main()
