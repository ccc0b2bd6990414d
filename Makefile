# Everything here needs Go 1.26 only, interop Java 17 and Maven as well.

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 2s

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

# A run that is cut off at its end can fail without a finding, so it is tried again; a finding has become a seed by then
# and fails again.
fuzz: ## each fuzz target for FUZZTIME
	@run() { go test -run '^$$' -fuzz "^$$2\$$" -fuzztime $(FUZZTIME) "$${1%/*}" 2>&1; }; \
	grep -r --include='*_test.go' --exclude-dir=interop -o '^func Fuzz[A-Za-z0-9_]*' . | sort | sed 's/:func / /' | \
	while read -r file target; do \
		echo "fuzz $$target ($${file%/*})"; \
		out=$$(run "$$file" "$$target") || out=$$(run "$$file" "$$target") || { echo "$$out"; exit 1; }; \
	done

interop: ## with Apache's clients and servers
	cd interop && go test -count=1 -timeout 40m ./...

bench: ## Go benchmarks with allocations, then Skua beside the Java broker
	go test -run '^$$' -bench . -benchmem ./...
	cd interop && go run ./cmd/compare

generate: ## docs/configuration.md
	go generate ./...
