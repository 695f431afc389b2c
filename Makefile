GO       ?= go
PREFIX   ?=
DESTDIR  ?=
FUZZTIME ?= 10s
TESTFLAGS ?=

# The tools have a go.mod of their own, so that they stay out of the program's.
TOOL     := $(GO) tool -modfile=.tools/go.mod

GOEXE    := $(shell $(GO) env GOEXE)
GOOS     := $(shell $(GO) env GOOS)
BINDIR   = $(DESTDIR)$(if $(PREFIX),$(PREFIX)/bin,$(shell $(GO) env GOPATH)/bin)
MANDIR   = $(if $(PREFIX),$(DESTDIR)$(PREFIX)/share/man/man1)
LINK     := $(if $(filter windows,$(GOOS)),cp -f,ln -sf)
PROGRAMS = $(shell $(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./cmd/covenant...)
# plugins/X is installed as covenant-capability-X, which is what the gate looks for. Small,
# since its digest is taken whenever it is started cold.
PLUGINS  = $(shell $(GO) list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./plugins/...)

.PHONY: build gitleaks install demo test lint fuzz bench docs cover clean help

build: ## build all programs into ./bin
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ $(PROGRAMS)
	@set -e; for p in $(PLUGINS); do \
		echo "CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/covenant-capability-$${p##*/}$(GOEXE) $$p"; \
		CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o "bin/covenant-capability-$${p##*/}$(GOEXE)" "$$p"; \
	done

install: build ## install into PREFIX/bin, or GOPATH/bin, with a link covenant-X for each command X
	mkdir -p "$(BINDIR)"
	install -m 0755 bin/* "$(BINDIR)/"
	@set -e; cd bin; \
	for x in $$(./covenant$(GOEXE) __complete '' 2>/dev/null | sed -n 's/^\([a-z][a-z0-9-]*\)	.*/\1/p'); do \
		case $$x in help|completion) continue;; esac; \
		[ -e "covenant-$$x$(GOEXE)" ] || (cd "$(BINDIR)" && $(LINK) covenant$(GOEXE) "covenant-$$x$(GOEXE)"); \
	done; \
	cd "$(BINDIR)" && $(LINK) covenant$(GOEXE) git-covenant$(GOEXE)
ifneq ($(MANDIR),)
	mkdir -p "$(MANDIR)"
	install -m 0644 docs/man/*.1 "$(MANDIR)/"
endif

gitleaks: ## build the redactor that knows the rules of gitleaks into ./bin; it brings 60 modules that nothing else needs
	cd plugins/gitleaks && CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o "$(CURDIR)/bin/covenant-redactor-gitleaks$(GOEXE)" .

demo: build ## tell the story on a terminal
	PATH="$(CURDIR)/bin:$$PATH" sh testdata/demo/demo.sh

test: ## run all tests; MATRIX=full tells every story in every kind of repository
	@echo "stories in $(if $(findstring -short,$(TESTFLAGS)),one kind,$(if $(filter full,$(MATRIX)),every kind,two kinds)) of repository"
	MATRIX="$(MATRIX)" $(GO) test $(TESTFLAGS) ./...

lint: ## check format, vet, and the rules of .golangci.yml
	@files=$$(git ls-files -co --exclude-standard '*.go' | xargs $(TOOL) gofumpt -l); \
	if [ -n "$$files" ]; then echo "not formatted with gofumpt:"; echo "$$files"; exit 1; fi
	$(GO) vet ./...
	$(TOOL) golangci-lint run

fuzz: ## run every fuzz target for FUZZTIME
	GO="$(GO)" FUZZTIME="$(FUZZTIME)" bash .ci/fuzz

bench: build ## measure the bars of docs/benchmarks.md, as ratios to plain Git; QUICK=1 for small repositories only
	$(GO) run ./cmd/internal/bench $(if $(QUICK),-quick) bin

docs: ## generate docs/man and docs/cli from the commands
	$(GO) run ./cmd/internal/docs

cover: ## measure what the tests reach, stories included
	rm -rf .cover && mkdir -p .cover/programs
	GOCOVERDIR="$(CURDIR)/.cover/programs" $(GO) test -coverpkg=./... -coverprofile=.cover/tests.txt ./...
	$(GO) tool covdata textfmt -i=.cover/programs -o=.cover/programs.txt
	tail -n +2 .cover/programs.txt >>.cover/tests.txt
	$(GO) tool cover -html=.cover/tests.txt -o .cover/index.html
	$(GO) tool cover -func=.cover/tests.txt | tail -n 1

clean: ## remove what was built
	rm -rf bin .cover

help: ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST))
