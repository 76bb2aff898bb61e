// SPDX-License-Identifier: GPL-2.0-or-later
// The way of a write beneath a client's request, from an accepted job to the map, for tests of the
// parts on it and of those that stand on it. Nothing goes on in the background: fragments wait in
// the packer, and entries for a commit, until a test has them go.
#pragma once

#include "volume/testing/parts_fixture.h"
#include "volume/write_path.h"

namespace uvdo::testing {

class WritingFixture : public PartsFixture, private BinAllocator {
 protected:
  /// Runs a coroutine, and ends what it has left under way.
  template <class Body>
  void run(Body body) {
    PartsFixture::run([&]() -> Task<void> {
      co_await body();
      co_await writes.drain();
      co_await data_writer.wait_idle();
      EXPECT_EQ(in_flight.locks().size(), 0U);
    });
  }
  /// Stores an accepted job to its end.
  Task<Result<void>> store(WriteJob& job) {
    auto done = co_await placement.store(job);
    placement.finish(job);
    co_return done;
  }

  DataWriter data_writer{executor, blocks()};
  Packer packer{executor, data_writer, static_cast<BinAllocator&>(*this), depot.epochs(),
                options.packer_fragments};
  ReadPath reads{executor,     blocks(), *ledger, in_flight,        entrance,
                 index_holder, buffers,  options, counters.requests};
  Deduplication deduplication{executor, depot,   reads, index_holder,
                              buffers,  options, 256,   counters};
  MapUpdate update{executor, *ledger};
  Maintenance maintenance{executor, life, notifier, *ledger, options.commit_delay, log_to()};
  Packing packing{executor,      *ledger, in_flight,    jobs,    packer, data_writer,
                  deduplication, update,  index_holder, buffers, options};
  Placement placement{executor, *ledger, in_flight,    jobs,        data_writer, deduplication,
                      update,   packing, index_holder, maintenance, options};
  WritePath writes{executor, life,      notifier, entrance, admission, *ledger, in_flight,
                   jobs,     placement, reads,    packer,   buffers,   options, counters};

 private:
  Pbn allocate_bin(std::uint32_t members) override {
    depot.unreserve(members - 1);
    return depot.allocate(1, true)->first;
  }
};

}  // namespace uvdo::testing
