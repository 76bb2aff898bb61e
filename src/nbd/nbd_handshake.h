// SPDX-License-Identifier: GPL-2.0-or-later
// The first phase of an NBD connection: greeting and options (fixed newstyle), until the client
// has chosen an export or left. A malformed option gets the protocol's error; the connection ends
// only where the protocol knows no answer (a wrong magic, an unknown name for EXPORT_NAME).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nbd/nbd_channel.h"
#include "nbd/nbd_export.h"
#include "nbd/nbd_protocol.h"

namespace uvdo {

/// How TLS is offered. Without an upgrader it is off.
struct NbdTlsPolicy {
  TlsUpgrader* upgrader = nullptr;
  bool required = false;
};

/// What was negotiated.
struct NbdSession {
  const NbdExport* target = nullptr;
  bool structured_replies = false;
  bool allocation_context = false;
  std::uint32_t minimum_block = nbd::kMinimumBlock;
};

/// One for each connection; run() is called once. How long all of it may take is the connection's
/// business (NbdConnectionSettings::handshake_limit). Its memory is bounded by the longest option
/// (kMaxOption) and by their number (kMaxOptions).
class NbdHandshake {
 public:
  NbdHandshake(NbdChannel& channel, const NbdExports& exports, NbdTlsPolicy tls)
      : channel_(channel), exports_(exports), tls_(tls) {}

  /// The session that the client chose; nothing if the connection is to be closed (see reason()).
  Task<std::optional<NbdSession>> run();
  /// From now on options are refused, because the server is stopping.
  void begin_shutdown() { stopping_ = true; }
  /// Why run() ended without a session; empty if the client just left.
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  /// What follows an option: another one, the requests, or the end.
  enum class Next : std::uint8_t { option, transmission, close };

  /// Greeting and the client's flags; false if the connection is over.
  Task<bool> greet();
  Task<Next> handle_option(nbd::OptionHeader header);
  Task<Next> start_tls(nbd::OptionHeader header);
  /// Answers an option whose data have come, into out_: run() sends it. STARTTLS is not among them,
  /// as its answer has to be sent before it takes effect.
  Next answer(nbd::OptionHeader header, ConstBytes data);
  /// The old way to choose an export: without an answer for errors, so that each of them ends the
  /// connection.
  Next answer_export_name(ConstBytes data);
  Next answer_list(ConstBytes data);
  /// INFO and GO, which differ only in what comes afterwards.
  Next answer_info(nbd::Option option, ConstBytes data);
  Next answer_structured_reply(ConstBytes data);
  Next answer_meta_context(nbd::Option option, ConstBytes data);

  /// Appends a reply to out_.
  void reply(nbd::Option option, nbd::OptionReply type, ConstBytes data = {});
  void refuse(nbd::Option option, nbd::OptionReply error, std::string_view why);
  /// Notes why the server hangs up.
  Next close(std::string why);
  [[nodiscard]] std::uint16_t transmission_flags(const NbdExport& target) const;
  /// The end of the handshake: takes down what was negotiated. base:allocation counts only for the
  /// export for which it was asked.
  void select(const NbdExport& target);

  NbdChannel& channel_;
  const NbdExports& exports_;
  NbdTlsPolicy tls_;
  bool stopping_ = false;
  bool no_zeroes_ = false;
  bool structured_replies_ = false;
  const NbdExport* context_export_ = nullptr;  // for which base:allocation was asked
  NbdSession session_;
  // Replies of the option at hand, sent together.
  std::vector<std::byte> out_;
  std::string reason_;
};

}  // namespace uvdo
