// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/ask_index.h"

#include <utility>

#include "async/uring_loop.h"
#include "format/advice.h"
#include "manage/open_stopped.h"
#include "volume/uds_index_factory.h"

namespace uvdo {
namespace {

using Opinions = std::vector<IndexOpinion>;

Task<void> look_up(UdsIndex& index, std::span<const RecordName> names, Opinions& out) {
  std::vector<IndexQuery> queries(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) queries[i].name = names[i];
  co_await index.lookup(queries);
  for (const IndexQuery& query : queries) {
    IndexOpinion& opinion = out.emplace_back();
    opinion.is_known = query.found;
    if (query.found) opinion.mapping = decode_advice(query.data.data());
  }
}

Task<void> ask(UringLoop& loop, const std::string& volume, std::span<const RecordName> names,
               Result<Opinions>& done) {
  auto opened = co_await open_stopped(loop, volume, OpenMode::read_only);
  if (!opened) {
    done = std::move(opened).error();
    co_return;
  }
  // Why an index cannot be opened, it says in its log alone.
  std::string last_word = "the index cannot be opened";
  auto index =
      UdsIndex::start(loop, *opened->device, uds_parameters(opened->headers.geometry, false),
                      [&last_word](const LogLine& line) { last_word = line.text; });
  if (!index) {
    done = std::move(index).error().within(volume);
    co_return;
  }
  co_await (*index)->wait_opened();
  if ((*index)->state() == IndexState::online) {
    co_await look_up(**index, names, *done);
  } else {
    done = Error(Errc::corrupt, last_word).within(volume);
  }
  co_await (*index)->close();
}

}  // namespace

Result<Opinions> ask_index(const std::string& volume, std::span<const RecordName> names) {
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<Opinions> done = Opinions();
  (*loop)->run(ask(**loop, volume, names, done));
  return done;
}

}  // namespace uvdo
