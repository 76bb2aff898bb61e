// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/lvm_metadata.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include <fmt/core.h>

namespace uvdo {
namespace {

constexpr std::uint64_t kSector = 512;
/// Sections in one another, at most: those of LVM have five.
constexpr unsigned kMostDepth = 16;

/// A section: values by their keys, and sections by theirs.
struct Section {
  std::map<std::string, std::vector<std::string>> values;  ///< lists; one value is a list of one
  std::map<std::string, Section> sections;

  [[nodiscard]] std::string text(const std::string& key) const {
    const auto found = values.find(key);
    return found == values.end() || found->second.empty() ? std::string() : found->second.front();
  }
  [[nodiscard]] std::optional<std::uint64_t> number(const std::string& key) const {
    const std::string found = text(key);
    std::uint64_t value = 0;
    const auto read = std::from_chars(found.data(), found.data() + found.size(), value);
    if (found.empty() || read.ec != std::errc() || read.ptr != found.data() + found.size()) {
      return std::nullopt;
    }
    return value;
  }
  [[nodiscard]] const Section* section(const std::string& key) const {
    const auto found = sections.find(key);
    return found == sections.end() ? nullptr : &found->second;
  }
};

/// Reads `name { key = value ... }`; values are texts, numbers and lists of them in brackets.
class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<Section> parse() {
    Section all;
    if (auto read = read_section(all, 0); !read) return std::move(read).error();
    return all;
  }

 private:
  [[nodiscard]] static Error wrong() {
    return {Errc::invalid_argument, "LVM describes the group in a form that is not understood"};
  }

  /// The next word: a text in quotes without them, a sign, or a bare word; empty at the end.
  std::string next() {
    skip_blanks();
    is_quoted_ = rest_.starts_with('"');
    if (is_quoted_) return quoted_text();
    if (rest_.empty()) return {};
    constexpr std::string_view kSigns = "{}[]=,";
    std::size_t length = 1;
    if (kSigns.find(rest_.front()) == std::string_view::npos) {
      length = std::min(rest_.find_first_of(" \t\r\n{}[]=,#\""), rest_.size());
    }
    return take(length);
  }

  void skip_blanks() {
    for (;;) {
      const std::size_t start = rest_.find_first_not_of(" \t\r\n");
      rest_.remove_prefix(std::min(start, rest_.size()));
      if (!rest_.starts_with('#')) return;
      rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
    }
  }

  std::string quoted_text() {
    std::string text;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    rest_.remove_prefix(rest_.empty() ? 0 : 1);
    return text;
  }

  std::string take(std::size_t length) {
    std::string word(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return word;
  }

  // Depth is bounded: the text comes from elsewhere.
  Result<void> read_section(Section& section, unsigned depth) {
    if (depth > kMostDepth) return wrong();
    for (;;) {
      const std::string key = next();
      if (key.empty()) return depth == 0 ? Result<void>() : Result<void>(wrong());
      if (key == "}" && !is_quoted_) return depth > 0 ? Result<void>() : Result<void>(wrong());
      const std::string sign = next();
      if (sign == "{") {
        if (auto read = read_section(section.sections[key], depth + 1); !read) return read;
      } else if (sign == "=") {
        if (auto read = read_values(section.values[key]); !read) return read;
      } else {
        return wrong();
      }
    }
  }

  Result<void> read_values(std::vector<std::string>& values) {
    std::string word = next();
    if (word != "[" || is_quoted_) {
      values.push_back(std::move(word));
      return {};
    }
    for (;;) {
      word = next();
      if (word == "]" && !is_quoted_) return {};
      if (word.empty() && !is_quoted_) return wrong();
      if (word == "," && !is_quoted_) continue;
      values.push_back(std::move(word));
    }
  }

  std::string_view rest_;
  bool is_quoted_ = false;  // the last word
};

/// Runs that follow each other on both sides are one.
std::vector<LvmRun> joined(const std::vector<LvmRun>& runs) {
  std::vector<LvmRun> all;
  for (const LvmRun& run : runs) {
    const bool follows = !all.empty() && all.back().start + all.back().length == run.start &&
                         all.back().offset + all.back().length == run.offset;
    if (follows) {
      all.back().length += run.length;
    } else {
      all.push_back(run);
    }
  }
  return all;
}

/// One group, and what is asked of it.
class Group {
 public:
  Group(const Section& group, std::uint64_t extent) : group_(group), extent_(extent) {}

  /// The only segment of a pool; null if the volume is no VDO pool.
  [[nodiscard]] const Section* pool_segment(const std::string& name) const {
    const Section* volume = volume_called(name);
    const Section* segment = volume == nullptr ? nullptr : volume->section("segment1");
    return segment != nullptr && segment->text("type") == "vdo-pool" ? segment : nullptr;
  }

  /// The logical volumes of a pool whose VDO volume has `header` bytes before them.
  [[nodiscard]] Result<std::vector<LvmLogicalVolume>> volumes_of(const std::string& pool,
                                                                 std::uint64_t header) const {
    std::vector<LvmLogicalVolume> volumes;
    const Section* all = group_.section("logical_volumes");
    if (all == nullptr) return volumes;
    for (const auto& [name, volume] : all->sections) {
      LvmLogicalVolume found{name, {}};
      for (const auto& [key, segment] : volume.sections) {
        if (segment.text("type") != "vdo" || segment.text("vdo_pool") != pool) continue;
        auto run = run_of(segment);
        const auto at = segment.number("vdo_offset");
        if (!run || !at) return wrong(name);
        run->offset = header + *at * extent_;
        found.runs.push_back(std::move(*run));
      }
      std::ranges::sort(found.runs, {}, &LvmRun::start);
      found.runs = joined(found.runs);
      if (!found.runs.empty()) volumes.push_back(std::move(found));
    }
    return volumes;
  }

  [[nodiscard]] static Error wrong(const std::string& name) {
    return {Errc::invalid_argument,
            fmt::format("LVM describes {} in a form that is not understood", name)};
  }

 private:
  [[nodiscard]] const Section* volume_called(const std::string& name) const {
    const Section* all = group_.section("logical_volumes");
    return all == nullptr ? nullptr : all->section(name);
  }

  [[nodiscard]] std::optional<LvmRun> run_of(const Section& segment) const {
    const auto start = segment.number("start_extent");
    const auto length = segment.number("extent_count");
    if (!start || !length) return std::nullopt;
    LvmRun run;
    run.start = *start * extent_;
    run.length = *length * extent_;
    return run;
  }

  const Section& group_;
  std::uint64_t extent_;
};

}  // namespace

Result<LvmPool> parse_lvm_pool(std::string_view text, const std::string& name) {
  auto all = Parser(text).parse();
  if (!all) return std::move(all).error();
  if (all->sections.size() != 1) return Group::wrong("the group");
  const auto& [group_name, section] = *all->sections.begin();
  const auto extent = section.number("extent_size");
  if (!extent || *extent == 0) return Group::wrong(group_name);
  const Group group(section, *extent * kSector);
  const Section* segment = group.pool_segment(name);
  if (segment == nullptr) {
    return Error(Errc::not_found,
                 fmt::format("there is no VDO pool {}/{} of LVM", group_name, name));
  }
  LvmPool pool{group_name, name, segment->text("data"), {}};
  if (pool.data.empty()) return Group::wrong(name);
  const std::uint64_t header = segment->number("header_size").value_or(0) * kSector;
  auto volumes = group.volumes_of(name, header);
  if (!volumes) return std::move(volumes).error();
  pool.volumes = std::move(*volumes);
  return pool;
}

}  // namespace uvdo
