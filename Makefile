# Everything a contributor runs. `make check` is what CI runs before the tests.
GO ?= go
FUZZTIME ?= 60s
STRESSTIME ?= 60s
CHAOSTIME ?= 3m
EXAMPLES := $(dir $(wildcard examples/*/go.mod))
MODULES := $(EXAMPLES) internal/oteltest/ tools/
PLATFORMS ?= linux/386 linux/arm64 windows/amd64 darwin/arm64

.PHONY: help check fmt vet platforms lint floors test race fuzz model xfetch stress chaos orders dashboards tidy

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

check: fmt vet lint floors ## formatting, vet, staticcheck, the order of the root's files

fmt: ## fails if gofumpt would change a file
	@out=$$($(GO) tool -modfile=tools/go.mod gofumpt -l .); test -z "$$out" || { echo "gofumpt:"; echo "$$out"; exit 1; }

vet: ## go vet, all modules
	$(GO) vet ./...
	@for dir in $(MODULES); do echo "$(GO) -C $$dir vet ./..."; $(GO) -C $$dir vet ./... || exit 1; done

platforms: ## the types of the root module's packages and tests as other platforms see them
	$(GO) -C tools run ./platforms $(PLATFORMS)

lint: ## staticcheck; .golangci.yml is for editors and reviews
	$(GO) tool -modfile=tools/go.mod staticcheck ./...

floors: ## which files of the root use what stands above them: at most a dozen arrows between them
	$(GO) -C tools run ./floors -most 12

test: ## the README's command
	$(GO) test ./...

race: ## with the race detector; real servers required
	CACHE_REQUIRE_REDIS=1 $(GO) test -race ./...

fuzz: ## each fuzz target for FUZZTIME, a time or a count such as 10000x
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(grep -o '^func Fuzz[A-Za-z0-9_]*' "$$file" | cut -c6-); do \
			echo "$$target in $$(dirname "$$file")"; \
			$(GO) test "./$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s || exit 1; \
		done; \
	done

model: ## the model checker's large bound: three readers
	$(GO) test ./internal/model -run TestModel -readers 3 -timeout 60m

stress: ## every stress scenario, standalone and cluster
	$(GO) run ./internal/stress -for $(STRESSTIME)
	CACHE_LONG=1 CACHE_REQUIRE_REDIS=1 $(GO) test -count=1 ./test/protocol ./test/cluster

chaos: ## Redis fails in every way for CHAOSTIME, standalone and cluster; a freeze of an eighteenth of it
	$(GO) run ./internal/stress -scenario chaos -for $(CHAOSTIME)
	$(GO) run ./internal/stress -scenario frozen -topology single -for $(CHAOSTIME)

xfetch: ## the XFetch table, 50,000 lives a row
	CACHE_XFETCH_CYCLES=50000 $(GO) test -count=1 -v -run 'TestXFetch(Table|Degenerate)' ./internal/expiry

dashboards: ## Grafana's dashboard, Prometheus's rules and their tables, from internal/meter's list
	$(GO) run ./internal/dash/gen

tidy: ## go mod tidy, all modules
	@for dir in . $(MODULES); do $(GO) -C $$dir mod tidy || exit 1; done
