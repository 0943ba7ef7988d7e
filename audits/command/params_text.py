"""Adding entries to params.yaml as a text.

Every comment and blank line stays as it is. YAML libraries that write a file back change some:
ruamel.yaml turns `null` into nothing.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from pipeline.config import ConfigError

__all__ = ["Addition", "edited"]

WIDTH = 100
"""Characters of a line at most, where a mapping is written in one."""


@dataclass(frozen=True)
class Addition:
    """What is to be put into params.yaml."""

    entries: dict[str, dict[str, dict[str, Any]]]
    """Section → name → entry."""
    outside: dict[str, list[str]]
    """Key of outside → names."""
    about: list[str]
    """What is to be said of the entries."""


def edited(text: str, addition: Addition) -> str:
    """The text of params.yaml with an addition, all else byte for byte as it was.

    Raises:
        ConfigError: the text is laid out so that it cannot be added to.
    """
    new = text if text.endswith("\n") else f"{text}\n"
    try:
        for section, entries in addition.entries.items():
            for name, entry in entries.items():
                new = _with_entry(new, section, name, entry)
        for key, names in addition.outside.items():
            for name in names:
                new = _with_item(new, key, name)
        done = yaml.safe_load(new) == _expected(yaml.safe_load(text), addition)
    except yaml.YAMLError:
        done = False
    if not done:
        blocks = [
            f"{section}:\n" + _block(name, entry, 2)
            for section, entries in addition.entries.items()
            for name, entry in entries.items()
        ]
        raise ConfigError(
            "params.yaml is not laid out as it came (sections of one entry a line), so it has to "
            "be edited by hand. Add\n"
            + "".join(blocks)
            + "".join(
                f"outside.{key}: {', '.join(names)}\n"
                for key, names in addition.outside.items()
                if names
            )
        )
    return new


def _expected(old: dict[str, Any], addition: Addition) -> dict[str, Any]:
    """What the new text has to say."""
    added = {section: old[section] | entries for section, entries in addition.entries.items()}
    outside = {key: names + addition.outside[key] for key, names in old["outside"].items()}
    return old | added | {"outside": outside}


def _with_entry(text: str, section: str, name: str, entry: dict[str, Any]) -> str:
    """The text with an entry at the end of a section."""
    top = _top(text)
    at = [key.value for key, _ in top].index(section)
    value = top[at][1]
    if value.flow_style and not value.value:  # section: {}
        start, end = value.start_mark.index, value.end_mark.index
        line_end = text.index("\n", end) + 1
        opened = text[:start].rstrip(" ") + text[end:line_end]
        return opened + _block(name, entry, 2) + text[line_end:]
    lines = text.splitlines(keepends=True)
    end = top[at + 1][0].start_mark.line if at + 1 < len(top) else len(lines)
    # Blank lines and unindented comments before the next section belong to that one.
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    lines.insert(end, _block(name, entry, value.start_mark.column))
    return "".join(lines)


def _with_item(text: str, key: str, name: str) -> str:
    """The text with a name at the end of a list under outside, in brackets or with dashes."""
    top = _top(text)
    outside = next(value for found, value in top if found.value == "outside")
    names = next(value for found, value in outside.value if found.value == key)
    item = yaml.safe_dump([name], default_flow_style=True).strip()[1:-1]
    if not names.flow_style:
        lines = text.splitlines(keepends=True)
        line = f"{' ' * names.start_mark.column}- {item}\n"
        lines.insert(names.value[-1].end_mark.line + 1, line)
        return "".join(lines)
    at = names.value[-1].end_mark.index if names.value else names.start_mark.index + 1
    return f"{text[:at]}{', ' if names.value else ''}{item}{text[at:]}"


def _top(text: str) -> list[tuple[yaml.Node, Any]]:
    """Keys and values of the document, which know where they stand in the text."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return root.value


def _block(name: str, entry: dict[str, Any], indent: int) -> str:
    """Lines of an entry."""
    lines = [f"{_flow(name)}:", *(f"  {line}" for line in _lines(entry, indent + 2))]
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _lines(entry: dict[str, Any], indent: int) -> list[str]:
    """Lines of a mapping that starts at a column: what fits is written in one line a key."""
    lines = []
    for key, value in entry.items():
        line = f"{_flow(key)}: {_flow(value)}"
        if isinstance(value, dict) and value and indent + len(line) > WIDTH:
            lines += [f"{_flow(key)}:", *(f"  {part}" for part in _lines(value, indent + 2))]
        else:
            lines.append(line)
    return lines


def _flow(value: Any) -> str:
    """A value in one line, as params.yaml is written."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6
    ).removesuffix("...\n")
    return text.removesuffix("\n")


class _Dumper(yaml.SafeDumper):
    """Writes mappings and lists in one line, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _mapping(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _float(dumper: yaml.SafeDumper, data: float) -> yaml.Node:
    # 0.00005 rather than 5.0e-05.
    return dumper.represent_scalar("tag:yaml.org,2002:float", format(Decimal(repr(data)), "f"))


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(float, _float)
