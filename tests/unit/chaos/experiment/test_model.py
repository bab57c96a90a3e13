"""What a file may say is understood, and everything else is refused with its place before anything is touched."""

import pytest

from chaos.experiment.files import EXPERIMENTS, NoSuchExperiment, find, names, read
from chaos.experiment.model import BadExperiment, experiment
from chaos.faults import FAULTS, SCENARIOS
from tests.unit.chaos.experiment.files import action, probe, small

OURS = names()
every_one = pytest.mark.parametrize("name", OURS)


def python_provider():
    return {"type": "probe", "name": "p", "tolerance": 1, "provider": {"type": "python"}}


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (None, "experiment: is not a mapping"),
        (small(title=""), "title: is empty"),
        (small(controls=[]), "experiment: not understood: controls"),
        (small(secrets={}, extensions=[]), "experiment: not understood: extensions, secrets"),
        (small(runtime={"rollbacks": {"strategy": "never"}}), "runtime: only"),
        (small(probes=[]), "steady-state-hypothesis: has no probes"),
        (small(probes=[python_provider()]), "p: only provider: {type: http}"),
        (small(probes=[action("a", "/a")]), "a: a steady state is made of probes"),
        (small(method=None), "method: is not a list"),
        (small(method=[{"ref": "ok"}]), r"method\[1\]: not understood: ref"),
        (small(method=[{**action("a", "/a"), "background": True}]), "not understood: background"),
        (small(method=[action("a", "/a", max_retries=3)]), "a: not understood: max_retries"),
        (small(method=[action("a", "/a", tolerance=200)]), "a: only probes have a tolerance"),
        (small(method=[action("a", "/a", url="ftp://x")]), "a: url 'ftp://x'"),
        (small(method=[action("a", "${nowhere}")]), "nowhere} is not in the configuration"),
        (small(method=[action("a", "/a", pauses={"after": "soon"})]), "'soon' is no number"),
        (small(method=[action("a", "/a", pauses={"after": 3601})]), "3601 is no number"),
        (small(method=[action("a", "/a", headers={"X": 1})]), "a: headers are text to text"),
        (small(probes=[probe("p", "/", {"type": "range", "range": [1, 2]})]), "p: not understood"),
        (small(probes=[probe("p", "/", True)]), "p: not understood: tolerance True"),
        (
            small(probes=[probe("p", "/", {"type": "jsonpath", "target": "body", "path": "$..a"})]),
            r"p: not understood: not understood: \.\.a",
        ),
        (
            small(probes=[probe("p", "/", {"type": "regex", "target": "body", "pattern": "("})]),
            "p: not understood: regex",
        ),
        (small(configuration={"url": {"type": "probe"}}), "configuration.url: only type: env"),
        (
            small(configuration={"url": {"type": "env", "key": "NOWHERE"}}),
            "configuration.url: NOWHERE is not set",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(raw, complaint):
    with pytest.raises(BadExperiment, match=complaint):
        experiment(raw, {})


def test_the_environment_fills_the_configuration_and_its_types_stay():
    wait = {"type": "env", "key": "WAIT", "default": 1, "env_var_type": "float"}
    raw = small(method=[action("a", "/a", pauses={"after": "${wait}"}, arguments={"n": "${n}"})])
    raw["configuration"] |= {"wait": wait, "n": 7}
    (found,) = experiment(raw, {"TAQUILLA_URL": "http://other", "WAIT": "2.5"}).method
    assert (found.url, found.after_s, found.arguments) == ("http://other/a", 2.5, {"n": 7})


def test_a_bearer_token_that_is_not_set_leaves_a_header_that_can_be_sent():
    raw = small(method=[action("a", "/a", headers={"Authorization": "Bearer ${token}"})])
    raw["configuration"]["token"] = {"type": "env", "key": "CHAOS_TOKEN", "default": ""}
    (found,) = experiment(raw, {}).method
    assert found.headers == {"Authorization": "Bearer"}


def test_a_file_that_is_no_yaml_says_where(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: [")
    with pytest.raises(BadExperiment, match=r"x\.yaml: while parsing"):
        read(path, {})


def test_a_name_that_does_not_exist_has_neighbours():
    with pytest.raises(NoSuchExperiment) as found:
        find("crash-inventari")
    assert found.value.near[0] == "crash-inventory"


def test_every_scenario_is_an_experiment_and_so_is_every_fault():
    text = "".join(path.read_text(encoding="utf-8") for path in EXPERIMENTS.glob("*.yaml"))
    assert OURS[:6] == [one.name for one in SCENARIOS]
    assert [one.name for one in FAULTS if f"/{one.name}\n" not in text] == []


@every_one
def test_one_of_ours_speaks_two_languages_and_its_faults_end_by_themselves(name):
    found = read(find(name), {})
    texts = [found.title, found.description, found.hypothesis]
    texts += [one.name for one in (*found.probes, *found.method, *found.rollbacks)]
    assert [text for text in texts if text.count(" · ") != 1] == []
    switched = [one for one in found.method if "/api/lab/faults/" in one.url]
    assert all(one.arguments["ttl_s"] <= 60 for one in switched)
    stops = [one for one in found.rollbacks if one.method == "DELETE"]
    assert bool(stops) is bool(switched)


@every_one
def test_one_of_ours_does_not_hold_where_its_switches_are_locked(name):
    """Nothing would be broken then, and nothing proved."""
    refused = {"status": 401, "body": '{"code": "unauthorized", "status": 401}'}
    found = read(find(name), {})
    locked = [one for one in found.probes if one.headers.get("Authorization")]
    assert locked
    assert not any(one.tolerance.met_by(refused) for one in locked)


@every_one
def test_one_of_ours_shows_the_labs_token_wherever_one_may_be_needed(name):
    found = read(find(name), {"CHAOS_TOKEN": "a-token"})
    asked = [*found.probes, *found.method, *found.rollbacks]
    lab = [one for one in asked if "/api/lab/" in one.url]
    assert len(lab) >= 3
    assert {one.headers.get("Authorization") for one in lab} == {"Bearer a-token"}


@every_one
def test_one_of_ours_judges_the_promise_and_not_only_that_somebody_answers(name):
    probes = read(find(name), {}).probes
    last = probes[-1]
    assert "/api/lab/audit" in last.url
    for flags in ({"ok": False, "rest": True}, {"ok": True, "rest": False}):
        assert not last.tolerance.met_by({"status": 200, "body": flags})
    assert last.tolerance.met_by({"status": 200, "body": {"ok": True, "rest": True}})
    lies = {"status": 200, "body": {"status": "refused", "code": "internal_error", "ok": False}}
    assert not probes[0].tolerance.met_by(lies)
