# Everything here needs Go 1.26 only, interop Java 17 and Maven as well.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 2000x

.DEFAULT_GOAL := build
.PHONY: help build test check fuzz interop bench generate

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## the program, in ./bin
	CGO_ENABLED=0 go build -trimpath -o bin/skua ./cmd/skua

# The race detector needs a C compiler.
test: check ## all that must hold before a commit
	@if command -v "$$(go env CC)" >/dev/null && [ "$$(go env CGO_ENABLED)" = 1 ]; then \
		echo go test -race ./...; go test -race ./...; \
	else \
		echo "no C compiler: the tests run without the race detector"; go test ./...; \
	fi
	go test -run Allocat ./internal/... # the race detector allocates itself, so they skipped above
	$(MAKE) --no-print-directory fuzz

check: ## form and vet
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "run gofmt -w on:" $$unformatted; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

fuzz: ## each fuzz target for FUZZTIME: so many runs (3000x) or so long (10s); make fuzz/internal/wire: those of one package
	@$(MAKE) --no-print-directory -j "$$(getconf _NPROCESSORS_ONLN)" \
		$$(grep -rl --include='*_test.go' --exclude-dir=interop '^func Fuzz' . | xargs -n 1 dirname | sort -u | sed 's|^\.|fuzz|')

# The test binary is built once for all targets of a package. Each has one process that runs it, since packages are fuzzed
# beside one another. A run that is cut off at its end can fail without a finding, so it is tried again; a finding has become
# a seed by then and fails again.
fuzz/%:
	@bin=$$(mktemp) && trap 'rm -f "$$bin"' EXIT && go test -c -fuzz=. -o "$$bin" "./$*" && cd "$*" && \
	cache=$$(go env GOCACHE)/fuzz/$$(go list .) && \
	run() { "$$bin" -test.run='^$$' -test.fuzz="^$$1\$$" -test.fuzztime=$(FUZZTIME) -test.parallel=1 -test.fuzzcachedir="$$cache" 2>&1; } && \
	for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' *_test.go | cut -c6-); do \
		out=$$(run $$target) || out=$$(run $$target) || { echo "$$out"; exit 1; }; \
		echo "$* $$target $$(echo "$$out" | grep execs | tail -1)"; \
	done

interop: ## with Apache's clients and servers
	cd interop && go test -count=1 -timeout 40m ./...

bench: ## Go benchmarks with allocations, then Skua beside the Java broker
	go test -run '^$$' -bench . -benchmem ./...
	cd interop && go run ./cmd/compare

generate: ## docs/configuration.md
	go generate ./...
