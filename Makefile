# millrace: every target works from a clean clone, installs what it needs, and says what it is doing.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help deps deps-test deps-bench deps-vm bpf demo demo-failover test test-unit sim fuzz test-vm vm-shell check bench bench-vm lab lab-down clean

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
MIN_BUN := 1.4.5
# A Bun on the path is taken if it is new enough; else the one that npm brings.
PATH_BUN := $(shell command -v bun 2>/dev/null)
NEW_ENOUGH := $(if $(PATH_BUN),$(shell printf '%s\n' $(MIN_BUN) "$$($(PATH_BUN) --version)" | sort -CV && echo yes))
BUN := $(if $(NEW_ENOUGH),$(PATH_BUN),$(CURDIR)/node_modules/.bin/bun)

# What building and running needs, and what the tests hold us against besides.
APT_RUN := clang libbpf-dev libxdp-dev libc6-dev iproute2 iputils-ping ethtool
APT_TEST := xdp-tools bpftool tshark tcpdump hping3 socat curl nftables python3
# Peers of the host: what asks it, and what serves it.
APT_PEERS := nmap fping arping ndisc6 traceroute mtr-tiny iputils-tracepath bind9-dnsutils knot-dnsutils dnsperf sockperf openssh-client
APT_SERVERS := dnsmasq-base isc-dhcp-server radvd smcroute openssh-server frr bird2
# What the bench holds us against besides.
APT_BENCH := sockperf knot-dnsutils nsd knot nodejs frr
# The virtual machine's emulator, and what unpacks its kernels, which are fetched and never installed.
APT_VM := qemu-system-x86 kmod xz-utils

CLANG ?= clang
# Debian keeps asm/types.h in the folder of the architecture, where clang -target bpf does not look.
BPF_FLAGS := -O2 -g -Wall -Wextra -Wno-unused-parameter -target bpf -mcpu=v3 -I/usr/include/$(shell uname -m)-linux-gnu
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# $(call install,PACKAGES): apt-get what is missing of them, and nothing where nothing is. Servers stay at rest.
define install
	@missing=""; for package in $(1); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  command -v apt-get >/dev/null || { echo "millrace: install these by hand:$$missing"; exit 1; }; \
	  echo "millrace: installing$$missing"; \
	  $(SUDO) sh tests/support/apt-install.sh $$missing; \
	fi
endef

node_modules/.package-lock.json: package.json package-lock.json
	@command -v npm >/dev/null || { echo "millrace: installing npm"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null; }
	@echo "millrace: npm ci"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

deps: node_modules/.package-lock.json ## install what building and running needs (apt, npm)
	$(call install,$(APT_RUN))

deps-test: deps ## install what the tests need besides
	$(call install,$(APT_TEST) $(APT_PEERS) $(APT_SERVERS))

deps-bench: deps ## install what the bench needs besides
	$(call install,$(APT_BENCH))

deps-vm: deps-test ## install what the virtual machine needs besides
	$(call install,$(APT_VM))

bpf: deps $(BPF_OBJECTS) ## compile the kernel programs that changed

bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@echo "millrace: clang $<"
	@$(CLANG) $(BPF_FLAGS) -c $< -o $@

demo: bpf ## ten seconds of real traffic between two namespaces, watched live
	@$(SUDO) $(BUN) run examples/demo.ts

demo-failover: bpf ## a conversation that outlives its paths: cut in five ways, with a picture of the gaps
	$(call install,nftables)
	@$(SUDO) $(BUN) run examples/demo-failover.ts

test: deps-test bpf ## everything, on the real kernel (root)
	@$(SUDO) env CI="$(CI)" $(BUN) run tests/run.ts

test-unit: deps ## what needs neither root nor a kernel
	@$(BUN) run tests/run.ts unit

sim: deps ## hosts in virtual time from SEEDS seeds; SEED=n is the first, JOBS=n processes share them
	@$(BUN) run tests/sim/run.ts $(or $(SEEDS),1000) $(or $(SEED),1) $(or $(JOBS),1)

fuzz: deps ## N broken packets through printer, parsers and a live host; SEED=n repeats a run
	@$(BUN) run tests/fuzz/run.ts $(or $(N),100000) $(or $(SEED),1)

test-vm: deps-test bpf ## the tests in virtual machines: zero-copy cards, old and new kernels (root)
	@$(MAKE) --no-print-directory deps-vm || echo "millrace: what the virtual machine needs cannot be had here"
	@$(SUDO) env CI="$(CI)" $(BUN) run tests/vm/run.ts

vm-shell: deps-vm bpf ## a shell in the virtual machine; KERNEL=6.1, 6.12 or newest
	@$(SUDO) env TERM="$(TERM)" $(BUN) run tests/vm/shell.ts $(or $(KERNEL),newest)

check: deps ## types, format and the layer rules
	@$(BUN) check
	@$(BUN) fmt --check
	@$(BUN) test tests/unit/layers.test.ts

bench: deps-bench bpf ## figures against C and others (root)
	@$(SUDO) $(BUN) run bench/run.ts

bench-vm: deps-vm bpf ## the same against C with zero-copy cards, in the virtual machine (root)
	@$(SUDO) $(BUN) run tests/vm/bench.ts

lab: bpf ## a veth pair between two namespaces to play in
	@$(SUDO) $(BUN) run examples/lab-up.ts up

lab-down: deps ## remove it
	@$(SUDO) $(BUN) run examples/lab-up.ts down

clean: ## remove what was built
	rm -rf bpf/*.o bench/build node_modules
