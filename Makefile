# The verbs; what they do is in .ci/. Tool settings are in pyproject.toml.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo down test lint house guard units artifact fleet agent localcloud report containers chaos chaos-real \
	real-worker registry peers molecule e2e e2e-numbers packer image image-local image-check docs bench
venv := .venv/bin
export PATH := $(CURDIR)/$(venv):$(PATH)
# Where Python may not keep what it has compiled, each play and each of its modules compiles Ansible and botocore again:
# a play of two tasks took 3.2 s instead of 2.5 s, a client of botocore 1.0 s instead of 0.5 s.
unexport PYTHONDONTWRITEBYTECODE
parallel := -n 2 --dist loadscope
fast := $(parallel) -m "not slow"

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready ## .venv with what a run and the demo need, pinned

.venv/ready: requirements.lock .ci/setup
	@.ci/setup

.venv/ready-dev: .venv/ready requirements-dev.lock
	@.ci/setup dev

demo: .venv/ready ## from this clone to a fleet on the emulated AWS, which stays up
	@.ci/demo

down: .venv/ready ## stop the emulated AWS
	@localcloud down

test: .venv/ready-dev ## everything that CI runs, fastest first
	@$(MAKE) --no-print-directory lint house guard units agent localcloud
	@$(MAKE) --no-print-directory peers OPTIONS="--quick metadata moto"
	@pytest $(fast) tests/fleet
	@.ci/chromium && .ci/docker && .ci/postgres >/dev/null && .ci/packer-1.6 >/dev/null # apt runs once at a time
	@$(MAKE) --no-print-directory -j 2 --output-sync=line test-one-core test-docker
	@$(MAKE) --no-print-directory molecule

# Neither uses two cores: side by side they take the time of the longer one. Container instances need the machine's
# network for themselves, so what starts them runs one after another.
.PHONY: test-one-core test-docker
test-one-core:
	@$(MAKE) --no-print-directory artifact
	@$(MAKE) --no-print-directory report
	@$(MAKE) --no-print-directory registry
test-docker:
	@$(MAKE) --no-print-directory containers
	@$(MAKE) --no-print-directory packer
	@$(MAKE) --no-print-directory e2e OPTIONS='-m "not slow"'

lint: .venv/ready-dev ## yamllint, ruff, mypy, shell, changelog, generated docs, ansible-lint
	@.ci/lint

house: .venv/ready-dev ## structure: import rules, specs equal defaults, forgotten steps, links (no cloud, 10 s)
	@pytest tests/house

guard: .venv/ready-dev ## the drain guard in the worker's process: type check, its tests, broken guards (20 s)
	@.ci/guard

units: .venv/ready-dev ## unit tests of the plugins and roles
	@pytest $(fast) tests/unit

agent: .venv/ready-dev ## the agent: units, schedules in virtual time, real processes
	@cd agent && pytest $(fast)

localcloud: .venv/ready-dev ## unit tests of localcloud
	@cd localcloud && pytest $(parallel)

peers: .venv/ready-dev ## clients that others wrote (moto's tests, aws-cli's examples, Terraform, ...) against localcloud (docs/peers.md)
	@python -m tools.peers $(OPTIONS)

artifact: .venv/ready-dev ## on the built collection: ansible-test sanity and units, docs lint, galaxy-importer
	@.ci/artifact

fleet: .venv/ready-dev ## the playbooks against localcloud, with the whole differential test
	@pytest $(parallel) tests/fleet

report: .venv/ready-dev ## the HTML report in headless Chromium (installed where missing)
	@pytest tests/report

containers: .venv/ready-dev ## localcloud's container instances, and verify.yml on them (root; installs and starts Docker where missing)
	@.ci/docker && cd localcloud && pytest tests/containers
	@pytest tests/e2e/test_doctor.py

e2e: .venv/ready-dev ## an operator's first day on container instances, from README's own commands to chaos (root, Docker)
	@.ci/docker && .ci/postgres >/dev/null && .ci/bun >/dev/null
	@pytest tests/e2e/test_first_day.py tests/e2e/test_chaos.py $(OPTIONS)

e2e-numbers: .venv/ready-dev ## 200 jobs over 30 scale-ins with container instances: lost, doubled, seconds of launches and drains
	@.ci/docker && .ci/postgres >/dev/null && .ci/bun >/dev/null
	@pytest -s tests/e2e/test_numbers.py

registry: .venv/ready-dev ## on a real PostgreSQL (installed where missing): the worker registry, what real-worker counts
	@pytest tests/registry tests/real_worker

chaos: .venv/ready-dev ## the agent through N random schedules in virtual time, with and without the guard: make chaos N=10000 SEED=7
	@cd agent/tests && python -m schedules --schedules $(or $(N),1000) $(if $(SEED),--seed $(SEED))

chaos-real: .venv/ready-dev ## 30 schedules with real processes, and the runbook's script beside its model (4 minutes)
	@cd agent && pytest -m slow tests/schedules

real-worker: .venv/ready-dev ## the agent beside the real worker: make real-worker SOURCE=/its/checkout (docs/worker.md)
	@PYTHONPATH=agent/tests python -m tools.real_worker "$(SOURCE)" $(OPTIONS)

molecule: .venv/ready-dev ## the roles on systemd containers: an Amazon Linux 2023 look-alike and Debian 12
	@.ci/molecule

packer: .venv/ready-dev ## the image template on localcloud: Debian's Packer 1.6.6, and a current one where PACKER names it
	@pytest tests/image

image: .venv/ready ## bake the golden image on AWS: make image OPTIONS="-var region=eu-west-1" (docs/image.md)
	@.ci/image aws $(OPTIONS)

image-local: .venv/ready-dev ## bake it on localcloud, boot it and check what is on it
	@.ci/image local $(OPTIONS)

image-check: .venv/ready ## format and validity of the image template
	@.ci/image check $(OPTIONS)

docs: .venv/ready-dev ## write the generated docs: options, role READMEs, checks, IAM policies
	@python -m tools.docs
	@python -m tools.iam

bench: .venv/ready-dev ## calls, writes and times against boto3, aws-cli, the runbook's script and a shell script that bakes; API calls of a fleet
	@python -m bench
	@python -m bench.shared_bucket
	@python -m bench.boot
	@python -m bench.image
