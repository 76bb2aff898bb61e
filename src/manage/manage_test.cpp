// SPDX-License-Identifier: GPL-2.0-or-later
// The operations on volumes that nobody serves, called as functions: nothing is parsed or printed.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/testing/temporary_folder.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "manage/check.h"
#include "manage/convert.h"
#include "manage/export.h"
#include "manage/format.h"
#include "manage/grow.h"
#include "manage/identity.h"
#include "manage/look.h"
#include "manage/rebuild.h"
#include "manage/stop.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;
constexpr std::uint64_t kFileBytes = 4096 * kMiB;  // sparse: room for the smallest index

class ManageTest : public ::testing::Test {
 protected:
  FormatOptions format_options() {
    FormatOptions options;
    options.path = volume_;
    options.file_bytes = kFileBytes;
    options.request.slab_bits = 13;
    options.request.nonce = 7;
    options.request.index_memory = *parse_index_memory("0.25");
    options.request.logical_bytes = 64 * kMiB;
    options.advise = noting();
    options.may_offer = [this](std::uint64_t, std::uint64_t) { return answer_; };
    return options;
  }
  void make() {
    auto made = format_stopped_volume(format_options());
    ASSERT_TRUE(made.ok()) << made.error().message();
  }
  /// Notes the obstacles, and has a word for each.
  Advise noting() {
    return [this](const Obstacle& obstacle) {
      met_.push_back(obstacle);
      return std::string("; that is how");
    };
  }
  /// The only obstacle that was met since the last call.
  Obstacle met() {
    EXPECT_EQ(met_.size(), 1U);
    const Obstacle only = met_.empty() ? Obstacle() : met_.front();
    met_.clear();
    return only;
  }
  [[nodiscard]] ServedVolume served() const {
    return {volume_, folder_.path("socket")};  // where nobody listens
  }

  const testing::TemporaryFolder folder_;
  const std::string volume_ = folder_.path("volume");
  std::vector<Obstacle> met_;
  bool answer_ = true;
};

TEST_F(ManageTest, AVolumeIsMadeOnceAndOnlyWhereNothingIs) {
  auto made = format_stopped_volume(format_options());
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_TRUE(made->is_new_file);
  EXPECT_EQ(made->device_bytes, kFileBytes);
  EXPECT_EQ(made->layout.super_block.config.logical_blocks * kBlockSize, 64 * kMiB);
  auto options = format_options();
  EXPECT_EQ(format_stopped_volume(options).error().code(), Errc::exists);
  options.file_bytes = 0;
  EXPECT_EQ(format_stopped_volume(options).error().code(), Errc::exists) << "it holds a volume";
  options.force = true;
  EXPECT_TRUE(format_stopped_volume(options).ok());
}

TEST_F(ManageTest, WhatStandsInTheWayIsNamedAndTheCallerHasTheWordsForIt) {
  auto options = format_options();
  options.file_bytes = 0;
  auto refused = format_stopped_volume(options);
  EXPECT_EQ(refused.error().message(), volume_ + " does not exist; that is how");
  EXPECT_EQ(met().kind, Obstacle::Kind::no_file);
  make();
  refused = format_stopped_volume(options);
  EXPECT_EQ(refused.error().message(), volume_ + " already holds a VDO volume; that is how");
  EXPECT_EQ(met().kind, Obstacle::Kind::holds_something);
  refused = format_stopped_volume(format_options());
  EXPECT_EQ(refused.error().message(), volume_ + " exists; that is how");
  EXPECT_EQ(met().kind, Obstacle::Kind::file_exists);
  options.path = folder_.path("");
  options.file_bytes = kFileBytes;
  EXPECT_EQ(format_stopped_volume(options).error().code(), Errc::invalid_argument);
  EXPECT_EQ(met().kind, Obstacle::Kind::not_a_file);
  options.preallocate = true;
  EXPECT_EQ(check_preallocation(options).error().code(), Errc::invalid_argument);
  EXPECT_EQ(met().kind, Obstacle::Kind::no_file_to_preallocate);

  options = format_options();
  options.path = folder_.path("small");
  options.request.slab_bits = 19;
  EXPECT_EQ(format_stopped_volume(options).error().code(), Errc::no_space);
  const Obstacle large_slabs = met();
  EXPECT_EQ(large_slabs.kind, Obstacle::Kind::too_small);
  EXPECT_GE(large_slabs.slab_bits, 13U);
  EXPECT_EQ(large_slabs.needed_bytes, 0U);
  options.file_bytes = kMiB;
  EXPECT_EQ(format_stopped_volume(options).error().code(), Errc::no_space);
  EXPECT_GT(met().needed_bytes, kMiB);
  EXPECT_FALSE(std::filesystem::exists(options.path));
}

TEST_F(ManageTest, OfAVolumeThatIsNotMeantNothingIsLeft) {
  answer_ = false;
  auto options = format_options();
  options.request.logical_bytes = 1024 * 1024 * kMiB;
  auto made = format_stopped_volume(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code(), Errc::cancelled);
  EXPECT_FALSE(std::filesystem::exists(volume_));
}

TEST_F(ManageTest, ANewVolumeIsWellConsistentAndEmpty) {
  make();
  const auto status = volume_status(served());
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_FALSE(status->is_served());
  EXPECT_EQ(status->state, VolumeState::new_volume);
  EXPECT_TRUE(status->status.is_well);
  EXPECT_EQ(describe_volume(served(), {})->description.logical_blocks, 64 * kMiB / kBlockSize);
  EXPECT_EQ(volume_statistics(served(), {})->statistics.logical_blocks_used, 0U);

  auto check = StoppedCheck::open(volume_, {});
  ASSERT_TRUE(check.ok());
  std::uint64_t found = 0;
  const CheckReport report = check->run({}, [&](const Finding&) { ++found; });
  EXPECT_TRUE(report.summary.is_consistent());
  EXPECT_EQ(report.volume, volume_);
  EXPECT_EQ(found, 0U);
  EXPECT_FALSE(check->find_damaged([&](const ContentRun&) { ++found; }, [](auto, auto) {}));
  EXPECT_EQ(found, 0U);
}

TEST_F(ManageTest, AGrowthAsksWhetherItIsMeantAndTellsTheSizes) {
  make();
  GrowOptions options{served(), {}, [this](std::uint64_t, std::uint64_t) { return answer_; }};
  options.wanted.logical_bytes = 128 * kMiB;
  answer_ = false;
  EXPECT_EQ(grow_volume(options).error().code(), Errc::cancelled);
  answer_ = true;
  const auto grown = grow_volume(options);
  ASSERT_TRUE(grown.ok()) << grown.error().message();
  EXPECT_EQ(grown->logical, 128 * kMiB);
  EXPECT_TRUE(grown->changed);
  EXPECT_FALSE(grow_volume(options)->changed);
}

TEST_F(ManageTest, AnExportOverwritesOnlyOnDemandAndNeverTheVolume) {
  make();
  ExportOptions options;
  options.output = folder_.path("contents");
  options.begin = [] { return Result<void>(); };
  options.damaged = [](const ContentRun&) { FAIL(); };
  std::uint64_t seen = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t, const ExportReport&) { seen = done; };
  auto image = open_volume(volume_);
  ASSERT_TRUE(image.ok());
  const auto exported = export_volume(**image, options);
  ASSERT_TRUE(exported.ok()) << exported.error().message();
  EXPECT_EQ(exported->logical_bytes, 64 * kMiB);
  EXPECT_EQ(exported->data_blocks, 0U);
  EXPECT_EQ(seen, 64 * kMiB / kBlockSize);
  EXPECT_EQ(std::filesystem::file_size(options.output), 64 * kMiB);
  options.advise = noting();
  EXPECT_EQ(export_volume(**image, options).error().message(),
            options.output + " exists; that is how");
  EXPECT_EQ(met().kind, Obstacle::Kind::output_exists);
  options.force = true;
  EXPECT_TRUE(export_volume(**image, options).ok());
  options.output = volume_;
  EXPECT_EQ(export_volume(**image, options).error().code(), Errc::invalid_argument);
  options.output = folder_.path("other");
  options.begin = [] { return Result<void>(Error(Errc::io, "not now")); };
  EXPECT_EQ(export_volume(**image, options).error().message(), "not now");
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

TEST_F(ManageTest, ARebuildIsSurveyedFirstAndOnlyWhereItIsNeeded) {
  make();
  StoppedRebuildOptions options;
  options.volume = volume_;
  bool is_surveyed = false;
  options.surveyed = [&](const RebuildReport& survey) {
    is_surveyed = true;
    EXPECT_EQ(survey.losses(), 0U);
  };
  options.log = [](const LogLine&) {};
  options.advise = noting();
  EXPECT_EQ(rebuild_stopped_volume(options).error().code(), Errc::invalid_argument);
  EXPECT_EQ(met().kind, Obstacle::Kind::needs_no_rebuild);
  EXPECT_FALSE(is_surveyed);
  options.force = true;
  options.dry_run = true;
  auto outcome = rebuild_stopped_volume(options);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message();
  EXPECT_TRUE(is_surveyed);
  EXPECT_FALSE(*outcome->rebuilt);
  options.dry_run = false;
  outcome = rebuild_stopped_volume(options);
  ASSERT_TRUE(outcome.ok() && outcome->rebuilt.ok()) << outcome->rebuilt.error().message();
  EXPECT_TRUE(*outcome->rebuilt);
  EXPECT_EQ(volume_status(served())->state, VolumeState::clean);
}

TEST_F(ManageTest, WhatNobodyServesCannotBeStopped) {
  make();
  EXPECT_EQ(stop_server(served()).error().code(), Errc::not_found);
}

/// The geometry at a place of a file.
Result<VolumeGeometry> geometry_at(const std::string& path, std::uint64_t byte) {
  std::vector<std::byte> block(kBlockSize);
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(block.size()));
  return decode_volume_geometry(block);
}

TEST_F(ManageTest, AVolumeGetsAnotherUuidAndNothingElse) {
  make();
  const auto before = geometry_at(volume_, 0);
  ASSERT_TRUE(before.ok());
  Uuid uuid{};
  uuid.fill(std::byte{0x5A});
  ASSERT_TRUE(set_volume_uuid(volume_, uuid).ok());
  auto after = geometry_at(volume_, 0);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->uuid, uuid);
  after->uuid = before->uuid;
  EXPECT_EQ(*after, *before);
  std::ofstream(folder_.path("empty")) << std::string(8192, ' ');
  EXPECT_EQ(set_volume_uuid(folder_.path("empty"), uuid).error().code(), Errc::not_found);
}

TEST_F(ManageTest, AConvertedVolumeBeginsLaterAndIsAsLongAsWhatIsLeftOfItsDevice) {
  make();
  const auto before = geometry_at(volume_, 0);
  ASSERT_TRUE(before.ok());
  ASSERT_TRUE(convert_for_lvm(volume_).ok());
  EXPECT_EQ(geometry_at(volume_, 0).error().code(), Errc::not_found);
  const auto after = geometry_at(volume_, kConvertedStart);
  ASSERT_TRUE(after.ok()) << after.error().message();
  EXPECT_EQ(after->bio_offset * kBlockSize, kConvertedStart);
  EXPECT_EQ(after->data_start, before->data_start) << "blocks keep their numbers";
  EXPECT_EQ(after->index_start, Pbn{after->bio_offset + 1});
  EXPECT_EQ(to_text(after->index_memory), "reduced 0.25");
  EXPECT_EQ(after->nonce, before->nonce);
  // LVM's volume begins there, and is as large as the super block says.
  std::vector<std::byte> block(kBlockSize);
  std::ifstream file(volume_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(device_byte(after->data_start, 0)));
  file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(block.size()));
  const auto super_block = decode_super_block(block, *after);
  ASSERT_TRUE(super_block.ok()) << super_block.error().message();
  EXPECT_EQ(super_block->config.physical_blocks * kBlockSize,
            std::filesystem::file_size(volume_) - kConvertedStart);
}

}  // namespace
}  // namespace uvdo
