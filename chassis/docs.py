"""A Swagger page that works without internet: the assets come from the `fastapi-offline` package, the page is ours.

The page itself holds no script, so it works under a strict content security policy.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from chassis.errors import NotFound

ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}

_PAGE: Final = """<!doctype html>
<html lang="es">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Taquilla · API</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<style>
  .picker {{ display: flex; gap: .75rem; align-items: center; padding: .75rem 1.25rem; font: 1rem system-ui; }}
  .dark-mode {{ color-scheme: dark; }}
  .dark-mode .picker a {{ color: #9cf; }}
  .picker select {{ font: inherit; padding: .25rem .5rem; }}
</style>
</head>
<body>
<nav class="picker">
<label for="spec">Servicio · Service</label><select id="spec"></select><a href="/">Taquilla</a>
</nav>
<main id="swagger"></main>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js" data-specs='{specs}'></script>
</body>
</html>
"""

_START: Final = """const specs = JSON.parse(document.currentScript.dataset.specs);
const picker = document.getElementById("spec");
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
const show = (name) => SwaggerUIBundle({
  url: specs[name], dom_id: "#swagger", deepLinking: true, validatorUrl: null, tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
for (const name of Object.keys(specs)) picker.add(new Option(name, name));
picker.closest("nav").hidden = picker.length < 2;
const wanted = new URLSearchParams(location.search).get("spec");
if (wanted in specs) picker.value = wanted;
picker.addEventListener("change", () => {
  history.replaceState(null, "", `?spec=${picker.value}`);
  show(picker.value);
});
show(picker.value);
"""


@cache
def docs_routes() -> APIRouter:
    """`GET /docs` and its assets; the page offers `app.state.specs`, name to address of every spec."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs_page(request: Request) -> HTMLResponse:
        return HTMLResponse(_PAGE.format(specs=json.dumps(request.app.state.specs)))

    @router.get("/docs/assets/{name}")
    async def asset(name: str) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        if name not in ASSETS:
            raise NotFound
        content = (files("fastapi_offline") / "static" / name).read_bytes()
        return Response(
            content, media_type=ASSETS[name], headers={"cache-control": "max-age=86400"}
        )

    return router
