# SPDX-License-Identifier: GPL-2.0-or-later
# The front door. `make demo` and `make test` do all they need on a fresh Debian 12 machine.
.PHONY: build demo test test-release test-asan test-tsan test-kernel bench sim exhaustive torture format lint tidy demo-picture layers install clean
JOBS ?= $(shell nproc)

build:
	@scripts/install-dependencies build
	@cmake --preset release -DUVDO_TESTS=OFF -DUVDO_BENCH=OFF >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo

demo:
	@scripts/install-dependencies demo
	@cmake --preset release -DUVDO_TESTS=OFF -DUVDO_BENCH=OFF >/dev/null
	@echo "Building uvdo ..."
	@cmake --build build -j $(JOBS) --target uvdo >/dev/null
	@scripts/demo

# All tests, of the release build and of the one with AddressSanitizer and UBSan. One ctest run
# over both, so that its summary is the last word.
test:
	@scripts/install-dependencies test
	@cmake --preset release -DUVDO_TESTS=ON -DUVDO_BENCH=ON >/dev/null
	@cmake --build build -j $(JOBS)
	@cmake --preset asan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@scripts/run-tests build build-asan

test-release:
	@scripts/install-dependencies test
	@cmake --preset release -DUVDO_TESTS=ON -DUVDO_BENCH=ON >/dev/null
	@cmake --build build -j $(JOBS)
	@scripts/run-tests build

test-asan:
	@scripts/install-dependencies test
	@cmake --preset asan >/dev/null
	@cmake --build build-asan -j $(JOBS)
	@scripts/run-tests build-asan

test-tsan:
	@scripts/install-dependencies test
	@cmake --preset tsan >/dev/null
	@cmake --build build-tsan -j $(JOBS)
	@scripts/run-tests build-tsan

# Volumes to and fro between uvdo and the dm-vdo of a Debian kernel in a virtual machine: everything;
# KERNEL="clean crash" runs some suites only. `make test` runs a part.
test-kernel:
	@scripts/install-dependencies test
	@cmake --preset release -DUVDO_TESTS=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo index_probe ublk_memory_server kernel_nbd_memory_server
	@tests/kernel/run $(KERNEL)

# Figures of this machine; see docs/performance.md for what they mean. BENCH="--quick" and other
# options of bench/run.
bench:
	@scripts/install-dependencies bench
	@cmake --preset release -DUVDO_BENCH=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo index_bench primitives_bench nbd_load large_volume_bench
	@bench/run $(BENCH)

# Random histories of the whole volume with crashes and faults; `make sim SEEDS=100000`.
sim:
	@scripts/install-dependencies sim
	@cmake --preset release -DUVDO_TESTS=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo-sim
	@build/tests/sim/uvdo-sim --subject volume --profile any --count $(or $(SEEDS),200) --jobs $(JOBS)

# Every history of up to three operations, every power cut; `make exhaustive SEEDS=10` in ten ways.
exhaustive:
	@scripts/install-dependencies sim
	@cmake --preset release -DUVDO_TESTS=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo-exhaustive
	@build/tests/sim/uvdo-exhaustive --seeds $(or $(SEEDS),1) --jobs $(JOBS)

# The real server killed again and again, on a file, on a loop device (as root), and on a volume
# without room; `make torture KILLS=1000`.
torture:
	@scripts/install-dependencies test
	@cmake --preset release -DUVDO_TESTS=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo
	@tests/torture/torture.py --kills $(or $(KILLS),100)
	@tests/torture/torture.py --kills $(or $(KILLS),100) --full
	@tests/torture/torture.py --kills $(or $(KILLS),100) --backing loop || [ $$? = 77 ]

format:
	@scripts/install-dependencies lint
	@git ls-files '*.h' '*.cpp' | xargs clang-format-14 -i

lint:
	@scripts/install-dependencies lint
	@scripts/lint
	@scripts/headers

# What clang-tidy says of all sources (.clang-tidy); too slow for each change.
tidy:
	@scripts/install-dependencies tidy
	@scripts/tidy

# The picture of the README, from what a demo's volume says of itself.
demo-picture: build
	@UVDO_DEMO_FIGURES=$(CURDIR)/build/demo.json scripts/demo
	@scripts/draw-demo build/demo.json docs/demo.svg

# The picture of the layers, from the build's own list.
layers:
	@scripts/layers --draw docs/layers.svg
	@scripts/layers

# Program, manual pages and completion, as `cmake --install` puts them; make install DESTDIR=... PREFIX=/usr.
install:
	@scripts/install-dependencies install
	@$(MAKE) --no-print-directory build
	@cmake --build build -j $(JOBS) --target man
	@cmake --install build --prefix $(or $(PREFIX),/usr/local)

clean:
	rm -rf build build-asan build-tsan build-debug build-clang build-fuzz
