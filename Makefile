# sluice - one binary, no configure step.
#
#   make                 build build/release/sluice
#   make run             install what the build needs, build, start with deploy/quickstart.yml
#   make test            install what the tests need, build, run every test; ends with N passed, N failed, N skipped
#   make test SAN=address|undefined|thread
#                        the same under a sanitizer, in its own build folder (address brings undefined along)
#   make unit            unit and text tests only (T=labels: those whose name has "labels")
#   make system          tests of the running program (T=...: likewise)
#   make demo            node_exporter, VictoriaMetrics, Prometheus and sluice together on loopback
#   make bench           figures beside vmagent and Prometheus
#   make torture         long fault runs
#   make fuzz            build the fuzzers with clang and run each for FUZZ_SECONDS (60)
#   make lint            -Werror, cppcheck, layering, the longest functions
#   make deps            install the build packages (deploy/packages)
#   make install         honours DESTDIR, PREFIX, SYSCONFDIR, UNITDIR
#   V=1                  show the commands;  BUILD=folder  build somewhere else than build/

NAME    := sluice
VERSION := $(shell cat VERSION)

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR    ?= $(PREFIX)/lib/systemd/system
CC         ?= cc
CXX        ?= c++
PKG_CONFIG ?= pkg-config
PACKAGES   := libmicrohttpd libcurl yaml-0.1 jansson libzstd snappy libprotobuf-c libxxhash re2 zlib
BUILD      ?= build

# What the code needs comes first; CFLAGS and LDFLAGS stay the packager's.
STD   := -std=c11 -D_GNU_SOURCE
WARN  := -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wwrite-strings
WARNC := -Wstrict-prototypes -Wmissing-prototypes
OPT   ?= -O2 -g
HARD  := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-omit-frame-pointer

ifdef SAN
  MODE  := $(SAN)
  OPT   := -O1 -g
  SANS  := $(if $(filter address,$(SAN)),address$(comma)undefined,$(SAN))
  HARD  := -fsanitize=$(SANS) -fno-sanitize-recover=all -fno-omit-frame-pointer
  LINK  := -fsanitize=$(SANS)
else
  MODE  ?= release
endif
comma := ,
OUT := $(BUILD)/$(MODE)

ALL_CPPFLAGS = -I. -I$(OUT) -DVERSION='"$(VERSION)"' $(shell $(PKG_CONFIG) --cflags $(PACKAGES)) $(CPPFLAGS)
ALL_CFLAGS   = $(STD) $(OPT) $(WARN) $(WARNC) $(HARD) -MMD -MP $(CFLAGS)
ALL_CXXFLAGS = -std=c++17 $(OPT) $(WARN) $(HARD) -MMD -MP $(CXXFLAGS)
ALL_LDFLAGS  = $(LINK) $(LDFLAGS)
LIBS         = $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lstdc++ -lpthread -lm

# Each layer is one archive; a layer links against itself and those named here. The order is the layering.
LAYERS := base model promql writer scraper gateway
dirs    = $(sort $(1) $(patsubst %/,%,$(wildcard $(1)/*/)))
src     = $(sort $(wildcard $(addsuffix /*.c,$(call dirs,$(1)))) $(wildcard $(addsuffix /*.cc,$(call dirs,$(1)))))
obj     = $(patsubst %.cc,$(OUT)/%.o,$(patsubst %.c,$(OUT)/%.o,$(filter-out gateway/main.c,$(call src,$(1)))))
ARCHIVES := $(LAYERS:%=$(OUT)/%.a)
links_base    := base
links_model   := model base
links_promql  := promql model base
links_writer  := writer model base
links_scraper := scraper model base
links_gateway := gateway scraper writer promql model base
archives = $(patsubst %,$(OUT)/%.a,$(links_$(1)))

# tests/unit/LAYER/NAME_test.c is one program, linked with what its layer may see.
UNIT  := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(sort $(wildcard tests/unit/*/*_test.c)))
BENCH := $(patsubst tests/bench/%.c,$(OUT)/bench/%,$(sort $(wildcard tests/bench/*_bench.c)))

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),@printf '  %-5s %s\n' $(1) $@)

.PHONY: all deps run demo test unit system layers bench torture fuzz lint install clean help
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

$(OUT)/%.o: %.c Makefile
	$(call say,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(OUT)/%.o: %.cc Makefile
	$(call say,CXX)
	$(Q)mkdir -p $(@D) && $(CXX) $(ALL_CPPFLAGS) $(ALL_CXXFLAGS) -c -o $@ $<

$(OUT)/unit/%: $(OUT)/tests/unit/%.o $$(call archives,$$(firstword $$(subst /, ,$$*)))
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(OUT)/bench/%: $(OUT)/tests/bench/%.o $$(call archives,gateway)
	$(call say,LD)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# protobuf-c reads the rare messages (remote_read) and, in tests, judges our own remote-write code.
$(OUT)/model/%.pb-c.c $(OUT)/model/%.pb-c.h: model/%.proto
	$(call say,PROTO)
	$(Q)mkdir -p $(OUT)/model && protoc-c --c_out=$(OUT) $<

deps:
	$(Q)deploy/install-packages build
unit: $(filter %$(T)%,$(UNIT)) $(UNIT)
	$(Q)OUT=$(OUT) tests/run unit $(T)
system: $(OUT)/$(NAME)
	$(Q)OUT=$(OUT) tests/run system $(T)
layers:
	$(Q)tests/layers.sh
test:
	$(Q)tests/run all
bench: $(OUT)/$(NAME) $(BENCH)
	$(Q)OUT=$(OUT) tests/bench/run
clean:
	rm -rf build

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
