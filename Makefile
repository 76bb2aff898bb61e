# SPDX-License-Identifier: GPL-2.0-or-later
# The front door. `make demo` and `make test` do all they need on a fresh Debian 12 machine.
.PHONY: build demo test test-release test-asan test-tsan test-kernel test-devices bench sim exhaustive torture format lint tidy demo-picture layers install deb deb-check rpm test-boot clean
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
	@scripts/install-dependencies devices
	@cmake --preset release -DUVDO_TESTS=ON >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo index_probe ublk_memory_server kernel_nbd_memory_server
	@tests/kernel/run $(KERNEL)

# The operations of file system suites on uvdo's block device and on a raw file, with a table of both
# (as root); DEVICES="stress-ng PostgreSQL --file-systems xfs --seconds 10" and other options of
# tests/devices/run.
test-devices:
	@scripts/install-dependencies devices
	@cmake --preset release -DUVDO_TESTS=OFF -DUVDO_BENCH=OFF >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo
	@tests/devices/run $(DEVICES)

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

# Program, manual pages, completion and units, as `cmake --install` puts them; make install DESTDIR=... PREFIX=/usr.
# Units name the program's path, so that the place counts when they are made.
install:
	@scripts/install-dependencies install
	@cmake --preset release -DUVDO_TESTS=OFF -DUVDO_BENCH=OFF -DCMAKE_INSTALL_PREFIX=$(or $(PREFIX),/usr/local) >/dev/null
	@cmake --build build -j $(JOBS) --target uvdo man
	@cmake --install build

# Debian packages, in build/deb; `make deb-check` has lintian look at them, and builds them a second
# time elsewhere to see that they are the same, byte for byte.
deb:
	@scripts/install-dependencies packages
	@mkdir -p build
	@scripts/build-packages build/deb >build/deb.log 2>&1 || { tail -30 build/deb.log; exit 1; }
	@ls build/deb/*.deb

deb-check: deb
	@lintian --fail-on error,warning --allow-root build/deb/*.changes
	@scripts/build-packages build/deb-again >build/deb-again.log 2>&1 || { tail -30 build/deb-again.log; exit 1; }
	@for package in build/deb/*.deb; do cmp "$$package" "build/deb-again/$${package##*/}" || exit 1; done
	@echo "lintian has nothing to say, and two builds are the same."

# RPM packages, in build/rpm/RPMS: whether the libraries have the names that the spec gives them is for a
# distribution of RPM's to say.
rpm:
	@scripts/install-dependencies packages
	@mkdir -p build
	@scripts/build-rpm build/rpm >build/rpm.log 2>&1 || { tail -30 build/rpm.log; exit 1; }
	@ls build/rpm/RPMS/*/*.rpm

# A whole Debian with the packages in a virtual machine: volumes that come back after a reboot, an
# upgrade in use, and what is left after a removal. As root.
test-boot: deb
	@scripts/install-dependencies boot
	@UVDO_BOOT_REQUIRED=1 tests/boot/test_boot.py

clean:
	rm -rf build build-asan build-tsan build-debug build-clang build-fuzz
