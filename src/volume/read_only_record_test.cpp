// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/read_only_record.h"

#include "device/sim_device.h"
#include "ledger/testing/ledger_fixture.h"

namespace uvdo {
namespace {

class ReadOnlyRecordTest : public testing::LedgerFixture {
 protected:
  ReadOnlyRecord make() {
    return {executor, disk,         flushes,
            *ledger,  super_blocks, [this](const LogLine& line) { log.push_back(line.text); }};
  }

  SimDevice disk{executor, 1U << 20U};
  FlushGate flushes{executor, disk};
  SuperBlockStore super_blocks{executor, PbnDevice(flushes, 0), Pbn{4}, layout->super_block};
};

TEST_F(ReadOnlyRecordTest, SaysWhereARebuildBegins) {
  run([this]() -> Task<void> {
    ReadOnlyRecord record = make();
    record.start();
    record.start();  // it is under way
    co_await record.wait();
    EXPECT_TRUE(record.is_written());
    EXPECT_EQ(super_blocks.current().journal.journal_start, ledger->journal().durable_head());
    EXPECT_TRUE(log.empty());
  });
  EXPECT_EQ(disk.misuse(), "");
}

TEST_F(ReadOnlyRecordTest, DoesNotRestOnAFlushThatHasFailed) {
  SimFault fault;
  fault.reads = fault.writes = false;
  fault.count = 1;
  disk.add_fault(fault);
  run([this]() -> Task<void> {
    auto flushed = co_await flushes.flush();
    EXPECT_FALSE(flushed.ok());
    ReadOnlyRecord record = make();
    record.start();
    co_await record.wait();
    EXPECT_TRUE(record.is_written());
  });
}

}  // namespace
}  // namespace uvdo
