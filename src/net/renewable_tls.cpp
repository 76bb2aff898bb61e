// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/renewable_tls.h"

namespace uvdo {
namespace {

/// A session together with what it was made from.
class Session final : public Stream {
 public:
  Session(std::shared_ptr<TlsContext> context, std::unique_ptr<Stream> stream)
      : context_(std::move(context)), stream_(std::move(stream)) {}
  Task<std::ptrdiff_t> receive(std::span<const iovec> slices) override {
    return stream_->receive(slices);
  }
  Task<int> send(std::span<iovec> slices) override { return stream_->send(slices); }
  Task<void> finish() override { return stream_->finish(); }
  void shut_down() override { stream_->shut_down(); }
  [[nodiscard]] std::uint64_t bytes_moved() const override { return stream_->bytes_moved(); }

 private:
  std::shared_ptr<TlsContext> context_;  // outlives the stream
  std::unique_ptr<Stream> stream_;
};

}  // namespace

Result<std::unique_ptr<RenewableTls>> RenewableTls::create(Executor& executor,
                                                           TlsSettings settings) {
  std::unique_ptr<RenewableTls> tls(new RenewableTls(executor, std::move(settings)));
  if (auto read = tls->renew(); !read) return std::move(read).error();
  return tls;
}

Result<void> RenewableTls::renew() {
  auto context = TlsContext::create(executor_, settings_);
  if (!context) return std::move(context).error();
  context_ = std::move(*context);
  return {};
}

Task<Result<std::unique_ptr<Stream>>> RenewableTls::accept(Stream& plain) {
  // Kept for the time of the handshake, too: renew() may come meanwhile.
  const std::shared_ptr<TlsContext> context = context_;
  auto stream = co_await context->accept(plain);
  if (!stream) co_return stream;
  std::unique_ptr<Stream> session = std::make_unique<Session>(context, std::move(*stream));
  co_return session;
}

}  // namespace uvdo
