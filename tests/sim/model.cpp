// SPDX-License-Identifier: GPL-2.0-or-later
#include "model.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "base/check.h"
#include "device/sparse_image.h"

namespace uvdo::sim {

Model::Block& Model::block_at(std::uint64_t number) {
  std::unique_ptr<Block>& block = blocks_[number];
  if (!block) block = std::make_unique<Block>();
  return *block;
}

Value Model::apply(const Pending& pending, const Value& value) {
  const BlockChange& change = pending.change;
  if (change.offset == 0 && change.length == kBlockSize) return pending.value;
  alignas(8) std::array<std::byte, kBlockSize> bytes;
  pending.value.copy_to(bytes);
  return value.overlaid(change.offset, ConstBytes(bytes).subspan(change.offset, change.length));
}

bool Model::is_quiet(const Block& block) {
  return std::all_of(block.slots.begin(), block.slots.end(),
                     [](const Pending& pending) { return pending.token == 0; });
}

bool Model::has_room(std::uint64_t block) const {
  const Block* found = find(block);
  return found == nullptr || std::any_of(found->slots.begin(), found->slots.end(),
                                         [](const Pending& slot) { return slot.token == 0; });
}

// Adds every case that can come of the present ones by the operation in slot `begun`, which has
// just begun, and then by others that have not taken effect yet.
void Model::add_cases(Block& block, std::size_t begun) {
  const std::size_t present = block.cases.size();
  for (std::size_t at = 0; at < block.cases.size(); ++at) {
    for (std::size_t slot = 0; slot < kMostAtOnce; ++slot) {
      // What the other operations make of the present cases is among those.
      if (at < present && slot != begun) continue;
      const auto bit = static_cast<std::uint8_t>(1U << slot);
      if (block.slots[slot].token == 0 || (block.cases[at].applied & bit) != 0) continue;
      Case made{apply(block.slots[slot], block.cases[at].value),
                static_cast<std::uint8_t>(block.cases[at].applied | bit)};
      const bool known =
          std::any_of(block.cases.begin() + static_cast<std::ptrdiff_t>(present), block.cases.end(),
                      [&](const Case& other) {
                        return other.applied == made.applied && other.value == made.value;
                      });
      if (!known) block.cases.push_back(std::move(made));
    }
  }
  for (std::size_t at = present; at < block.cases.size(); ++at) {
    const Case& one = block.cases[at];
    const auto found = std::find_if(block.history.begin(), block.history.end(),
                                    [&](const Past& past) { return past.value == one.value; });
    if (found == block.history.end()) {
      block.history.push_back({one.value, kNow, one.applied, false});
    } else {
      found->until = kNow;
      found->dead = false;
      found->with = static_cast<std::uint8_t>(found->with | one.applied);
    }
  }
}

// After cases were dropped: values that are no longer current were so until `gone_at`.
void Model::retire_history(Block& block, std::uint64_t gone_at) {
  for (Past& past : block.history) {
    if (past.until != kNow) continue;
    const bool current = std::any_of(block.cases.begin(), block.cases.end(),
                                     [&](const Case& c) { return c.value == past.value; });
    if (!current) past.until = gone_at;
  }
}

void Model::drop_old(Block& block) {
  if (block.readers != 0) return;
  std::erase_if(block.history, [](const Past& past) { return past.dead && past.until != kNow; });
}

Model::Token Model::begin(std::vector<BlockChange> changes) {
  ++clock_;
  Operation operation;
  operation.token = next_token_++;
  for (const BlockChange& change : changes) {
    check(change.block < blocks_.size() && change.offset + change.length <= kBlockSize,
          "a change outside of the model");
    Block& block = block_at(change.block);
    std::size_t slot = 0;
    while (slot < kMostAtOnce && block.slots[slot].token != 0) ++slot;
    check(slot < kMostAtOnce, "too many operations change one block at the same time");
    block.slots[slot] = {operation.token, change, Value(change.content)};
    known_.try_emplace(block.slots[slot].value.hash(), change.content, change.block);
    const auto bit = static_cast<std::uint8_t>(1U << slot);
    for (Past& past : block.history) past.with = static_cast<std::uint8_t>(past.with & ~bit);
    add_cases(block, slot);
    if (!block.listed) {
      block.listed = true;
      dirty_.push_back(change.block);
    }
    operation.places.emplace_back(change.block, slot);
  }
  operations_.push_back(std::move(operation));
  return operations_.back().token;
}

void Model::settle(Block& block, std::size_t slot, bool applied, bool stable) {
  const auto bit = static_cast<std::uint8_t>(1U << slot);
  applied = applied && !block.slots[slot].change.optional;
  if (applied) {
    std::erase_if(block.cases, [&](const Case& one) { return (one.applied & bit) == 0; });
    check(!block.cases.empty(), "the model lost its cases");
    retire_history(block, clock_);
    if (stable) {
      // FUA: what was there before the write cannot come back, unless it may have come after it.
      for (Past& past : block.history) past.dead = past.dead || (past.with & bit) == 0;
    }
  }
  // Cases that differed in nothing else become one.
  std::size_t kept = 0;
  for (Case& one : block.cases) {
    one.applied = static_cast<std::uint8_t>(one.applied & ~bit);
    const auto end = block.cases.begin() + static_cast<std::ptrdiff_t>(kept);
    const bool known = std::any_of(block.cases.begin(), end, [&](const Case& other) {
      return other.applied == one.applied && other.value == one.value;
    });
    if (known) continue;
    if (&one != &block.cases[kept]) block.cases[kept] = std::move(one);
    ++kept;
  }
  block.cases.resize(kept);
  block.slots[slot].token = 0;
  if (is_quiet(block)) block.quiet_since = clock_;
  drop_old(block);
}

std::optional<Model::Operation> Model::take_operation(Token token) {
  const auto found = std::find_if(operations_.begin(), operations_.end(),
                                  [&](const Operation& other) { return other.token == token; });
  if (found == operations_.end()) return std::nullopt;  // a crash has forgotten it
  Operation operation = std::move(*found);
  *found = std::move(operations_.back());
  operations_.pop_back();
  return operation;
}

void Model::acknowledge(Token token, bool stable) {
  const std::optional<Operation> operation = take_operation(token);
  if (!operation) return;
  ++clock_;
  for (const auto& [block, slot] : operation->places) settle(block_at(block), slot, true, stable);
}

void Model::fail(Token token) {
  const std::optional<Operation> operation = take_operation(token);
  if (!operation) return;
  ++clock_;
  for (const auto& [block, slot] : operation->places) settle(block_at(block), slot, false, false);
}

Model::Token Model::begin_flush() {
  flushes_.emplace_back(next_token_, ++clock_);
  return next_token_++;
}

void Model::acknowledge_flush(Token token) {
  const auto found = std::find_if(flushes_.begin(), flushes_.end(),
                                  [&](const auto& flush) { return flush.first == token; });
  if (found == flushes_.end()) return;
  const std::uint64_t begun = found->second;
  flushes_.erase(found);
  ++clock_;
  std::erase_if(dirty_, [&](std::uint64_t number) {
    Block& block = block_at(number);
    // What had ended when the flush began cannot come back.
    for (Past& past : block.history) past.dead = past.dead || past.until < begun;
    drop_old(block);
    block.listed = block.history.size() > 1 || !is_quiet(block);
    return !block.listed;
  });
}

void Model::stop_cleanly() {
  check(operations_.empty(), "a volume stops only when no operation is under way");
  acknowledge_flush(begin_flush());
}

Model::Token Model::begin_read(std::uint64_t first_block, std::uint64_t count) {
  reads_.push_back({next_token_, ++clock_, first_block, count});
  for (std::uint64_t i = 0; i < count; ++i) ++block_at(first_block + i).readers;
  return next_token_++;
}

std::optional<std::string> Model::check_read(Token token, std::uint64_t number, std::size_t offset,
                                             ConstBytes bytes) {
  const auto read = std::find_if(reads_.begin(), reads_.end(),
                                 [&](const Read& other) { return other.token == token; });
  if (read == reads_.end()) return std::nullopt;  // a crash has forgotten it
  ++checks_;
  Block& block = block_at(number);
  const bool whole = bytes.size() == kBlockSize;
  const std::uint64_t hash = whole ? hash_content(bytes) : 0;
  const auto matches = [&](const Value& value) {
    if (whole) return value.hash() == hash;
    alignas(8) std::array<std::byte, kBlockSize> content;
    value.copy_to(content);
    return std::memcmp(content.data() + offset, bytes.data(), bytes.size()) == 0;
  };
  const bool possible = std::any_of(
      block.history.begin(), block.history.end(),
      [&](const Past& past) { return past.until >= read->begun && matches(past.value); });
  if (!possible) return explain(number, block, offset, bytes, read->begun);
  // What was read while nothing changed is the value, and was it since the last change.
  if (block.cases.size() > 1 && is_quiet(block) && block.quiet_since <= read->begun) {
    std::erase_if(block.cases, [&](const Case& one) { return !matches(one.value); });
    check(!block.cases.empty(), "the model lost its cases");
    retire_history(block, block.quiet_since);
  }
  return std::nullopt;
}

void Model::end_read(Token token) {
  const auto read = std::find_if(reads_.begin(), reads_.end(),
                                 [&](const Read& other) { return other.token == token; });
  if (read == reads_.end()) return;
  for (std::uint64_t i = 0; i < read->count; ++i) {
    Block& block = block_at(read->first + i);
    --block.readers;
    drop_old(block);
  }
  reads_.erase(read);
}

void Model::crash() {
  ++clock_;
  operations_.clear();
  reads_.clear();
  flushes_.clear();
  for (const std::unique_ptr<Block>& block : blocks_) {
    if (!block) continue;
    block->readers = 0;
    block->slots = {};
    drop_old(*block);
    // Anything that may have survived is a case from now on; the first reading decides which it is.
    block->cases.clear();
    for (Past& past : block->history) {
      past.until = kNow;
      past.with = 0;
      block->cases.push_back({past.value, 0});
    }
    block->quiet_since = clock_;
  }
}

void Model::die() {
  ++clock_;
  operations_.clear();
  reads_.clear();
  flushes_.clear();
  for (const std::unique_ptr<Block>& block : blocks_) {
    if (!block) continue;
    block->readers = 0;
    block->slots = {};
    for (Past& past : block->history) past.with = 0;
    std::vector<Case> cases;
    for (Case& one : block->cases) {
      const bool is_known =
          std::ranges::any_of(cases, [&](const Case& other) { return other.value == one.value; });
      if (!is_known) cases.push_back({std::move(one.value), 0});
    }
    block->cases = std::move(cases);
    block->quiet_since = clock_;
    drop_old(*block);
  }
}

std::optional<std::string> Model::check_after_crash(std::uint64_t number, ConstBytes bytes) {
  ++checks_;
  Block& block = block_at(number);
  const std::uint64_t hash = hash_content(bytes);
  const auto found = std::find_if(block.cases.begin(), block.cases.end(),
                                  [&](const Case& one) { return one.value.hash() == hash; });
  if (found == block.cases.end()) return explain(number, block, 0, bytes, 0);
  const Value value = found->value;
  block.cases.assign(1, Case{value, 0});
  block.history.assign(1, Past{value, kNow, 0, false});
  return std::nullopt;
}

std::optional<std::string> Model::look_after_crash(std::uint64_t number, ConstBytes bytes) const {
  ++checks_;
  static const Block kUntouched;
  const Block* const block = find(number) != nullptr ? find(number) : &kUntouched;
  const std::uint64_t hash = hash_content(bytes);
  const bool is_possible =
      std::ranges::any_of(block->cases, [&](const Case& one) { return one.value.hash() == hash; });
  if (is_possible) return std::nullopt;
  return explain(number, *block, 0, bytes, 0);
}

std::vector<std::uint64_t> Model::touched() const {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i]) numbers.push_back(i);
  }
  return numbers;
}

std::uint64_t Model::crash_hash() const {
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < blocks_.size(); ++i) {
    if (!blocks_[i]) continue;
    for (const Past& past : blocks_[i]->history) {
      if (!past.dead) total += mix_bits(past.value.hash() ^ (i * 0x9E3779B97F4A7C15U));
    }
  }
  return total;
}

std::string Model::explain(std::uint64_t number, const Block& block, std::size_t offset,
                           ConstBytes found, std::uint64_t since) const {
  std::string expected;
  std::vector<const Past*> possible;
  for (const Past& past : block.history) {
    if (past.until < since) continue;
    possible.push_back(&past);
    if (!expected.empty()) expected += ", or ";
    expected += past.value.describe();
  }
  std::string what;
  if (found.size() == kBlockSize) {
    const auto known = known_.find(hash_content(found));
    if (Value(found).is_zero()) {
      what = "zeros";
    } else if (known != known_.end()) {
      what = describe(known->second.first);
      what += fmt::format(" (first written to block {})", known->second.second);
    }
  }
  if (what.empty()) {
    // Sector by sector: which of the possible values it comes from.
    what = "a mixture:";
    for (std::size_t at = 0; at < found.size(); at += kSectorSize) {
      const std::size_t length = std::min(kSectorSize, found.size() - at);
      std::string source = "?";
      for (const Past* past : possible) {
        alignas(8) std::array<std::byte, kBlockSize> content;
        past->value.copy_to(content);
        if (std::memcmp(content.data() + offset + at, found.data() + at, length) == 0) {
          source = past->value.describe();
          break;
        }
      }
      what += fmt::format(" [{}]", source);
    }
  }
  return fmt::format("block {} (bytes {}..{}) must hold {}, but holds {}", number, offset,
                     offset + found.size() - 1, expected, what);
}

}  // namespace uvdo::sim
