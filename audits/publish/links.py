"""Where MLflow 3.17 shows what was published, as routes behind its address.

MLflow opens an experiment in its view of traces, where no run is; these lead past it.
"""

__all__ = ["artifact", "run", "runs"]


VIEW = "workflowType=machine_learning"


def artifact(experiment: str, run_id: str, name: str) -> str:
    """An artifact of a run, such as its report.html."""
    return f"#/experiments/{experiment}/runs/{run_id}/artifacts/{name}?{VIEW}"


def run(experiment: str, run_id: str) -> str:
    """A run: its description, metrics and parameters."""
    return f"#/experiments/{experiment}/runs/{run_id}?{VIEW}"


def runs(experiment: str) -> str:
    """The table of an experiment's runs."""
    return f"#/experiments/{experiment}/runs?{VIEW}"
