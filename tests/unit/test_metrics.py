"""docs/metrics.md, the alert rules and the dashboard speak of metrics that exist in the five live registries."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.support.families import Family, families, series
from tests.support.mesh import mesh

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text(encoding="utf-8"))
SCRAPED = {"service", "job", "instance"}
"""Labels that Prometheus adds: deploy/prometheus/prometheus.yml."""

SECTIONS = {
    "Every service": {"gateway", "reservations", "inventory", "payments", "notifications"},
    "With a database": {"reservations", "inventory", "payments", "notifications"},
    "reservations": {"reservations"},
    "inventory": {"inventory"},
    "payments": {"payments"},
    "notifications": {"notifications"},
}
WORDS = {"sum", "max", "or", "and", "rate", "increase", "time", "histogram_quantile"} | {
    "min_over_time",
    "vector",
    "label_values",
}
"""Words of PromQL and Grafana that our queries use."""


@pytest.fixture(scope="module")
def said():
    """Rows of the page by family, each with the services that it is said of."""
    rows = {}
    for title, services in SECTIONS.items():
        section = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]
        for line in re.findall(r"^\| `\w+` \|.*$", section, re.MULTILINE):
            name, kind, labels, says, moves = (
                cell.strip() for cell in line.strip("|").split(" | ")
            )
            assert says, name
            assert moves, name
            listed = tuple(sorted(set(labels.split(", ")) - {"–"}))
            rows[name.strip("` ")] = (Family(kind, listed), services)
    return rows


@pytest.fixture
async def live(tmp_path):
    """Families by service."""
    async with mesh(tmp_path) as m:
        return {name: families(app) for name, app in m.apps.items()}


async def test_the_page_lists_every_family_of_every_service_and_no_other(live, said):
    found = {}
    for service, ours in live.items():
        for name, family in ours.items():
            kept, services = found.setdefault(name, (family, set()))
            assert kept == family, f"{name} differs between services"
            services.add(service)
    # The store's families are made with the registry, also where nothing is stored.
    for name in found:
        if name.startswith("store_"):
            found[name][1].discard("gateway")
    assert found == said


async def test_what_is_counted_shows_under_these_names(tmp_path):
    async with mesh(tmp_path) as m:
        assert (await m.reserve()).status_code == 200
        pages = {name: (await m[name].get("/metrics")).text for name in m.clients}
    known = {
        name: labels for app in m.apps.values() for name, labels in series(families(app)).items()
    }
    for page in pages.values():
        for name, labels in re.findall(r"^(\w+?)(?:\{(.*)\})? ", page, re.MULTILINE):
            if name.endswith("_created") or name == "":
                continue
            assert known[name] == frozenset(re.findall(r'(\w+)="', labels)), name
    told = (
        'http_client_request_duration_seconds_count{error_type="",http_response_status_code="200"'
    )
    assert f'{told},server_address="inventory"}} 2.0' in pages["reservations"]
    assert f'{told},server_address="reservations"}} 1.0' in pages["gateway"]


def queries():
    """Every query of a rule or a panel, with where it stands."""
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    board = json.loads((ROOT / "deploy/grafana/dashboards/taquilla.json").read_text("utf-8"))
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for note in board["annotations"]["list"]:
        yield note["name"], note["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"].replace(", service", "")


def asked(query):
    """Names of series in a query, and all labels that it names."""
    bare = re.sub(r'"[^"]*"', '""', query)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=(?!=))", bare))
    for listed in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        labels |= set(re.findall(r"\w+", listed))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - WORDS, labels


def test_what_a_query_asks_for_is_understood():
    names, labels = asked(
        'sum by (le, a) (rate(x_bucket{b=~"y|z", c!="d e"}[5m])) / on (f) g:h > 1'
    )
    assert names == {"x_bucket", "g:h"}
    assert labels == {"le", "a", "b", "c", "f"}


async def test_every_metric_and_label_in_a_rule_or_a_panel_exists(live):
    known = {name: labels for ours in live.values() for name, labels in series(ours).items()}
    known |= {"up": frozenset()}
    known |= {
        rule["record"]: frozenset()
        for group in RULES["groups"]
        for rule in group["rules"]
        if "record" in rule
    }
    found = list(queries())
    assert len(found) > 40
    for where, query in found:
        names, labels = asked(query)
        assert names, where
        assert names <= set(known), f"{where}: {names - set(known)}"
        of_these = SCRAPED.union(*(known[name] for name in names))
        assert labels <= of_these, f"{where}: {labels - of_these}"


def test_every_alert_is_told_on_the_page_with_its_severity():
    section = re.search(r"^## Alerts$(.*)\Z", PAGE, re.MULTILINE | re.DOTALL)[1]
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \| .+ \|$", section, re.MULTILINE))
    rules = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in rules}


def test_every_alert_is_tested_to_fire_and_to_keep_silent():
    tests = yaml.safe_load((ROOT / "deploy/prometheus/rules_test.yml").read_text("utf-8"))["tests"]
    tried = [one for test in tests for one in test.get("alert_rule_test", ())]
    alerts = {
        rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert {one["alertname"] for one in tried if one["exp_alerts"]} == alerts
    assert {one["alertname"] for one in tried if not one["exp_alerts"]} == alerts


def test_the_dashboard_asks_the_chosen_source_and_can_be_loaded_anywhere():
    board = json.loads((ROOT / "deploy/grafana/dashboards/taquilla.json").read_text("utf-8"))
    assert board["uid"] == "taquilla"
    assert "id" not in board
    for panel in board["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(one["datasource"]["uid"] == "${datasource}" for one in panel["targets"])


def test_prometheus_scrapes_every_service_where_compose_has_it():
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    (job,) = config["scrape_configs"]
    (group,) = job["static_configs"]
    assert group["targets"] == [
        f"{name}:{service['environment']['PORT']}" for name, service in services.items()
    ]
