"""Routes of the gateway: parse, call, render. One module per audience."""

from fastapi import APIRouter

from gateway.api import catalogue, documents, lab, live, pages, public


def routes(*, lab_mode: bool) -> list[APIRouter]:
    """Every router; those of the lab only in lab mode."""
    shop = [
        public.routes(),
        catalogue.routes(),
        live.routes(),
        documents.routes(),
        pages.routes(lab_mode=lab_mode),
    ]
    if not lab_mode:
        return shop
    return [*shop, lab.routes(), lab.trial_routes(), lab.relay_routes()]
