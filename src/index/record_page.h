// SPDX-License-Identifier: GPL-2.0-or-later
// Records, and record pages: 1024 records as a binary search tree in heap order (index.md,
// 9.3).
#pragma once

#include <optional>
#include <span>

#include "format/index_geometry.h"
#include "format/record_name.h"
#include "index/dedupe_index.h"

namespace uvdo {

inline constexpr std::size_t kRecordSize = 32;

/// A name and what is known of it, as on storage.
struct IndexRecord {
  RecordName name;
  IndexData data{};
};
static_assert(sizeof(IndexRecord) == kRecordSize);

/// Lays out 1024 records as a page of kIndexPageSize bytes.
/// They may come in any order; equal names are allowed (index.md, 9.3).
void encode_record_page(std::span<const IndexRecord> records, MutableBytes page);

/// The data of `name`, if it is on the page. Any bytes will do for a page.
std::optional<IndexData> find_in_record_page(ConstBytes page, const RecordName& name);

}  // namespace uvdo
