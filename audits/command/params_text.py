"""Adding entries to params.yaml as a text.

Every comment and blank line stays as it is. YAML libraries that write a file back change some:
ruamel.yaml turns `null` into nothing.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from pipeline.config import ConfigError

__all__ = ["Addition", "edited", "without"]

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


def without(text: str, entries: dict[str, list[str]], outside: dict[str, list[str]]) -> str:
    """The text of params.yaml less some entries, and less names in lists under outside.

    Comments go with the entry that they stand in; all else stays byte for byte.

    Args:
        text: of params.yaml.
        entries: section → names.
        outside: key of outside → names.

    Raises:
        ConfigError: the text is laid out so that they cannot be taken out.
    """
    new, expected = text if text.endswith("\n") else f"{text}\n", yaml.safe_load(text)
    for section, names in entries.items():
        for name in names:
            new = _less_entry(new, section, name)
            del expected[section][name]
    for key, names in outside.items():
        for name in names:
            new = _less_item(new, key, name)
            expected["outside"][key].remove(name)
    try:
        done = yaml.safe_load(new) == expected
    except yaml.YAMLError:
        done = False
    if not done:
        lists = {f"outside.{key}": names for key, names in outside.items()}
        raise ConfigError(
            "params.yaml is not laid out as it came (sections of one entry a line), so entries "
            "have to be taken out by hand: "
            + "; ".join(f"of {key} {', '.join(names)}" for key, names in (entries | lists).items())
        )
    return new


def _less_entry(text: str, section: str, name: str) -> str:
    """The text without an entry of a section, with the lines that stand in it."""
    top = _top(text)
    at = [key.value for key, _ in top].index(section)
    keys = [key for key, _ in top[at][1].value]
    number = [key.value for key in keys].index(name)
    lines = text.splitlines(keepends=True)
    start, after = (
        keys[number].start_mark,
        [*keys[number + 1 :], *(key for key, _ in top[at + 1 :])],
    )
    end = after[0].start_mark.line if after else len(lines)
    # Blank lines and comments that stand no deeper than the entry belong to what follows.
    while not (line := lines[end - 1]).strip() or (
        line.lstrip().startswith("#") and len(line) - len(line.lstrip()) <= start.column
    ):
        end -= 1
    del lines[start.line : end]
    if len(keys) == 1:
        mark = top[at][0].end_mark
        line = lines[mark.line]
        lines[mark.line] = f"{line[: mark.column + 1]} {{}}{line[mark.column + 1 :]}"
    return "".join(lines)


def _less_item(text: str, key: str, name: str) -> str:
    """The text without a name in a list under outside, in brackets or with dashes."""
    outside = next(value for found, value in _top(text) if found.value == "outside")
    title, names = next(pair for pair in outside.value if pair[0].value == key)
    items = names.value
    at = [item.value for item in items].index(name)
    if names.flow_style:
        first = items[at - 1].end_mark if at else items[0].start_mark
        last = items[1].start_mark if len(items) > 1 and not at else items[at].end_mark
        return text[: first.index] + text[last.index :]
    lines = text.splitlines(keepends=True)
    del lines[items[at].start_mark.line]
    if len(items) == 1:
        line, column = lines[title.end_mark.line], title.end_mark.column + 1
        lines[title.end_mark.line] = f"{line[:column]} []{line[column:]}"
    return "".join(lines)


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
