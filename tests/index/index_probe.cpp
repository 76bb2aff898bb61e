// SPDX-License-Identifier: GPL-2.0-or-later
// Puts names into the index of a volume and asks for them, without the volume: for suites that
// compare the index with an independent reader of its format.
//   index_probe lookup VOLUME            names of standard input, 32 hex digits a line
//   index_probe post VOLUME FIRST COUNT  names of a numbered sequence; those not found are recorded
//   index_probe names FIRST COUNT        prints them, with their data
// --crash leaves without saving, when all closed chapters are written.
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "arguments/arguments.h"
#include "async/uring_loop.h"
#include "base/block_types.h"
#include "device/file_device.h"
#include "format/volume_geometry.h"
#include "index/testing/numbered_names.h"
#include "index/uds_index.h"

namespace uvdo {
namespace {

using test::numbered_data;
using test::numbered_name;

constexpr std::size_t kBatch = 64;

struct Options {
  std::string volume;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool create = false;
  bool crash = false;
};

std::string hex(ConstBytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

RecordName parse_name(const std::string& line) {
  RecordName name;
  check(line.size() >= 2 * name.bytes.size(), "a name has 32 hexadecimal digits");
  for (std::size_t i = 0; i < name.bytes.size(); ++i) {
    name.bytes[i] = static_cast<std::byte>(std::stoul(line.substr(2 * i, 2), nullptr, 16));
  }
  return name;
}

class Probe {
 public:
  Probe(UringLoop& loop, Device& device, const Options& options)
      : loop_(loop), device_(device), options_(options) {}

  Task<void> run(bool post, int& status) {
    status = 1;
    const auto opened = co_await open();
    if (!opened) {
      fmt::print(stderr, "{}\n", opened.error().message());
      co_return;
    }
    if (post) {
      co_await post_names();
    } else {
      co_await look_up_names();
    }
    co_await index_->wait_written();
    status = 0;
    if (options_.crash) {
      co_await index_->close();
      co_return;
    }
    const auto saved = co_await index_->save();
    if (!saved) {
      fmt::print(stderr, "{}\n", saved.error().message());
      status = 1;
    }
  }

 private:
  Task<Result<void>> open() {
    std::vector<std::byte> memory(kBlockSize * 2);
    const std::size_t skew =
        kBlockSize - reinterpret_cast<std::uintptr_t>(memory.data()) % kBlockSize;
    const MutableBytes block = MutableBytes(memory).subspan(skew % kBlockSize, kBlockSize);
    auto read = co_await device_.read(0, block);
    if (!read) co_return std::move(read).error();
    const auto geometry = decode_volume_geometry(block);
    if (!geometry) co_return geometry.error().clone();
    UdsParameters parameters;
    parameters.memory = geometry->index_memory;
    parameters.sparse = geometry->sparse;
    parameters.region_start = device_byte(geometry->index_start, geometry->bio_offset) / kBlockSize;
    parameters.region_blocks = geometry->index_blocks();
    parameters.nonce = geometry->nonce;
    parameters.create = options_.create;
    auto index = UdsIndex::start(loop_, device_, parameters, [](const LogLine& line) {
      fmt::print(stderr, "{}\n", line.text);
    });
    if (!index) co_return std::move(index).error();
    index_ = std::move(*index);
    co_await index_->wait_opened();
    if (index_->state() != IndexState::online) {
      co_await index_->close();
      co_return Error(Errc::corrupt, "the index is not online");
    }
    co_return Result<void>{};
  }

  Task<void> post_names() {
    std::vector<IndexQuery> queries;
    std::uint64_t found = 0;
    const std::uint64_t end = options_.first + options_.count;
    for (std::uint64_t first = options_.first; first < end; first += kBatch) {
      queries.assign(std::min<std::uint64_t>(kBatch, end - first), IndexQuery{});
      for (std::size_t i = 0; i < queries.size(); ++i) queries[i].name = numbered_name(first + i);
      co_await index_->lookup(queries);
      for (std::size_t i = 0; i < queries.size(); ++i) {
        if (queries[i].found) {
          found += queries[i].data == numbered_data(first + i) ? 1 : 0;
        } else {
          index_->record(queries[i], numbered_data(first + i));
        }
      }
      co_await index_->wait_written();
    }
    fmt::print("{}\n", found);
  }

  Task<void> look_up_names() {
    std::vector<IndexQuery> queries;
    for (bool more = true; more;) {
      queries.clear();
      std::string line;
      while (queries.size() < kBatch && (more = static_cast<bool>(std::getline(std::cin, line)))) {
        queries.emplace_back().name = parse_name(line);
      }
      co_await index_->lookup(queries);
      for (const IndexQuery& query : queries) {
        fmt::print("{} {}\n", hex(query.name.bytes), query.found ? hex(query.data) : "-");
      }
    }
  }

  UringLoop& loop_;
  Device& device_;
  const Options& options_;
  std::unique_ptr<UdsIndex> index_;
};

int run_probe(const Options& options, bool post) {
  auto loop = UringLoop::create();
  check(loop.ok(), "no event loop");
  auto device = FileDevice::open(**loop, options.volume, OpenMode::read_write);
  if (!device) {
    fmt::print(stderr, "{}\n", device.error().message());
    return 1;
  }
  int status = 1;
  Probe probe(**loop, **device, options);
  (*loop)->run(probe.run(post, status));
  return status;
}

}  // namespace
}  // namespace uvdo

int main(int argc, char** argv) {
  uvdo::Options options;
  const std::string_view action = argc < 2 ? "" : argv[1];
  if (action != "lookup" && action != "post" && action != "names") {
    fmt::print(stderr,
               "index_probe lookup|post|names ...: look names up, or record them, too, in the "
               "index of a stopped volume; or print names\n");
    return 2;
  }
  uvdo::Arguments app(
      "Asks the index of a stopped volume; the names come from standard input, or "
      "for `post` and `names` are COUNT from FIRST on.",
      fmt::format("index_probe {}", action));
  if (action != "names") {
    app.option("VOLUME", options.volume).required();
    app.flag("--crash", options.crash, "leave without saving");
    app.flag("--create", options.create, "make a new index first");
  }
  if (action != "lookup") {
    app.option("FIRST", options.first).required();
    app.option("COUNT", options.count).required();
  }
  if (auto status = app.parse(argc - 1, argv + 1)) return *status;
  if (action == "names") {
    for (std::uint64_t i = options.first; i < options.first + options.count; ++i) {
      fmt::print("{} {}\n", uvdo::hex(uvdo::numbered_name(i).bytes),
                 uvdo::hex(uvdo::numbered_data(i)));
    }
    return 0;
  }
  return uvdo::run_probe(options, action == "post");
}
