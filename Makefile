# make demo            tunes a real vLLM on this machine's CPU
# make demo-simulated  tunes a simulated service on two A100 in a minute
# make test            runs all the tests
# make paper           the SCOOT paper's whole evaluation, simulated, on all cores; goes on where it was stopped
# All set up what they need, into .venv.
# PYTHON       the interpreter to make the environments with (3.11 or newer)
# TORCH_INDEX  a package index that offers torch's CPU build, where pip's configured sources do not

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX ?=
ENGINE := .venv/engine
BIN := .venv/bin
PIP_INSTALL = install -qq --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: setup demo demo-simulated paper test test-fast lint clean

setup: .venv/ready $(ENGINE)/ready

.venv/ready: pyproject.toml constraints.txt
	@echo "setting up scoot-ray in .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip $(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(ENGINE)/ready: constraints-engine.txt | .venv/ready
	@echo "setting up vLLM for the CPU in $(ENGINE) (some minutes, 3.5 GB)"
	@test -x $(ENGINE)/bin/python || $(PYTHON) -m venv $(ENGINE)
	@sh deploy/install-engine.sh $(ENGINE)/bin/python '$(TORCH_INDEX)'
	@touch $@

studies/demo/model/config.json: studies/demo/make_model.py | $(ENGINE)/ready
	@$(ENGINE)/bin/python studies/demo/make_model.py studies/demo/model

demo: setup studies/demo/model/config.json
	@rm -rf runs/demo
	@$(BIN)/scoot-ray tune studies/demo/study.yaml --ray-address local

demo-simulated: .venv/ready
	@rm -rf runs/demo-simulated
	@$(BIN)/scoot-ray tune studies/simulated.yaml --ray-address local

paper: .venv/ready
	@$(BIN)/scoot-ray sweep studies/paper/*.yaml --output runs/paper
	@$(BIN)/python benchmarks/simulator/paper.py runs/paper

test: setup lint test-fast studies/demo/model/config.json
	SCOOT_RAY_ENGINE_PYTHON=$(CURDIR)/$(ENGINE)/bin/python SCOOT_RAY_DEMO_MODEL=$(CURDIR)/studies/demo/model $(BIN)/pytest -m "vllm or slow"

test-fast: .venv/ready
	$(BIN)/pytest -m "not vllm and not slow"

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs studies/demo/model
