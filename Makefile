# The verbs. What they do stands in .ci/; tool settings stand in pyproject.toml.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo down test lint house units artifact fleet report containers chaos chaos-real molecule packer image image-local image-check docs bench
venv := .venv/bin
export PATH := $(CURDIR)/$(venv):$(PATH)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready ## .venv with everything pinned (a second time: nothing to do)

.venv/ready: requirements.lock .ci/setup
	@.ci/setup

demo: .venv/ready ## from this clone to a whole fleet on the embedded AWS; the cloud stays up
	@.ci/demo

down: .venv/ready ## end the embedded AWS
	@python -m localcloud down

test: .venv/ready ## everything that must hold, cheap to dear
	@$(MAKE) --no-print-directory lint house units artifact
	@pytest -n 2 --dist loadscope -m "not slow" tests/fleet
	@cd agent && pytest -m "not slow"
	@cd localcloud && pytest -n 2 --dist loadscope
	@pytest tests/report
	@cd localcloud && pytest tests/containers
	@pytest tests/registry
	@pytest tests/image
	@.ci/molecule

lint: .venv/ready ## yamllint, ruff, mypy, shell, changelog, generated docs, ansible-lint
	@.ci/lint

house: .venv/ready ## the house rules: import arrows, specs equal defaults, names
	@pytest tests/house

units: .venv/ready ## unit tests in this checkout
	@pytest -n 2 --dist loadscope tests/unit

artifact: .venv/ready ## on the built collection: ansible-test sanity and units, docs lint, galaxy-importer
	@.ci/artifact

fleet: .venv/ready ## the playbooks against the embedded AWS, the full differential test included
	@pytest tests/fleet

report: .venv/ready ## the page of verify.yml's report in headless Chromium (installs it where it is missing)
	@pytest tests/report

containers: .venv/ready ## container instances of the embedded AWS (needs root; installs and starts Docker where nothing answers)
	@cd localcloud && pytest tests/containers

chaos: .venv/ready ## the agent through N randomised schedules in virtual time: make chaos N=10000 SEED=7
	@cd agent/tests && python -m schedules --schedules $(or $(N),1000) $(if $(SEED),--seed $(SEED))

chaos-real: .venv/ready ## 30 schedules with real processes, and the runbook's own script beside its model (4 minutes)
	@cd agent && pytest -m slow tests/schedules

molecule: .venv/ready ## the roles on instances with systemd: Amazon Linux 2023 (a look-alike), Debian 12
	@.ci/molecule

packer: .venv/ready ## the image's template on localcloud: Debian's Packer 1.6.6, and a current one where PACKER names it
	@pytest tests/image

image: .venv/ready ## bake the golden image on AWS: make image OPTIONS="-var region=eu-west-1" (docs/image.md)
	@.ci/image aws $(OPTIONS)

image-local: .venv/ready ## bake it on the embedded AWS, boot it, prove what is on it
	@.ci/image local $(OPTIONS)

image-check: .venv/ready ## the image's template: format and validity
	@.ci/image check $(OPTIONS)

docs: .venv/ready ## write docs/options.md from the argument spec, and docs/checks.md's planted faults
	@python -m tools.docs
	@python -m tests.fleet --write

bench: .venv/ready ## calls, writes and wall times against plain boto3, aws-cli, the runbook's script and a shell script that bakes
	@python -m bench
	@python -m bench.boot
	@python -m bench.image
