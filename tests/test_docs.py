"""The documents say what the code says: settings, codes, faults, dependencies, commands, links, both languages.

No network, no process, no file written.
"""

import importlib
import re
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml

from chaos.cli import build
from chaos.commands.options import Group
from chaos.faults import FAULTS, SCENARIOS
from chaos.texts import Say
from chassis import reasons
from chassis.catalogue import MESSAGES, PROBLEMS, Text
from chassis.errors import ServiceError
from chassis.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("resilience/*.md")])
SERVICES = tuple(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"])
ADR_HEADINGS = ["Context", "Decision", "Consequences", "Alternatives", "Revisit when"]

# Written in pieces: this file is one of those that must not name them.
FORBIDDEN = ["/" + "work/", "/" + "root/", "/" + "home/", "pypi" + ".org", "python" + "hosted"]
FORBIDDEN += ["registry." + "npmjs", "deb." + "debian.org", "--" + "index-url"]

ids = {"ids": lambda path: path.relative_to(ROOT).as_posix()}


@cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", read(path), flags=re.MULTILINE | re.DOTALL)


def code_blocks(path: Path) -> list[str]:
    return re.findall(r"^```.*?^```$", read(path), flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> list[tuple[int, str]]:
    return [
        (len(marks), text) for marks, text in re.findall(r"^(#+) (.+)$", prose(path), re.MULTILINE)
    ]


def section(path: Path, title: str) -> str:
    """The text under `## title`."""
    found = re.search(
        rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", prose(path), re.MULTILINE | re.DOTALL
    )
    assert found, f"{path.name} has no section {title!r}"
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of the tables in `text` whose first cell is one `name`, by that name."""
    found: dict[str, list[str]] = {}
    for line in re.findall(r"^\| `[^`|]+` \|.*$", text, re.MULTILINE):
        name, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
        assert name not in found, f"two rows for {name}"
        found[name.strip("` ")] = [cell.strip("| ") for cell in cells]
    return found


def spoken(value: object) -> str:
    """A default as the configuration page writes it."""
    match value:
        case None:
            return "unset"
        case bool():
            return f"`{int(value)}`"
        case float():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def settings_of(service: str) -> type[ServiceSettings]:
    return importlib.import_module(f"{service}.settings").Settings


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_has_a_row_with_its_default_and_no_row_is_left_over(service):
    fields = settings_of(service).model_fields
    shared = rows(section(DOCS / "configuration.md", "Every service"))
    own = rows(section(DOCS / "configuration.md", service))
    documented = {name: cells[0] for name, cells in {**shared, **own}.items()}
    assert documented == {name.upper(): spoken(field.default) for name, field in fields.items()}
    assert all(cells[-1] for cells in [*shared.values(), *own.values()]), "a row without a meaning"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_describes_itself(service):
    silent = [
        name for name, field in settings_of(service).model_fields.items() if not field.description
    ]
    assert silent == []


def test_readme_settings_exist_and_have_the_default_it_says():
    known = {
        name.upper(): spoken(field.default).strip("`")
        for service in SERVICES
        for name, field in settings_of(service).model_fields.items()
    }
    for page, title, unset in (
        ("README.md", "Settings", "unset"),
        ("README.es.md", "Ajustes", "sin valor"),
    ):
        table = rows(section(ROOT / page, title))
        assert table
        for name, cells in table.items():
            assert cells[0].strip("`").replace(unset, "unset") == known[name], f"{page}: {name}"


def _error_rows() -> dict[str, list[str]]:
    titles = ("What a buyer may see", "Between services and in the lab")
    return rows("".join(section(DOCS / "errors.md", title) for title in titles))


def test_every_code_of_the_catalogue_has_a_row_and_every_row_a_code():
    table = _error_rows()
    assert set(table) == set(PROBLEMS)
    assert all(len(cells) == 4 and all(cells) for cells in table.values())


def test_every_row_of_the_errors_page_says_the_status_that_the_classes_have():
    for service in ("chassis", *SERVICES):
        if find_spec(f"{service}.errors"):
            importlib.import_module(f"{service}.errors")
    table = _error_rows()
    for error in _all_below(ServiceError):
        if "code" in vars(error):
            assert table[error.code][0] == str(error.status), f"{error.__module__}.{error.__name__}"


def _all_below(kind: type[ServiceError]) -> list[type[ServiceError]]:
    return [found for child in kind.__subclasses__() for found in (child, *_all_below(child))]


def test_every_fault_has_a_row_with_its_services_and_defaults():
    table = rows(section(DOCS / "faults.md", "Every fault"))
    assert set(table) == {fault.name for fault in FAULTS}
    for fault in FAULTS:
        services, seconds, probability, seen, back = table[fault.name]
        assert services == (", ".join(fault.services) or "all")
        assert seconds == ("–" if fault.default_seconds is None else f"{fault.default_seconds:g}")
        assert probability == f"{fault.default_probability:g}"
        assert seen
        assert back


def test_the_six_scenarios_stand_in_course_order_with_their_service_and_fault():
    found = re.findall(
        r"^\| (\d) \| (.+?) \| `(.+?)` \| (.+?) \|",
        section(DOCS / "faults.md", "The six scenarios"),
        re.MULTILINE,
    )
    expected = []
    for number, one in enumerate(SCENARIOS, start=1):
        who = f"{one.service} · `{one.fault}`" if one.fault else "– (a load)"
        expected.append((str(number), one.title_es, one.name, who))
    assert found == expected


def test_every_dependency_has_a_row_with_licence_year_and_reason():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    wanted = {
        "At run time": project["project"]["dependencies"],
        "With the extra `otel`": project["project"]["optional-dependencies"]["otel"],
        "To build": project["dependency-groups"]["build"],
        "To develop and test": project["dependency-groups"]["dev"],
    }
    for title, requirements in wanted.items():
        table = rows(section(DOCS / "dependencies.md", title))
        assert set(table) == {
            re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in requirements
        }, title
        for name, (licence, year, reason) in table.items():
            assert licence, name
            assert re.fullmatch(r"20\d\d", year), name
            assert reason, name
    build = project["build-system"]["requires"]
    assert set(build) <= set(rows(section(DOCS / "dependencies.md", "To build")))


def _texts() -> dict[str, Text]:
    found = {f"problem {code} title": message.title for code, message in PROBLEMS.items()}
    found |= {f"problem {code} detail": message.detail for code, message in PROBLEMS.items()}
    found |= {f"message {name}": text for name, text in MESSAGES.items()}
    found |= {f"reason {kind}": text for kind, text in reasons._REASONS.items()}
    found |= {f"fault {one.name}": Text(one.summary_es, one.summary_en) for one in FAULTS}
    found |= {f"scenario {one.name}": Text(one.title_es, one.title_en) for one in SCENARIOS}
    return found | {
        f"expected {one.name}": Text(one.expected_es, one.expected_en) for one in SCENARIOS
    }


def test_every_text_is_there_in_both_languages():
    assert [
        name for name, text in _texts().items() if not (text.es.strip() and text.en.strip())
    ] == []


def test_both_languages_of_a_text_fill_the_same_holes():
    def holes(sentence: str) -> set[str]:
        return set(re.findall(r"\{\w+\}", sentence))

    assert [name for name, text in _texts().items() if holes(text.es) != holes(text.en)] == []


def test_both_readmes_have_the_same_shape_and_the_same_commands():
    english, spanish = ROOT / "README.md", ROOT / "README.es.md"
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(spanish)]
    assert code_blocks(english) == code_blocks(spanish)
    links = re.compile(r"\]\((?!README)([^)]+)\)")
    assert links.findall(read(english)) == links.findall(read(spanish))
    table_rows = re.compile(r"^\|.*\|$", re.MULTILINE)
    assert len(table_rows.findall(read(english))) == len(table_rows.findall(read(spanish)))


def _commands() -> list[str]:
    """The shell lines of README, continuation lines joined, and the commands in its tables and prose."""
    joined = "\n".join(code_blocks(ROOT / "README.md")).replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line and not line.startswith("```")]
    quoted = re.findall(r"`((?:make|python3? |\./scripts/)[^`]*)`", prose(ROOT / "README.md"))
    return [*lines, *quoted]


def test_make_targets_and_dev_tasks_that_readme_names_exist():
    targets = set(re.findall(r"^([a-z]+):.*##", read(ROOT / "Makefile"), re.MULTILINE))
    tasks = set(
        re.findall(
            r"^  ([a-z]+)(?: |$)",
            read(ROOT / "dev.py").split('HELP = """')[1].split('"""')[0],
            re.MULTILINE,
        )
    )
    named = [line.split()[1] for line in _commands() if line.startswith("make ")]
    assert named
    assert set(named) <= targets
    tasks_named = [found for line in _commands() for found in re.findall(r"dev\.py ([a-z]+)", line)]
    assert tasks_named
    assert set(tasks_named) <= tasks


def test_scripts_that_readme_names_exist():
    named = [found for line in _commands() for found in re.findall(r"scripts/\w+\.\w+", line)]
    assert len(set(named)) == 6
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_cli_commands_that_the_documents_name_parse():
    pages = [*_commands(), *re.findall(r"`([^`]+)`", prose(DOCS / "faults.md"))]
    lines = [found for line in pages for found in re.findall(r"dev\.py run (.+)", line)]
    assert len(lines) > 5
    for line in lines:
        _parse(line.split())


def _parse(words: list[str]) -> None:
    """Let click read a command line without running it."""
    if "--help" in words:
        words.remove("--help")
    command: click.Command = build(Say("en"))
    path = []
    while isinstance(command, Group) and words:
        path.append(words[0])
        assert words[0] in command.commands, f"no command {' '.join(path)}"
        command, words = command.commands[words[0]], words[1:]
    if not isinstance(command, Group):
        command.make_context(" ".join(path), words)


@pytest.mark.parametrize("path", ADRS, **ids)
def test_a_decision_has_its_five_headings_one_quotable_sentence_and_a_short_page(path):
    number = path.name[:4]
    (level, title), *sections = headings(path)
    assert level == 1
    assert title.startswith(f"{number} · ")
    assert [text for _, text in sections] == ADR_HEADINGS
    assert section(path, "Decision").lstrip().startswith("> ")
    assert all(section(path, heading).strip() for heading in ADR_HEADINGS)
    assert len(read(path).splitlines()) <= 30


def test_decisions_are_numbered_without_a_gap():
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    assert all(re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name) for path in ADRS)


@pytest.mark.parametrize("path", PAGES, **ids)
def test_no_page_names_a_machine_path_or_an_index_address(path):
    assert [word for word in FORBIDDEN if word in read(path)] == []


@pytest.mark.parametrize("path", PAGES, **ids)
def test_relative_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        found = (path.parent / target).resolve() if target else path
        if not found.exists() or (anchor and anchor not in _anchors(found)):
            broken.append(link)
    assert broken == []


def _anchors(path: Path) -> set[str]:
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for _, text in headings(path)}


@pytest.mark.parametrize("path", PAGES, **ids)
def test_files_of_the_tree_that_a_page_names_exist(path):
    names = re.findall(r"`((?:[a-z_]+/)+[\w.]+\.(?:py|md|yaml|sh))[:`]", prose(path))
    # <service> and <policy> stand for any name, and are not matched; a plan of a later file is not stated as a path.
    missing = [
        name for name in names if not (ROOT / name).exists() and not (path.parent / name).exists()
    ]
    assert missing == []


def test_the_licence_is_whole():
    text = read(ROOT / "LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["license"] == "Apache-2.0"


def test_the_glossary_has_no_term_twice_and_says_what_to_avoid():
    table = re.findall(r"^\| \*\*(.+?)\*\*", read(DOCS / "glossary.md"), re.MULTILINE)
    assert len(table) == len(set(table))
    heads = re.findall(r"^\| term \|.*$", read(DOCS / "glossary.md"), re.MULTILINE)
    assert heads
    assert all(head == "| term | means | *Avoid* |" for head in heads)


def test_the_changelog_has_an_entry_for_this_version():
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    assert any(text.split()[0] == version for _, text in headings(ROOT / "CHANGELOG.md"))


def test_every_threat_names_tests_that_exist():
    table = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in section(ROOT / "SECURITY.md", "Threats").splitlines()
        if line.startswith("| ") and not line.startswith("| asset")
    ]
    assert len(table) > 10
    for row in table:
        assert len(row) == 4, row
        assert all(row), row
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
        assert named, row
        for path, name in named:
            assert re.search(rf"^(async )?def {name}\(", read(ROOT / path), re.MULTILINE), name
