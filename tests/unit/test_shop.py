"""Outside the lab nothing of the lab is there: asked of every route that the five services have in the lab."""

import importlib
import re

import pytest

from chassis import runtime
from tests.support.mesh import APPS, mesh

LAB_PREFIXES = ("/chaos", "/admin", "/api/lab", "/svc")
SHOP = {"chaos_enabled": False, "id_secret": "a-secret-for-the-tests"}


def app(service: str, tmp_path, **settings):
    module = importlib.import_module(f"{service}.app")
    fields = module.Settings.model_fields
    chosen = {name: value for name, value in settings.items() if name in fields}
    effects = runtime.simulated(1, dict.fromkeys(APPS))
    return module.create_app(module.Settings(data_dir=tmp_path, **chosen), effects)


def operations(one) -> set[tuple[str, str]]:
    """Method and path of every route, those that no spec shows included."""
    return {(method, route.path) for route in one.routes for method in route.methods}


def in_spec(one) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, methods in one.openapi()["paths"].items()
        for method in methods
    }


def of_the_lab(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(method, path) for method, path in found if path.startswith(LAB_PREFIXES)}


@pytest.mark.parametrize("service", APPS)
def test_what_the_shop_lacks_is_the_lab_and_nothing_else(service, tmp_path):
    lab, shop = app(service, tmp_path, chaos_enabled=True), app(service, tmp_path, **SHOP)
    assert of_the_lab(operations(lab)), (
        "a service without fault switches would make this test empty"
    )
    assert operations(lab) - operations(shop) == of_the_lab(operations(lab))
    assert operations(shop) <= operations(lab)
    assert in_spec(lab) <= operations(lab)
    assert in_spec(lab) - in_spec(shop) == of_the_lab(in_spec(lab))


def filled(path: str) -> str:
    """An address that the route would take."""
    names = {"service": "inventory", "fault": "crash", "path": "chaos"}
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda hole: names[hole[1]], path)


async def test_every_lab_route_of_every_service_answers_404_in_the_shop(tmp_path):
    asked = 0
    async with mesh(tmp_path, **SHOP) as m:
        for service in APPS:
            lab = app(service, tmp_path, chaos_enabled=True)
            for method, path in sorted(of_the_lab(operations(lab))):
                answer = await m[service].request(
                    method,
                    filled(path),
                    json={"enabled": True, "event_id": "concert-01", "seats": 1},
                )
                assert answer.status_code == 404, (service, method, path)
                if method != "HEAD":
                    assert answer.json()["code"] == "not_found", (service, method, path)
                asked += 1
        # And the mesh is a mesh: it sells.
        assert (await m.reserve()).status_code == 200
        assert (await m.event())["sold"] == 1
    assert asked > 25


async def test_the_same_routes_answer_in_the_lab(tmp_path):
    """The other half of the test above: what it asks for is really there when it should be."""
    async with mesh(tmp_path) as m:
        for service in APPS:
            lab = app(service, tmp_path, chaos_enabled=True)
            for method, path in sorted(of_the_lab(operations(lab))):
                if method != "GET":
                    continue
                answer = await m[service].request(method, filled(path))
                assert answer.status_code != 404, (service, method, path)


@pytest.mark.parametrize("token", [None, "s3cret"])
async def test_no_credential_opens_what_is_not_there(tmp_path, token):
    async with mesh(tmp_path, chaos_token=token, **SHOP) as m:
        auth = {"authorization": "Bearer s3cret"}
        for service in APPS:
            answer = await m[service].post("/chaos/crash", json={"enabled": True}, headers=auth)
            assert answer.status_code == 404, service
