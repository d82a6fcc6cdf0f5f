# SPDX-License-Identifier: Apache-2.0
# sluice - one binary, no configure step.
#
#   make                 build build/release/sluice
#   make run             install what the build needs, build, start with deploy/quickstart.yml
#   make test            install what the tests need, build, run every test; ends with N passed, N failed, N skipped
#   make test SAN=address|undefined|thread
#                        the same under a sanitizer, in its own build folder (address brings undefined along);
#                        LANES=4 starts sluice with that many lanes
#   make unit            unit and text tests only (T=labels: those whose name has "labels")
#   make system          tests of the running program (T=...: likewise)
#   make demo            node_exporter, VictoriaMetrics, Prometheus and sluice together on loopback
#   make bench           figures beside vmagent and Prometheus (T=query: queries through a server group, in 2 minutes)
#   make compare BASE=REVISION
#                        what a sample and a query cost beside an earlier revision, in instructions and CPU time
#   make torture         long fault runs
#   make fuzz            build the fuzzers with clang and run each for FUZZ_SECONDS (60)
#   make compatibility   generate docs/compatibility.md after a change of flags, endpoints or their tests
#   make lint            -Werror, cppcheck, layering, the longest functions
#   make deps            install the build packages (deploy/packages)
#   make install         honours DESTDIR, PREFIX, SYSCONFDIR, UNITDIR; install-strip strips the binary
#   make uninstall       removes the binary and the unit; the configuration and the queues stay
#   V=1                  show the commands;  BUILD=folder  build somewhere else than build/

NAME    := sluice
VERSION := $(shell cat VERSION)

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
CC         ?= cc
CXX        ?= c++
PKG_CONFIG ?= pkg-config
PACKAGES   := libmicrohttpd gnutls libcrypt libcares yaml-0.1 jansson libzstd snappy libprotobuf-c libxxhash re2 zlib libdeflate expat
LOADED     := libcurl # when it is needed (base/http/curl_library.h)
BUILD      ?= build
comma      := ,

# What the code needs comes first; CFLAGS and LDFLAGS stay the packager's.
STD   := -std=c11 -D_GNU_SOURCE
WARN  := -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wwrite-strings
WARNC := -Wstrict-prototypes -Wmissing-prototypes
OPT   ?= -O2 -g
HARD  := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-omit-frame-pointer
# Paths of the build machine do not end up in the binary: builds are reproducible.
HARD  += '-ffile-prefix-map=$(CURDIR)=.'

ifdef SAN
  MODE  := $(SAN)
  OPT   := -O1 -g
  SANS  := $(SAN)
  ifneq ($(filter address fuzz,$(SAN)),)
    SANS := address$(comma)undefined
  endif
  HARD  := -fsanitize=$(SANS) $(if $(filter fuzz,$(SAN)),-fsanitize=fuzzer-no-link) \
           -fno-sanitize-recover=all -fno-omit-frame-pointer
  HARD  += -DLOCK_RANKS -DMEM_FILL_FREED
  LINK  := -fsanitize=$(SANS)
else
  MODE  ?= release
endif
OUT := $(BUILD)/$(MODE)

# pkg-config is asked when something is compiled or linked, and once: make deps may be what installs it.
once      = $(eval $(1) := $(2))$($(1))
PKG_CFLAGS = $(call once,PKG_CFLAGS,$(shell $(PKG_CONFIG) --cflags $(PACKAGES) $(LOADED)))
PKG_LIBS   = $(call once,PKG_LIBS,$(shell $(PKG_CONFIG) --libs $(PACKAGES)))

ALL_CPPFLAGS = -I. -I$(OUT) -DVERSION='"$(VERSION)"' $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS   = $(STD) $(OPT) $(WARN) $(WARNC) $(HARD) -MMD -MP $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) $(WARN) $(HARD) -MMD -MP $(CXXFLAGS)
ALL_LDFLAGS  = $(LINK) $(LDFLAGS)
LIBS         = $(PKG_LIBS) -lstdc++ -lpthread -ldl -lm

# Each layer is one archive; a layer links against itself and those named here. The order is the layering.
LAYERS := base model promql writer scraper gateway
src     = $(sort $(shell find $(1) -name '*.c' -o -name '*.cc'))
PROTO  := $(patsubst %.proto,$(OUT)/%.pb-c,$(sort $(wildcard model/*.proto)))
obj     = $(patsubst %.cc,$(OUT)/%.o,$(patsubst %.c,$(OUT)/%.o,$(filter-out gateway/main.c,$(call src,$(1))))) \
          $(if $(filter model,$(1)),$(PROTO:%=%.o))
ARCHIVES := $(LAYERS:%=$(OUT)/%.a)
links_base    := base
links_model   := model base
links_promql  := promql model base
links_writer  := writer model base
links_scraper := scraper model base
links_gateway := gateway scraper writer promql model base
archives = $(patsubst %,$(OUT)/%.a,$(links_$(1)))

# tests/unit/LAYER/NAME_test.c is one program, linked with what its layer may see, with the other files beside it
# and with those of tests/unit.
# tests/fuzz/NAME.c is a libFuzzer target.
UNIT  := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(sort $(wildcard tests/unit/*/*_test.c)))
BENCH := $(patsubst tests/bench/%.c,$(OUT)/bench/%,$(sort $(wildcard tests/bench/*_bench.c)))
FUZZ  := $(patsubst tests/fuzz/%.c,$(OUT)/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))
chosen = $(if $(T),$(foreach f,$(1),$(if $(findstring $(T),$(f)),$(f))),$(1))

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-5s %s\n' $(1) $@)
export OUT LANES
# Tests are compiled once for each run; what they test is optimized as ever.
$(OUT)/tests/unit/%.o: private OPT := -O1 -g
# What builds from nothing uses all cores, unless the caller said how many.
cores = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all deps run demo test compatibility test-deps unit system layers bench compare torture fuzz lint install install-strip uninstall \
        clean help
.DELETE_ON_ERROR:
.SECONDARY:
.SECONDEXPANSION:

all: $(OUT)/$(NAME)

$(OUT)/$(NAME): $(OUT)/gateway/main.o $$(call archives,gateway)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(ARCHIVES): $(OUT)/%.a: $$(call obj,%)
	$(call say,AR)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

$(OUT)/%.o: %.c Makefile VERSION | $(PROTO:%=%.h)
	$(call say,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(OUT)/%.o: %.cc Makefile VERSION
	$(call say,CXX)
	$(Q)mkdir -p $(@D) && $(CXX) $(ALL_CPPFLAGS) $(ALL_CXXFLAGS) -c -o $@ $<

# protobuf-c reads the rare messages (remote_read) and, in tests, judges our own remote-write code.
$(PROTO:%=%.o): %.o: %.c
	$(call say,CC)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(OUT)/model/%.pb-c.c $(OUT)/model/%.pb-c.h: model/%.proto
	$(call say,PROTO)
	$(Q)mkdir -p $(OUT)/model && protoc-c --c_out=$(OUT) $<

beside = $(patsubst %.c,$(OUT)/%.o,$(filter-out %_test.c,$(wildcard tests/unit/*.c tests/unit/$(1)/*.c)))
layer  = $(firstword $(subst /, ,$(1)))
$(OUT)/unit/%: $(OUT)/tests/unit/%.o $$(call beside,$$(call layer,$$*)) $$(call archives,$$(call layer,$$*))
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(OUT)/bench/%: $(OUT)/tests/bench/%.o $$(call archives,gateway)
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/fuzz/%: $(OUT)/tests/fuzz/%.o $$(call archives,gateway)
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

deps:
	$(Q)deploy/install-packages build
test-deps:
	$(Q)deploy/install-packages build test

run: deps
	$(Q)$(MAKE) --no-print-directory $(cores) all
	$(Q)exec $(OUT)/$(NAME) --config.file=deploy/quickstart.yml
demo: test-deps
	$(Q)$(MAKE) --no-print-directory $(cores) all
	$(Q)exec deploy/demo.py

# The peers are fetched while the build computes; tests/run waits for them.
test: test-deps
	$(Q)tests/peers.sh >/dev/null 2>&1 &
	$(Q)$(MAKE) --no-print-directory $(cores) all $(UNIT)
	$(Q)tests/run all $(T)
unit: $(call chosen,$(UNIT))
	$(Q)tests/run unit $(T)
system: $(OUT)/$(NAME)
	$(Q)tests/run system $(T)
torture: $(OUT)/$(NAME)
	$(Q)tests/run torture $(T)
layers:
	$(Q)tests/layers.sh
compatibility: $(OUT)/$(NAME)
	$(Q)tests/compatibility/generate.py $< >$(BUILD)/compatibility.md && cp $(BUILD)/compatibility.md docs/compatibility.md
bench: $(OUT)/$(NAME) $(call chosen,$(BENCH))
	$(Q)tests/bench/run $(T)

compare: $(OUT)/$(NAME)
	$(Q)deploy/install-packages build test compare
	$(Q)tests/bench/compare.py $(BASE)

FUZZ_SECONDS ?= 60
ifeq ($(SAN),fuzz)
fuzz: $(call chosen,$(FUZZ))
	$(Q)for f in $^; do corpus=$(BUILD)/corpus/$${f##*/}; mkdir -p $$corpus && echo "  FUZZ  $$f" && \
	    $$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	        -artifact_prefix=$$corpus- $$corpus $$(ls -d tests/fuzz/corpus/$${f##*/} 2>/dev/null) >$$corpus.log 2>&1 || \
	    { tail -n 40 $$corpus.log; exit 1; }; tail -n 1 $$corpus.log; done
else
fuzz:
	$(Q)deploy/install-packages build fuzz
	$(Q)$(MAKE) $(cores) SAN=fuzz CC=clang CXX=clang++ fuzz
endif

lint: layers
	$(Q)deploy/install-packages build lint
	$(Q)$(MAKE) $(cores) BUILD=$(BUILD)/lint CFLAGS=-Werror CXXFLAGS=-Werror all
	$(Q)tests/lint.sh $(LAYERS)

# The unit is a template for PREFIX=/usr/local and SYSCONFDIR=/etc.
install: all
	install -D -m 755 "$(OUT)/$(NAME)" "$(DESTDIR)$(PREFIX)/bin/$(NAME)"
	mkdir -p "$(DESTDIR)$(UNITDIR)"
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|g; s|/etc/sluice|$(SYSCONFDIR)/sluice|g' deploy/sluice.service \
	    >"$(DESTDIR)$(UNITDIR)/$(NAME).service"
	[ -e "$(DESTDIR)$(SYSCONFDIR)/$(NAME)/sluice.yml" ] || \
	    install -D -m 644 deploy/sluice.yml "$(DESTDIR)$(SYSCONFDIR)/$(NAME)/sluice.yml"
install-strip: install
	strip "$(DESTDIR)$(PREFIX)/bin/$(NAME)"
# The configuration and the queues are the user's and stay.
uninstall:
	rm -f "$(DESTDIR)$(PREFIX)/bin/$(NAME)" "$(DESTDIR)$(UNITDIR)/$(NAME).service"
clean:
	rm -rf $(BUILD)

help:
	@sed -n '/^#/!q; 1d; s/^# \{0,1\}//p' Makefile

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
