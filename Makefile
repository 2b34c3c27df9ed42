# What a contributor runs. Plain make and Go are enough for build, run and test; what the others need they say.

GO        ?= go
FUZZTIME  ?= 10s
IMAGE     ?= weir
# RACE=insist fails without a C compiler, RACE=off goes without the race detector.
RACE      ?= auto
# Kills in a row under load: a few in make test, WEIR_COMPAT_KILLS=20 in make compat.
KILLS     ?= 20
MODULES   := . compat-tests bench

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help build run test compat bench image fuzz lint clean

help:
	@echo 'make build    bin/weir, a static binary'
	@echo 'make run      build and run a broker on localhost:9092, data in ./data'
	@echo 'make test     all tests that need only Go'
	@echo 'make compat   the clients that need more: kcat, a JDK with Maven, and Docker for the image'
	@echo 'make bench    the figures of docs/benchmarks.md, beside Kafka (Java, Maven; an hour)'
	@echo 'make image    a container image from scratch (Docker)'
	@echo 'make fuzz     each fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make lint     gofmt, vet (for macOS too), staticcheck and the rules of the house'

build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/weir ./cmd/weir

run: build
	@exec bin/weir broker

# The race detector needs a C compiler that can link, so that is what is tried.
test: build
	@race=; \
	if [ "$(RACE)" != off ]; then \
	  cc=$$($(GO) env CC); \
	  if echo 'int main(void) { return 0; }' | $${cc:-cc} -x c -o /dev/null - 2>/dev/null; then race=-race; \
	  elif [ "$(RACE)" = insist ]; then echo "make: no working C compiler ($${cc:-cc}), and the race detector needs one" >&2; exit 1; fi; \
	fi; \
	if [ -n "$$race" ]; then echo "race detector: on ($$cc)"; \
	elif [ "$(RACE)" = off ]; then echo "race detector: off (RACE=off)"; \
	else echo "race detector: off, no C compiler found"; fi; \
	set -ex; \
	CGO_ENABLED=$${race:+1} $(GO) test $$race -timeout 15m ./...
	cd compat-tests && WEIR_BIN="$(CURDIR)/bin/weir" $(GO) test -count=1 -timeout 15m .
	cd bench && $(GO) test .

compat: build
	@for tool in kcat javac mvn; do \
	  command -v $$tool >/dev/null || { echo "make compat needs $$tool (Debian: kcat, default-jdk-headless, maven)" >&2; exit 1; }; \
	done
	cd compat-tests && WEIR_BIN="$(CURDIR)/bin/weir" WEIR_COMPAT_KILLS=$(KILLS) $(GO) test -count=1 -timeout 60m -p 1 ./...

bench: build
	bench/run

# FROM scratch with the binary and an empty folder for data: nothing is fetched.
image: build
	@command -v docker >/dev/null || { echo 'make image needs docker' >&2; exit 1; }
	rm -rf bin/image && mkdir -p bin/image/data && cp bin/weir deploy/Dockerfile bin/image/
	docker build -t $(IMAGE) bin/image

# One target after the other: go test takes one at a time.
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

lint:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	[ -z "$$unformatted" ] || { echo "not gofmt-ed: $$unformatted" >&2; exit 1; }
	@set -ex; for module in $(MODULES); do (cd $$module; $(GO) vet ./...; GOOS=darwin $(GO) vet ./...; $(GO) run $(STATICCHECK) ./...); done
	$(GO) test -count=1 ./internal/lint

clean:
	rm -rf bin
