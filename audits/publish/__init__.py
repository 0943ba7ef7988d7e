"""Stage `publish`: one MLflow run for each version of an audit's report."""
