"""The command `audit`: what is done to audits besides running them with `dvc repro`."""
