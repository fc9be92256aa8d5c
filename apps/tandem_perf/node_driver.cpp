// SPDX-License-Identifier: BSD-3-Clause
#include "node_driver.hpp"

#include <algorithm>

namespace tandem::perf {

namespace {

/// The service number of a client's connections.
constexpr std::uint16_t kClientService = 1;

}  // namespace

class NodeDriver::Carried final : public Carrier {
 public:
  Carried(std::uint32_t index, std::unique_ptr<Flow> flow, Connection& connection)
      : Carrier(index, std::move(flow)), connection_(connection) {}

  std::size_t write(Bytes bytes) override {
    const Bytes piece = bytes.first(std::min(bytes.size(), connection_.writable()));
    return !piece.empty() && connection_.write(piece) ? piece.size() : 0;
  }
  [[nodiscard]] std::uint64_t written() const override { return connection_.bytes_written(); }
  void close() override { connection_.close(); }

 private:
  Connection& connection_;
};

class NodeDriver::FlowHandler final : public Handler {
 public:
  FlowHandler(NodeDriver& driver, Connection& connection, std::uint32_t index, std::unique_ptr<Flow> flow)
      : driver_(driver), carried_(index, std::move(flow), connection), is_connecting_(!driver.is_server()) {
    driver_.attach(carried_);
    if (is_connecting_) ++driver_.connecting_;
  }
  ~FlowHandler() override {
    end_connecting();
    driver_.detach(carried_);
  }

  void on_connected(Connection& connection) override {
    connection.set_no_delay(true);
    end_connecting();
    flow().connected(carried_);
    if (driver_.finishing_) flow().finish(carried_);
    driver_.rearm(carried_);
  }
  void on_receive(Connection& connection, Bytes unread) override {
    connection.consume(flow().receive(carried_, unread));
    driver_.rearm(carried_);
  }
  void on_writable(Connection&) override {
    if (flow().wants_to_write()) flow().writable(carried_);
    driver_.rearm(carried_);
  }
  void on_eof(Connection& connection) override {
    if (connection.phase() != TcpPhase::closed && driver_.node_.role() != Role::twin) flow().eof(carried_);
  }
  void on_reset(Connection&) override {
    if (driver_.node_.role() == Role::twin) return;
    driver_.meter_.add_reset();
    flow().failed(is_connecting_ ? "no connection was made" : "reset by the peer or timed out");
  }
  void on_closed(Connection&) override {
    if (driver_.is_server()) driver_.meter_.done(carried_.index(), monotonic_ns());
  }

 private:
  [[nodiscard]] Flow& flow() const { return carried_.flow(); }
  void end_connecting() {
    if (!is_connecting_) return;
    is_connecting_ = false;
    --driver_.connecting_;
  }

  NodeDriver& driver_;
  Carried carried_;
  bool is_connecting_;
};

NodeDriver::NodeDriver(const Settings& settings, const NodeOptions& options, Meter& meter, Report report)
    : Driver(settings, meter, std::move(report)), node_(options) {
  node_.set_application(this);
}

int NodeDriver::run() {
  const int code = node_.run();
  if (!is_server()) fail_all("was not done when the run had to end");
  return code;
}

std::unique_ptr<Handler> NodeDriver::make_handler(Connection& connection, std::uint16_t well_known) {
  const std::uint32_t index = meter_.add_flow();
  auto flow = is_server() ? make_server_flow(well_known, meter_, index) : make_client_flow(settings_, meter_, index);
  return std::make_unique<FlowHandler>(*this, connection, index, std::move(flow));
}

void NodeDriver::on_start(Node& node) {
  if (!is_server()) {
    node.define_service(kClientService, [this](Connection& connection) { return make_handler(connection, 0); });
    return;
  }
  for (const std::uint16_t well_known : {std::uint16_t{7}, std::uint16_t{9}, std::uint16_t{19}}) {
    node.listen(static_cast<std::uint16_t>(well_known + settings_.port_base), replicated,
                [this, well_known](Connection& connection) { return make_handler(connection, well_known); });
  }
}

std::uint64_t NodeDriver::on_turn(Node& node, std::uint64_t) {
  const std::uint64_t now = monotonic_ns();
  const auto after = [](Carrier&) {};
  if (now >= limit_ns_) {
    node.request_stop();
    return now;
  }
  const bool finishing = finish_when_due(now, false, after);
  if (finishing && (is_server() || live_ == 0)) {
    node.request_stop();
    return now;
  }
  for (std::size_t count = wanted(connecting_); count > 0; --count) {
    if (node.connect(settings_.peer, unreplicated, kClientService) == nullptr) {
      meter_.error("the stack opens no further connection: no local port, route or memory is left");
      node.request_stop();
      return now;
    }
  }
  run_ticks(now, after);
  report_when_due(now);
  return next_wake_ns();
}

}  // namespace tandem::perf
