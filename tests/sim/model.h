// SPDX-License-Identifier: GPL-2.0-or-later
// The model of what a volume promises, block by block: which values a read may return while
// operations race, and which a block may hold after a power cut.
//
// Each block is a register. The model keeps every way in which the operations under way can have
// taken effect so far (a "case": the current value, and which of those operations are in it).
// When an operation is acknowledged, the cases without it are dropped; when a value is read and
// nothing was under way, all others are. Beside it stands the history since the last flush: each
// value that the block may have had, and until when. After a power cut any of those is right,
// and nothing else is.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "content.h"

namespace uvdo::sim {

/// What an operation does to one block: overwrites it, or a part of it.
struct BlockChange {
  std::uint64_t block = 0;
  std::size_t offset = 0;
  std::size_t length = kBlockSize;
  ContentId content{};  ///< the part's bytes are those of this content at the same place
  /// Whether the operation may also leave the block alone (the edges of a discard).
  bool optional = false;
};

/// All times are counts of the model's own clock, which moves with each begin and end. Tokens are
/// given in order, so that two models that are told the same give the same.
class Model {
 public:
  /// Names an operation under way.
  using Token = std::uint64_t;
  /// So many operations may change one block at the same time.
  static constexpr std::size_t kMostAtOnce = 4;

  /// `blocks` blocks of zeros.
  explicit Model(std::uint64_t blocks) : blocks_(blocks) {}
  [[nodiscard]] std::uint64_t blocks() const { return blocks_.size(); }

  // Operations. A crash forgets those under way: their tokens are then without effect.

  /// Whether one more operation may change `block` now.
  [[nodiscard]] bool has_room(std::uint64_t block) const;
  /// An operation begins that makes all of `changes` (each block at most once).
  Token begin(std::vector<BlockChange> changes);
  /// It was acknowledged; `stable` if it was FUA.
  void acknowledge(Token token, bool stable);
  /// It failed: each block was changed, or was not.
  void fail(Token token);

  /// A flush begins; what has been acknowledged by now is stable once it has succeeded.
  Token begin_flush();
  void acknowledge_flush(Token token);

  /// A read begins. Call end_read with what it found, or drop_read if it failed.
  Token begin_read(std::uint64_t first_block, std::uint64_t count);
  /// Checks what a read found in (a part of) a block of its range; an explanation if it is wrong.
  [[nodiscard]] std::optional<std::string> check_read(Token token, std::uint64_t block,
                                                      std::size_t offset, ConstBytes bytes);
  void end_read(Token token);

  // Power cuts.

  /// The power is cut: whatever was under way may have happened or not.
  void crash();
  /// The process of the service dies and loses nothing: all that was acknowledged is there, and
  /// what was under way may have happened or not. A power cut before come_back() brings back what
  /// it may have brought back before.
  void die();
  /// The service is there again, and all that it had acknowledged is stable.
  void come_back() { stop_cleanly(); }
  /// Checks what a block holds after a crash, and takes it as its value from now on.
  [[nodiscard]] std::optional<std::string> check_after_crash(std::uint64_t block, ConstBytes bytes);
  /// Whether a block may hold that after a crash; an explanation if not. Unlike
  /// check_after_crash(), for somebody who only looks: it remains open what the block holds.
  [[nodiscard]] std::optional<std::string> look_after_crash(std::uint64_t block,
                                                            ConstBytes bytes) const;
  /// Takes all acknowledged operations as stable (a clean stop).
  void stop_cleanly();
  /// Blocks that anything has ever been written to, in order.
  [[nodiscard]] std::vector<std::uint64_t> touched() const;

  /// A hash of all that a crash now may leave: equal hashes, equal promises.
  [[nodiscard]] std::uint64_t crash_hash() const;
  /// How many blocks have been compared so far.
  [[nodiscard]] std::uint64_t checks() const { return checks_; }

 private:
  static constexpr std::uint64_t kNow = UINT64_MAX;
  // An operation under way on a block, in one of its slots.
  struct Pending {
    Token token = 0;  // 0 is a free slot
    BlockChange change;
    Value value;  // of the change's content
  };
  struct Case {
    Value value;
    std::uint8_t applied = 0;  // bit i: the operation in slot i has taken effect
  };
  struct Past {
    Value value;
    std::uint64_t until = 0;  // time at which it was last possibly current; kNow is still
    std::uint8_t with = 0;    // slots whose operations were in some case with this value
    bool dead = false;        // a crash cannot bring it back
  };
  struct Block {
    std::vector<Case> cases{Case{}};
    std::vector<Past> history{Past{Value(), kNow, 0, false}};
    std::array<Pending, kMostAtOnce> slots;
    std::uint32_t readers = 0;
    std::uint64_t quiet_since = 0;  // no operation was under way since then
    bool listed = false;            // in dirty_
  };
  struct Operation {
    Token token = 0;
    std::vector<std::pair<std::uint64_t, std::size_t>> places;  // block, slot
  };
  struct Read {
    Token token = 0;
    std::uint64_t begun = 0;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };
  Block& block_at(std::uint64_t number);
  [[nodiscard]] const Block* find(std::uint64_t number) const { return blocks_[number].get(); }
  static Value apply(const Pending& pending, const Value& value);
  static bool is_quiet(const Block& block);
  /// After an operation has begun: all orders in which it and those under way may take effect.
  static void add_cases(Block& block, std::size_t begun);
  /// After cases have been dropped: what is no longer current ends at `gone_at`.
  static void retire_history(Block& block, std::uint64_t gone_at);
  /// An operation has ended: `applied` if it is certain that it took effect, `stable` if that
  /// survives a power cut.
  void settle(Block& block, std::size_t slot, bool applied, bool stable);
  /// Forgets values that neither a crash nor a reader can still see.
  static void drop_old(Block& block);
  [[nodiscard]] std::optional<Operation> take_operation(Token token);
  [[nodiscard]] std::string explain(std::uint64_t number, const Block& block, std::size_t offset,
                                    ConstBytes found, std::uint64_t since) const;

  std::vector<std::unique_ptr<Block>> blocks_;  // null until first used
  std::vector<Operation> operations_;
  std::vector<Read> reads_;
  std::vector<std::pair<Token, std::uint64_t>> flushes_;  // when each began
  std::vector<std::uint64_t> dirty_;  // blocks with a history, each at least once
  /// Every value ever written and where first, so that what is found can be named.
  std::unordered_map<std::uint64_t, std::pair<ContentId, std::uint64_t>> known_;
  std::uint64_t clock_ = 1;
  Token next_token_ = 1;
  mutable std::uint64_t checks_ = 0;
};

}  // namespace uvdo::sim
