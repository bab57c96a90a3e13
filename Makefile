# Every target is `python3 dev.py TARGET`: the same without make, and on Windows.
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up test unit check browser control docs screenshots chaos fuzz bench bench-all lib audit lock ci

help: ## muestra esta ayuda
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  con argumentos: make up ARGS="--port 21000 --data var/otra"'

up: ## arranca los cinco servicios; Ctrl-C los para
	@$(PYTHON) dev.py up $(ARGS)

test: ## todas las pruebas menos navegador y rendimiento
	@$(PYTHON) dev.py test $(ARGS)

unit: ## solo las pruebas rápidas
	@$(PYTHON) dev.py unit $(ARGS)

check: ## ruff, formato, mypy, imports, documentación, reglas de la casa
	@$(PYTHON) dev.py check

browser: ## las pruebas con Chromium
	@$(PYTHON) dev.py browser $(ARGS)

control: ## rompe una regla y enseña al auditor en rojo: make control ARGS="leaves a tombstone"
	@$(PYTHON) dev.py control $(ARGS)

docs: ## escribe de nuevo docs/api.md y las órdenes de las guías
	@$(PYTHON) dev.py docs

screenshots: ## fotografía la página y /docs con Chromium, en un minuto; a docs/pictures
	@$(PYTHON) dev.py screenshots

chaos: ## la matriz de caos larga, y los experimentos con taquilla y con Chaos Toolkit
	@$(PYTHON) dev.py chaos $(ARGS)

fuzz: ## lo que nadie enviaría, contra los cinco servicios: make fuzz ARGS="--seed 8"
	@$(PYTHON) dev.py fuzz $(ARGS)

bench: ## mide políticas, malla y promesas junto a otras, en unos 10 minutos; a docs/benchmarks.md
	@$(PYTHON) dev.py bench $(ARGS)

bench-all: ## lo mismo, y la crecida (con Envoy y nginx) y lo que cuesta crecer
	@$(PYTHON) dev.py bench-all $(ARGS)

lib: ## resilience sola: su rueda en un entorno vacío, y sus pruebas allí
	@$(PYTHON) dev.py lib $(ARGS)

audit: ## pregunta por vulnerabilidades conocidas de lo que fijan los requirements*.lock
	@$(PYTHON) dev.py audit $(ARGS)

lock: ## vuelve a calcular requirements.lock y requirements-dev.lock
	@$(PYTHON) dev.py lock

ci: ## lo que ejecuta la integración continua: check + test + lib + browser + experimentos
	@$(PYTHON) dev.py ci
