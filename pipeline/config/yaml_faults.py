"""What is wrong with a text that is no YAML, said of the file that it stands in."""

from pathlib import Path

import yaml

from pipeline.config.base import ConfigError

__all__ = ["not_yaml"]


def not_yaml(path: Path, text: str, error: Exception) -> ConfigError:
    """What PyYAML says of a text, with the file's name, and tabs named where they may be why.

    Args:
        path: of the file.
        text: what it holds, or nothing where it cannot be decoded.
        error: what reading it raised.
    """
    said = str(error).replace('"<unicode string>"', str(path))
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    lines = text.splitlines()
    tabs = [
        number + 1
        for number in ((mark.line - 1, mark.line) if mark else ())
        if 0 <= number < len(lines) and "\t" in _indent(lines[number])
    ]
    if tabs:
        said += f"\nline {tabs[0]} begins with a tab, and YAML takes no tabs there: put spaces"
    return ConfigError(f"{path} is not valid YAML: {said}")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
