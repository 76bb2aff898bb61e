// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_protocol.h"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "nbd/testing/nbd_script.h"

namespace uvdo::nbd {
namespace {

using testing::NbdScript;

TEST(NbdProtocol, RequestsGoRoundAndAreByteExact) {
  std::array<std::byte, kRequestSize> bytes{};
  encode_request(
      bytes, {kFua | kNoHole, Command::write_zeroes, 0x0102030405060708, 0x1122334455, 0xA0B0C0D0});
  const std::array<unsigned char, kRequestSize> expected{
      0x25, 0x60, 0x95, 0x13, 0, 3,    0,    6,    1,    2,    3,    4,    5,    6,
      7,    8,    0,    0,    0, 0x11, 0x22, 0x33, 0x44, 0x55, 0xA0, 0xB0, 0xC0, 0xD0};
  EXPECT_EQ(0, std::memcmp(bytes.data(), expected.data(), bytes.size()));
  const auto request = decode_request(bytes);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->command, Command::write_zeroes);
  EXPECT_EQ(request->flags, kFua | kNoHole);
  EXPECT_EQ(request->cookie, 0x0102030405060708U);
  EXPECT_EQ(request->offset, 0x1122334455U);
  EXPECT_EQ(request->length, 0xA0B0C0D0U);
  bytes[0] = std::byte{0};
  EXPECT_FALSE(decode_request(bytes));
  EXPECT_FALSE(decode_request(ConstBytes(bytes).first(27)));
}

TEST(NbdProtocol, InfoRequestsOfAnyWrongLengthAreRefused) {
  NbdScript script;
  script.be32(3).raw("vol").be16(2).be16(1).be16(2);
  const ConstBytes whole = script.bytes();
  const auto request = decode_info_request(whole);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->name, "vol");
  EXPECT_TRUE(request->wants_name && request->wants_description);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_info_request(whole.first(size))) << size;
  }
  script.be16(0);
  EXPECT_FALSE(decode_info_request(script.bytes()));
}

TEST(NbdProtocol, MetaContextRequestsOfAnyWrongLengthAreRefused) {
  NbdScript script;
  script.be32(1).raw("v").be32(2).be32(5).raw("base:").be32(0);
  const ConstBytes whole = script.bytes();
  const auto request = decode_meta_context_request(whole);
  ASSERT_TRUE(request);
  ASSERT_EQ(request->queries.size(), 2U);
  EXPECT_EQ(request->queries[0], "base:");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_meta_context_request(whole.first(size))) << size;
  }
  NbdScript greedy;
  greedy.be32(0).be32(0xFFFFFFFF);
  EXPECT_FALSE(decode_meta_context_request(greedy.bytes()));
}

TEST(NbdProtocol, RequestsAreJudgedByTheProtocol) {
  constexpr std::uint64_t kSize = 1 << 20;
  const ExportState plain{kSize, false, false, false};
  const ExportState full{kSize, false, true, true};
  const ExportState read_only{kSize, true, true, true};
  struct Case {
    RequestHeader request;
    ExportState state;
    Verdict verdict;
    WireError error;
  };
  const auto request = [](Command command, std::uint64_t offset, std::uint32_t length,
                          unsigned flags = 0) {
    return RequestHeader{static_cast<std::uint16_t>(flags), command, 1, offset, length};
  };
  const std::vector<Case> cases{
      {request(Command::read, 0, kSize), plain, Verdict::serve, WireError::none},
      {request(Command::read, 1, kSize), plain, Verdict::refuse, WireError::einval},
      {request(Command::read, UINT64_MAX, 2), plain, Verdict::refuse, WireError::einval},
      {request(Command::read, 0, kMaxPayload + 1), plain, Verdict::refuse, WireError::einval},
      {request(Command::read, 0, kMaxPayload + 1, kDf), full, Verdict::refuse,
       WireError::eoverflow},
      {request(Command::read, 0, kMaxGathered + 1, kDf), full, Verdict::refuse,
       WireError::eoverflow},
      {request(Command::read, 0, 0), plain, Verdict::refuse, WireError::einval},
      {request(Command::read, 0, 1, kDf), plain, Verdict::refuse, WireError::einval},
      {request(Command::read, 0, 1, kDf | kFua), full, Verdict::serve, WireError::none},
      {request(Command::read, 0, 1, kNoHole), full, Verdict::refuse, WireError::einval},
      {request(Command::write, kSize, 1), plain, Verdict::refuse, WireError::enospc},
      {request(Command::write, kSize, 0), plain, Verdict::serve, WireError::none},
      {request(Command::write, 0, 1), read_only, Verdict::refuse, WireError::eperm},
      {request(Command::write, 0, kMaxPayload + 1), plain, Verdict::hang_up, WireError::einval},
      {request(Command::write_zeroes, kSize, 1), plain, Verdict::refuse, WireError::enospc},
      {request(Command::write_zeroes, 0, 1, kNoHole | kFastZero | kFua), plain, Verdict::serve,
       WireError::none},
      {request(Command::trim, kSize, 1), plain, Verdict::refuse, WireError::einval},
      {request(Command::trim, 0, 1), read_only, Verdict::refuse, WireError::eperm},
      {request(Command::flush, 0, 0), read_only, Verdict::serve, WireError::none},
      {request(Command::flush, 0, 1), plain, Verdict::refuse, WireError::einval},
      {request(Command::block_status, 0, 1), plain, Verdict::refuse, WireError::einval},
      {request(Command::block_status, 0, 0), full, Verdict::refuse, WireError::einval},
      {request(Command::block_status, 0, 1, kReqOne), full, Verdict::serve, WireError::none},
      {request(static_cast<Command>(8), 0, 0), full, Verdict::refuse, WireError::einval},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Judgement judgement = judge(cases[i].request, cases[i].state);
    EXPECT_EQ(judgement.verdict, cases[i].verdict) << i;
    EXPECT_EQ(judgement.error, cases[i].error) << i;
  }
}

TEST(NbdProtocol, EveryErrorOfTheVolumeHasANumberOfTheProtocol) {
  EXPECT_EQ(wire_error_of(Errc::no_space), WireError::enospc);
  EXPECT_EQ(wire_error_of(Errc::read_only), WireError::eio);
  EXPECT_EQ(wire_error_of(Errc::out_of_range), WireError::einval);
  EXPECT_EQ(wire_error_of(Errc::no_memory), WireError::enomem);
  EXPECT_EQ(wire_error_of(Errc::unsupported), WireError::enotsup);
  EXPECT_EQ(wire_error_of(Errc::cancelled), WireError::eshutdown);
  EXPECT_EQ(wire_error_of(Errc::corrupt), WireError::eio);
}

}  // namespace
}  // namespace uvdo::nbd
