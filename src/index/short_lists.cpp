// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/short_lists.h"

#include <algorithm>
#include <cstring>

#include "index/delta_list.h"

namespace uvdo {
namespace {

/// Longer lists than this are not plain: four times what a full index has.
/// That bounds the time for a list of garbage.
constexpr std::size_t kMostEntries = 1024;
/// A power of two. Deltas with so many zeros are not plain; a full list has none.
constexpr std::uint64_t kManyZeros = 32;
/// Writes `head` at bit `to_at` (0..7) of `to` and behind it bits [from, from + count) of `bits`.
/// Eight bytes behind them are clobbered, and as many are read. Bits in front of `from` that
/// the head will cover have to be there.
void put_behind(std::byte* to, std::uint64_t to_at, EntryCode head, const std::byte* bits,
                std::uint64_t from, std::uint64_t count) {
  // Where the source would begin if the head were part of it: then bytes meet bytes.
  const std::uint64_t covered = to_at + head.size;
  const std::uint64_t source = from - covered;
  const std::uint64_t kept = load_u8(to) & low_bits(static_cast<unsigned>(to_at));
  const std::uint64_t first = load_bits(bits, source);
  detail::store_word(
      to, (first & ~low_bits(static_cast<unsigned>(covered))) | head.bits << to_at | kept);
  const std::uint64_t bytes = (covered + count + 7) / 8;
  // Seven bytes at a time: a load at any bit gives 57 bits at least.
  for (std::uint64_t at = kPutAtOnce / 8; at < bytes; at += kPutAtOnce / 8) {
    detail::store_word(to + at, load_bits(bits, source + at * 8));
  }
}

/// What is known of the short lists of a list that is being cut: where the last entry of each ends,
/// as the bit where the delta of the next one would be (0: it has none), and that entry's key.
struct Ends {
  std::array<std::uint32_t, kShortLists> at{};
  std::array<std::uint32_t, kShortLists> keys;
  std::uint32_t entries = 0;
  bool is_plain = false;
};

/// A walk over a list that is cut, apart from the rest, so that it stays in registers.
class CutWalk {
 public:
  /// Steps that may be taken without a look where the list ends.
  static constexpr unsigned kStepsAtOnce = 4;

  [[gnu::always_inline]] CutWalk(const ListCoding& coding, const CodedList& list, Ends& ends)
      : coding_(coding), bits_(list.bits), end_(list.end + coding.chapter_bits), ends_(ends) {
    at_ = list.begin + coding.chapter_bits;
    // Nothing is done for a list that is too long; it does not end where it should then.
    if (list.end - list.begin <= kMostEntries * coding.fixed_bits()) last_ = end_;
    if (has_more()) step();
    // A delta of 0 makes a collision entry, but for the first.
    less_than_1_ = 0;
  }
  [[gnu::always_inline]] [[nodiscard]] bool has_more() const {
    return at_ + coding_.fixed_bits() <= last_;
  }
  [[gnu::always_inline]] [[nodiscard]] bool has_many_more() const {
    return at_ + kStepsAtOnce * (coding_.fixed_bits() + DecodedDelta::kEndless) <= last_;
  }
  [[gnu::always_inline]] void step() {
    const DecodedDelta delta = decode_delta(coding_.code, bits_, at_);
    less_than_1_ |= delta.delta - 1;
    zeros_ |= delta.zeros;
    at_ += coding_.chapter_bits + delta.bits;
    key_ += delta.delta;
    ++count_;
    // Each entry says so; the last one is right.
    const std::uint64_t of = key_ >> coding_.short_key_bits & (kShortLists - 1);
    ends_.at[of] = static_cast<std::uint32_t>(at_);
    ends_.keys[of] = static_cast<std::uint32_t>(key_);
  }
  [[gnu::always_inline]] void finish() {
    ends_.entries = count_;
    ends_.is_plain = at_ == end_ && less_than_1_ >> 63U == 0 && zeros_ < kManyZeros &&
                     key_ >> coding_.short_key_bits < kShortLists;
  }

 private:
  const ListCoding coding_;
  const std::byte* bits_;
  std::uint64_t end_;  // counted as at_ is
  Ends& ends_;
  std::uint64_t at_;  // the bit where the next delta would be
  std::uint64_t last_ = 0;
  std::uint64_t key_ = 0;
  std::uint64_t less_than_1_ = 0;  // its highest bit is set if a delta was 0
  std::uint64_t zeros_ = 0;        // of all deltas, or-ed
  std::uint32_t count_ = 0;
};

[[gnu::always_inline]] inline void find_ends(const ListCoding& coding, const CodedList& first,
                                             const CodedList& second, Ends& of_first,
                                             Ends& of_second) {
  CutWalk a(coding, first, of_first);
  CutWalk b(coding, second, of_second);
  // Two walks, neither of which waits for the other: while the one decodes, the processor has the
  // other's entry to work at. Several steps without a look at the end as long as both are far from
  // it.
  while (a.has_many_more() && b.has_many_more()) {
    for (unsigned i = 0; i < CutWalk::kStepsAtOnce; ++i) {
      a.step();
      b.step();
    }
  }
  while (a.has_more() && b.has_more()) {
    a.step();
    b.step();
  }
  while (a.has_more()) a.step();
  while (b.has_more()) b.step();
  a.finish();
  b.finish();
}

/// Writes the short lists of a list whose ends are known; false if one of them is too long.
[[gnu::always_inline]] inline bool write_short_lists(const ListCoding& coding,
                                                     const CodedList& list, const Ends& ends,
                                                     CutList& cut) {
  if (!ends.is_plain) return false;
  std::byte* to = cut.bytes.data() + kShortListHead;
  // Only the first entry of a short list is coded anew, as its delta counts from the short list's
  // first address; the bits of all behind it are copied as they are.
  std::uint64_t begin = list.begin + coding.chapter_bits;
  std::uint64_t key = 0;  // of the entry before `begin`
  for (std::uint32_t i = 0; i < kShortLists; ++i) {
    std::uint64_t bytes = 0;
    // A short list without entries takes no bytes but the length in the head.
    if (ends.at[i] != 0) {
      const DecodedDelta delta = decode_delta(coding.code, list.bits, begin);
      const EntryCode head = code_entry(coding.code, coding.chapter_bits,
                                        coding.chapter_at(list.bits, begin - coding.chapter_bits),
                                        (key + delta.delta) & low_bits(coding.short_key_bits));
      // Nearer to the first address of the short list than to the entry before it.
      if (head.size > std::min<std::uint64_t>(coding.chapter_bits + delta.bits, kPutAtOnce)) {
        return false;
      }
      const std::uint64_t second = begin + delta.bits;
      const std::uint64_t count = ends.at[i] - coding.chapter_bits - second;
      bytes = (head.size + count + 7) / 8;
      // It has no room in memory; load_list() decides what of it is left out.
      if (bytes > kMaxShortListBytes) return false;
      put_behind(to, 0, head, list.bits, second, count);
      begin = ends.at[i];
      key = ends.keys[i];
    }
    store_u8(cut.bytes.data() + i, static_cast<std::uint8_t>(bytes));
    to += bytes;
  }
  cut.size = static_cast<std::uint32_t>(to - cut.bytes.data());
  cut.entries = ends.entries;
  return true;
}

[[gnu::always_inline]] inline unsigned cut_both(const ListCoding& coding, const CodedList& first,
                                                const CodedList& second, CutList& first_cut,
                                                CutList& second_cut) {
  Ends of_first;
  Ends of_second;
  find_ends(coding, first, second, of_first, of_second);
  unsigned done = write_short_lists(coding, first, of_first, first_cut) ? 1 : 0;
  if (write_short_lists(coding, second, of_second, second_cut)) done |= 2U;
  return done;
}

/// A walk over a short list that is joined with others.
class JoinWalk {
 public:
  [[gnu::always_inline]] JoinWalk(const ListCoding& coding, const std::byte* bits,
                                  std::uint64_t bytes, std::uint64_t newest)
      : coding_(coding), bits_(bits), end_(bytes * 8), newest_(newest) {}
  [[gnu::always_inline]] [[nodiscard]] bool has_more() const {
    return at_ + coding_.fixed_bits() <= end_;
  }
  [[gnu::always_inline]] void step() {
    const DecodedDelta delta = decode_delta(coding_.code, bits_, at_ + coding_.chapter_bits);
    const std::uint64_t chapter = coding_.chapter_at(bits_, at_);
    oldest_age_ = std::max(oldest_age_, (newest_ - chapter) & coding_.chapter_mask);
    at_ += coding_.chapter_bits + delta.bits;
    key_ += delta.delta;
    ++count_;
  }
  [[nodiscard]] const std::byte* bits() const { return bits_; }
  [[nodiscard]] std::uint64_t at() const { return at_; }
  [[nodiscard]] std::uint64_t key() const { return key_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] std::uint64_t oldest_age() const { return oldest_age_; }

 private:
  const ListCoding coding_;
  const std::byte* bits_;
  std::uint64_t end_;
  std::uint64_t newest_;
  std::uint64_t at_ = 0;  // in the end: the bit behind the last entry
  std::uint64_t key_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t oldest_age_ = 0;
};

/// A list that grows by short lists.
class Joint {
 public:
  Joint(const ListCoding& coding, std::uint64_t newest, std::uint64_t max_age, std::byte* to)
      : coding_(coding), newest_(newest), max_age_(max_age), to_(to) {}

  [[gnu::always_inline]] void append(const JoinWalk& walk, std::uint64_t first_key) {
    if (walk.count() == 0) return;
    const DecodedDelta first = decode_delta(coding_.code, walk.bits(), coding_.chapter_bits);
    const std::uint64_t second = coding_.chapter_bits + first.bits;
    const EntryCode head =
        code_entry(coding_.code, coding_.chapter_bits, coding_.chapter_at(walk.bits(), 0),
                   first_key + first.delta - last_key_);
    // The same the other way round: the first entry's delta counts from the last key of the short
    // list before, and all behind it is copied.
    const std::uint64_t at = joined_.bits % 8;
    // Something is to be left out, or the head does not fit into a word: the slow way.
    if (walk.oldest_age() > max_age_ || at + head.size > kPutAtOnce) {
      append_one_by_one(walk, first_key);
      return;
    }
    const std::uint64_t rest = walk.at() - second;
    // The head of the whole list lies in front of the bits, so that there is enough to cover.
    put_behind(to_ + joined_.bits / 8, at, head, walk.bits() - kShortListHead,
               std::uint64_t{kShortListHead} * 8 + second, rest);
    // Where the list ends now; what put_behind() has written behind that is overwritten by the
    // next.
    joined_.bits += head.size + rest;
    joined_.entries += walk.count();
    joined_.oldest_age = std::max(joined_.oldest_age, walk.oldest_age());
    last_key_ = first_key + walk.key();
  }
  /// The whole list; bits behind its end in the last byte are 0.
  JoinedList finish() {
    if (joined_.bits % 8 != 0) {
      const auto used = static_cast<unsigned>(joined_.bits % 8);
      std::byte* last = to_ + joined_.bits / 8;
      store_u8(last, static_cast<std::uint8_t>(load_u8(last) & low_bits(used)));
    }
    return joined_;
  }

 private:
  /// The same, entry by entry, without those that are too old.
  void append_one_by_one(const JoinWalk& walk, std::uint64_t first_key) {
    BitWriter writer(to_, joined_.bits);
    std::uint64_t key = first_key;
    for (std::uint64_t at = 0; at < walk.at();) {
      const DecodedDelta delta = decode_delta(coding_.code, walk.bits(), at + coding_.chapter_bits);
      const std::uint64_t chapter = coding_.chapter_at(walk.bits(), at);
      const std::uint64_t age = (newest_ - chapter) & coding_.chapter_mask;
      key += delta.delta;
      at += coding_.chapter_bits + delta.bits;
      if (age > max_age_) continue;
      put_entry(writer, coding_.code, coding_.chapter_bits, chapter, key - last_key_);
      last_key_ = key;
      ++joined_.entries;
      joined_.oldest_age = std::max(joined_.oldest_age, age);
    }
    joined_.bits = writer.position(to_);
  }

  const ListCoding& coding_;
  std::uint64_t newest_;
  std::uint64_t max_age_;
  std::byte* to_;
  std::uint64_t last_key_ = 0;
  JoinedList joined_;
};

[[gnu::always_inline]] inline JoinedList join_all(const ListCoding& coding, const std::byte* list,
                                                  std::uint64_t newest, std::uint64_t max_age,
                                                  std::byte* to) {
  Joint joint(coding, newest, max_age, to);
  const std::byte* bits = list + kShortListHead;
  for (std::uint32_t i = 0; i < kShortLists; i += 2) {
    const std::uint64_t bytes = load_u8(list + i);
    const std::uint64_t bytes_of_next = load_u8(list + i + 1);
    // Two short lists at once, as in find_ends().
    JoinWalk a(coding, bits, bytes, newest);
    JoinWalk b(coding, bits + bytes, bytes_of_next, newest);
    while (a.has_more() && b.has_more()) {
      a.step();
      b.step();
    }
    while (a.has_more()) a.step();
    while (b.has_more()) b.step();
    joint.append(a, std::uint64_t{i} << coding.short_key_bits);
    joint.append(b, std::uint64_t{i + 1} << coding.short_key_bits);
    bits += bytes + bytes_of_next;
  }
  return joint.finish();
}

#if defined(__x86_64__)
// The same code with shifts by any register, which these loops consist of: a fifth less time.
#define UVDO_BMI2 [[gnu::target("bmi,bmi2")]]
bool has_bmi2() {
  static const bool has = __builtin_cpu_supports("bmi") != 0 && __builtin_cpu_supports("bmi2") != 0;
  return has;
}
#else
#define UVDO_BMI2
bool has_bmi2() { return false; }
#endif
UVDO_BMI2 unsigned cut_both_bmi2(const ListCoding& coding, const CodedList& first,
                                 const CodedList& second, CutList& first_cut, CutList& second_cut) {
  return cut_both(coding, first, second, first_cut, second_cut);
}
UVDO_BMI2 JoinedList join_all_bmi2(const ListCoding& coding, const std::byte* list,
                                   std::uint64_t newest, std::uint64_t max_age, std::byte* to) {
  return join_all(coding, list, newest, max_age, to);
}
#undef UVDO_BMI2

}  // namespace

unsigned cut_lists(const ListCoding& coding, const CodedList& first, const CodedList& second,
                   CutList& first_cut, CutList& second_cut, CodeFor processor) {
  return processor == CodeFor::this_processor && has_bmi2()
             ? cut_both_bmi2(coding, first, second, first_cut, second_cut)
             : cut_both(coding, first, second, first_cut, second_cut);
}

JoinedList join_lists(const ListCoding& coding, const std::byte* list, std::uint64_t newest,
                      std::uint64_t max_age, std::byte* to, CodeFor processor) {
  return processor == CodeFor::this_processor && has_bmi2()
             ? join_all_bmi2(coding, list, newest, max_age, to)
             : join_all(coding, list, newest, max_age, to);
}

}  // namespace uvdo
