"""Fixtures: the invented audit as the current directory."""

import shutil

import pytest


@pytest.fixture(scope="session")
def built(tmp_path_factory, clip_folder):
    """A folder with an audit of random images."""
    from tests.audits.explain.invented import build

    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        build(clip_folder)
    return folder


@pytest.fixture
def audited(built, tmp_path, monkeypatch):
    """A copy of it as the current directory."""
    from audits.explain import __main__ as command
    from tests.audits.explain.invented import params

    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_params", params)
    return tmp_path
