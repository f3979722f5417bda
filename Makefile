# Everything runs in a virtual environment of its own, .venv, built on first use.
PYTHON ?= python3
DATA ?= ../shared/data
BIN := .venv/bin
SOAK := tests/queues/test_faults.py tests/end_to_end/test_broker.py tests/end_to_end/test_nothing_is_lost.py

.PHONY: run test check fix bench evaluate train lock clean soak

run: .venv/installed ## start the moderator: chat room and API on one port of 127.0.0.1
	@$(BIN)/chat-moderator serve $(ARGS)

test: .venv/installed-dev ## all tests, installing what they need
	@scripts/browser
	@scripts/ircd
	@scripts/node
	$(BIN)/pytest $(ARGS)

check: .venv/installed-dev ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: .venv/installed-dev ## format, and mend what can be mended
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

bench: .venv/installed-dev ## how fast it is here, beside a plain transformers pipeline
	$(BIN)/python -m benchmarks $(ARGS)

evaluate: .venv/installed-training ## how well it judges, on data it never saw: DATA=folder
	$(BIN)/python -m training.evaluate --data $(DATA) $(ARGS)

train: .venv/installed-training ## make the shipped n-gram weights anew: DATA=folder; training/encoder tells how the encoder is made
	$(BIN)/python -m training.train --data $(DATA) $(ARGS)

soak: .venv/installed-dev ## the long fault runs, with their progress: 100,000 messages a queue, 20 ends under load, half a minute without a platform; ARGS='-k redis'
	CHAT_MODERATOR_SOAK=100000 $(BIN)/pytest -s -v --durations=10 $(SOAK) $(ARGS)
	CHAT_MODERATOR_OUTAGE=30 $(BIN)/pytest tests/figures -k outage $(ARGS)

lock: ## write the versions that were installed last
	$(BIN)/pip freeze --exclude-editable > requirements.lock

.venv/bin/python:
	@scripts/venv $(PYTHON)

.venv/installed: .venv/bin/python pyproject.toml requirements.lock
	$(BIN)/pip install --quiet --constraint requirements.lock --editable .
	@touch $@

.venv/installed-training: .venv/installed
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[training]'
	@touch $@

.venv/installed-dev: .venv/installed-training
	$(BIN)/pip install --quiet --constraint requirements.lock --group dev
	@touch $@

clean: ## remove the virtual environment
	rm -rf .venv
