// SPDX-License-Identifier: BSD-3-Clause
#include "bgp_application.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "session.hpp"
#include "tandem/planted.hpp"

namespace tandem::bgpd {
namespace {

/// Names the factory of connections that this speaker opens; those that it accepts have the listening port's number.
constexpr std::uint16_t kOutgoingService = 0;
/// How many shares of left-over work a twin does for each piece that it is shown.
constexpr int kSweepsACall = 4;
/// A peer that has opened a second connection is asked on the first for so long, several times, whether it still has it.
constexpr std::uint64_t kAnswerWithin_ms = 5'000;
/// How often its answer is looked for.
constexpr std::uint64_t kLookAgain_ns = 20'000'000;
/// How many a piece of an answer tells of.
constexpr std::uint64_t kNeighborsAPiece = 8;

std::string metric_line(const std::string& name, const std::string& labels, std::uint64_t value) {
  return "tandem_bgp_" + name + (labels.empty() ? "" : "{" + labels + "}") + " " + std::to_string(value) + "\n";
}

enum class MetricFamily : std::uint8_t { best, received, established, prefix_limit, prefix_limit_hits, malformed };

std::string heading_of(MetricFamily family) {
  const auto heading = [](const std::string& name, const char* type, const char* help) {
    return "# HELP tandem_bgp_" + name + " " + help + "\n# TYPE tandem_bgp_" + name + " " + type + "\n";
  };
  switch (family) {
    case MetricFamily::best:
      return heading("best", "gauge", "Prefixes with a best route.");
    case MetricFamily::received:
      return heading("received", "gauge", "Routes received.");
    case MetricFamily::established:
      return heading("established", "gauge", "Whether the session is established.");
    case MetricFamily::prefix_limit:
      return heading("max_prefix", "gauge", "Prefixes of each family that the neighbor may announce; 0: any number.");
    case MetricFamily::prefix_limit_hits:
      return heading("max_prefix_reached_total", "counter", "Sessions that ended for too many prefixes.");
    case MetricFamily::malformed:
      return heading("malformed_total", "counter", "Malformed messages and attributes, by kind.");
  }
  return {};
}

void append_metrics(MetricFamily family, const bgp::NeighborStatistics& neighbor, std::string& text) {
  const std::string label = "neighbor=\"" + neighbor.address.to_string() + "\"";
  switch (family) {
    case MetricFamily::best:
      break;
    case MetricFamily::received:
      text += metric_line("received", label + ",family=\"ipv4\"", neighbor.received[0]);
      text += metric_line("received", label + ",family=\"ipv6\"", neighbor.received[1]);
      break;
    case MetricFamily::established:
      text += metric_line("established", label, neighbor.state == bgp::State::established ? 1 : 0);
      break;
    case MetricFamily::prefix_limit:
      text += metric_line("max_prefix", label, neighbor.max_prefix);
      break;
    case MetricFamily::prefix_limit_hits:
      text += metric_line("max_prefix_reached_total", label, neighbor.max_prefix_hits);
      break;
    case MetricFamily::malformed:
      for (std::size_t kind = 0; kind < neighbor.malformations.size(); ++kind) {
        text += metric_line("malformed_total",
                            label + ",kind=\"" + std::string(bgp::name_of(static_cast<bgp::Malformation>(kind))) + "\"",
                            neighbor.malformations[kind]);
      }
      break;
  }
}

}  // namespace

bgp::Address to_bgp(const IpAddress& address) {
  bgp::Address result;
  result.family = address.is_v6() ? bgp::Family::ipv6 : bgp::Family::ipv4;
  result.bytes = address.octets;
  return result;
}

IpAddress to_tandem(const bgp::Address& address) {
  return {static_cast<std::uint8_t>(address.family == bgp::Family::ipv6 ? 6 : 4), address.bytes};
}

BgpApplication::BgpApplication(bgp::Configuration configuration, std::uint16_t listen_port)
    : configuration_(std::move(configuration)), listen_port_(listen_port) {}

BgpApplication::~BgpApplication() = default;

std::uint64_t BgpApplication::now_ms() const { return node_->now_ns() / 1'000'000; }

void BgpApplication::on_start(Node& node) {
  node_ = &node;
  sessions_.clear();
  questions_.clear();
  speaker_ = std::make_unique<bgp::Speaker>(
      configuration_, node.role() == Role::twin ? bgp::Speaker::Mode::observing : bgp::Speaker::Mode::active);
  node.define_service(kOutgoingService,
                      [this](Connection&) { return std::make_unique<Session>(*this, bgp::Direction::outgoing); });
  node.listen(listen_port_, replicated, [this](Connection& connection) -> std::unique_ptr<Handler> {
    // Strangers are not let in at all.
    if (!speaker_->find_neighbor(to_bgp(connection.remote().address))) return nullptr;
    return std::make_unique<Session>(*this, bgp::Direction::incoming);
  });
}

void BgpApplication::on_primary(Node&, bool takeover) {
  if (takeover) {
    // The peers wait for the first packets: what each neighbour has to be told is looked up behind them, in slices.
    speaker_->begin_promotion(now_ms());
    touched_ = true;
    return;
  }
  warn_of_next_hop();
  speaker_->start(now_ms());
  run_actions();
  pump_all();
}

/// Who announces itself as next hop is sent packets, and this program drops them.
void BgpApplication::warn_of_next_hop() const {
  const bool draws = configuration_.export_all || !configuration_.networks.empty();
  std::vector<IpAddress> heard;
  for (const std::uint8_t version : {std::uint8_t{4}, std::uint8_t{6}}) {
    for (const bgp::NeighborConfiguration& neighbor : configuration_.neighbors) {
      const IpAddress address = next_hop(version, node_->local_address(to_tandem(neighbor.address)));
      if (neighbor.as != configuration_.as && !address.is_any() &&
          std::find(heard.begin(), heard.end(), address) == heard.end())
        heard.push_back(address);
    }
  }
  if (!draws || heard.empty()) return;
  std::string own;
  for (const IpAddress& address : heard) own += (own.empty() ? "" : " and ") + to_bgp(address).to_string();
  node_->log("external neighbors hear " + own +
                 " as next hop, and packets that they send there are not forwarded by this program",
             LogLevel::warning);
}

void BgpApplication::on_stop(Node&) {
  speaker_->stop(now_ms());
  run_actions();
}

void BgpApplication::bind(bgp::Link link, Session& session) { sessions_[{link.neighbor, link.direction}] = &session; }

bool BgpApplication::unbind(bgp::Link link, const Session& session) {
  const auto found = sessions_.find({link.neighbor, link.direction});
  if (found == sessions_.end() || found->second != &session) return false;
  sessions_.erase(found);
  return true;
}

/// RFC 4271 section 5.1.3: what the session speaks from, which is on the neighbor's own network. Of the other IP version nobody knows
/// which one is.
IpAddress BgpApplication::next_hop(std::uint8_t version, const IpAddress& local) const {
  return local.version == version && !local.is_link_local() ? local : node_->local_address(version);
}

bgp::Endpoints BgpApplication::endpoints_of(const Connection& connection) const {
  bgp::Endpoints endpoints;
  endpoints.local = to_bgp(connection.local().address);
  endpoints.remote = to_bgp(connection.remote().address);
  const IpAddress& local = connection.local().address;
  if (const IpAddress ipv4 = next_hop(4, local); !ipv4.is_any()) endpoints.next_hop_ipv4 = to_bgp(ipv4);
  if (const IpAddress ipv6 = next_hop(6, local); !ipv6.is_any()) endpoints.next_hop_ipv6 = to_bgp(ipv6);
  if (connection.remote().address.is_link_local()) endpoints.link_local = endpoints.local;
  return endpoints;
}

std::string BgpApplication::silence_of(const IpAddress& address, const std::string& reason) const {
  if (reason.find("nobody") != std::string::npos || node_->stack().neighbour_answers(address)) return {};
  return ", and nobody on the link answers for its address or its gateway's";
}

void BgpApplication::run_actions() {
  // An action may lead to further ones; the outermost call executes them all, in order.
  if (running_actions_) return;
  running_actions_ = true;
  bgp::Action action;
  while (speaker_->next_action(action)) {
    touched_ = true;
    const auto found = sessions_.find({action.link.neighbor, action.link.direction});
    const bgp::NeighborConfiguration& neighbor = configuration_.neighbors[action.link.neighbor];
    switch (action.kind) {
      case bgp::Action::Kind::connect: {
        EndReason why = EndReason::none;
        Connection* connection =
            node_->connect({to_tandem(neighbor.address), neighbor.port}, replicated, kOutgoingService, &why);
        auto* session = connection != nullptr ? dynamic_cast<Session*>(connection->handler()) : nullptr;
        if (session == nullptr) {
          speaker_->transport_closed(action.link, now_ms(), to_string(why));
          break;
        }
        session->begin(*connection, action.link);
        break;
      }
      case bgp::Action::Kind::close:
        if (found != sessions_.end()) found->second->finish();
        break;
      case bgp::Action::Kind::session_up:
        if (found != sessions_.end()) found->second->is_up();
        node_->log("neighbor " + neighbor.address.to_string() + " is established");
        break;
      case bgp::Action::Kind::session_down:
        node_->log("neighbor " + neighbor.address.to_string() + " is down: " + action.reason, LogLevel::warning);
        break;
      case bgp::Action::Kind::prefix_warning:
        node_->log("neighbor " + neighbor.address.to_string() + " " + action.reason, LogLevel::warning);
        break;
      case bgp::Action::Kind::attempt_failed:
        node_->log("neighbor " + neighbor.address.to_string() + " (AS " + std::to_string(neighbor.as) +
                       ") does not come up: " + action.reason + silence_of(to_tandem(neighbor.address), action.reason) +
                       "; trying again",
                   LogLevel::warning);
        break;
    }
  }
  running_actions_ = false;
}

void BgpApplication::pump_all() {
  touched_ = false;
  // Pumping may end a session, so each is looked up. Where time runs out the next turn goes on behind.
  for (std::size_t left = sessions_.size(); left > 0 && !sessions_.empty(); --left) {
    auto next = sessions_.upper_bound(pump_behind_);
    if (next == sessions_.end()) next = sessions_.begin();
    pump_behind_ = next->first;
    if (next->second->pump()) touched_ = true;
    if (left > 1 && node_->out_of_time() && !TANDEM_PLANTED(bgp_turn_unbounded)) {
      touched_ = true;
      return;
    }
  }
}

Session* BgpApplication::established_session(std::uint32_t neighbor) const {
  for (const bgp::Direction direction : {bgp::Direction::outgoing, bgp::Direction::incoming}) {
    const auto found = sessions_.find({neighbor, direction});
    if (found != sessions_.end() && speaker_->state({neighbor, direction}) == bgp::State::established)
      return found->second->connection() != nullptr ? found->second : nullptr;
  }
  return nullptr;
}

bool BgpApplication::wait_for_place(Session& newcomer) {
  const auto neighbor = speaker_->find_neighbor(to_bgp(newcomer.connection()->remote().address));
  Session* const holder = neighbor ? established_session(*neighbor) : nullptr;
  if (holder == nullptr) return false;
  Question& question = questions_[*neighbor];
  if (question.newcomer != nullptr) std::exchange(question.newcomer, nullptr)->refuse();
  holder->ask();
  question = {&newcomer, holder->heard(), now_ms() + kAnswerWithin_ms};
  return true;
}

void BgpApplication::stop_waiting(const Session& session) {
  const auto at = std::find_if(questions_.begin(), questions_.end(),
                               [&session](const auto& item) { return item.second.newcomer == &session; });
  if (at == questions_.end()) return;
  const std::uint32_t neighbor = at->first;
  questions_.erase(at);
  if (Session* const holder = established_session(neighbor)) holder->stop_asking();
}

void BgpApplication::look_at_questions() {
  std::vector<std::uint32_t> asked;
  for (const auto& [neighbor, question] : questions_) asked.push_back(neighbor);
  for (const std::uint32_t neighbor : asked) {
    Question& asking = questions_[neighbor];
    const Question question = asking;
    const std::string name = configuration_.neighbors[neighbor].address.to_string();
    Session* const holder = established_session(neighbor);
    if (holder == nullptr) {
      questions_.erase(neighbor);
      question.newcomer->retry();
    } else if (!holder->is_asked()) {
      // Memory was short, or it has just been promoted.
      holder->ask();
      asking.heard = holder->heard();
      asking.until_ms = now_ms() + kAnswerWithin_ms;
    } else if (holder->heard() != question.heard) {
      node_->log("neighbor " + name + " has opened a second connection and still answers on the first: refused");
      questions_.erase(neighbor);
      holder->stop_asking();
      question.newcomer->refuse();
    } else if (now_ms() >= question.until_ms) {
      node_->log("neighbor " + name + " has opened a new connection and does not answer on the old one: replaced");
      holder->give_up();
    }
    touched_ = true;
  }
}

std::uint64_t BgpApplication::on_turn(Node& node, std::uint64_t now_ns) {
  const std::uint64_t now = now_ns / 1'000'000;
  const auto tick = [&] {
    const auto deadline = speaker_->next_deadline_ms();
    if (!deadline || *deadline > now) return false;
    speaker_->tick(now);
    touched_ = true;
    return true;
  };
  tick();
  if (!questions_.empty()) look_at_questions();
  if (touched_) {
    run_actions();
    pump_all();
    run_actions();
  }
  // What is left of the turn is for what ended sessions have left behind.
  while (!node.out_of_time() && tick()) {
  }
  if (touched_) return now_ns;
  const auto deadline = speaker_->next_deadline_ms();
  std::uint64_t next_ns = deadline ? std::max(*deadline * 1'000'000, now_ns + 1'000'000) : UINT64_MAX;
  if (!questions_.empty()) next_ns = std::min(next_ns, now_ns + kLookAgain_ns);
  return next_ns;
}

bool BgpApplication::save(Node&, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) {
  bgp::SaveCursor at = bgp::SaveCursor::unpacked(cursor);
  const bool more = speaker_->save(at, std::max(max_bytes, bgp::Speaker::kMinPieceBytes), piece, now_ms());
  cursor = at.packed();
  return more;
}

void BgpApplication::sweep() {
  for (int share = 0; share < kSweepsACall; ++share) {
    const auto deadline = speaker_->next_deadline_ms();
    if (!deadline || *deadline != 0) return;
    speaker_->tick(now_ms());
  }
}

bool BgpApplication::restore(Node&, Bytes piece) { return restore_piece(piece); }

bool BgpApplication::restore_piece(Bytes piece) {
  const std::string wrong = speaker_->restore(piece, now_ms());
  if (!wrong.empty()) node_->log("a piece of the primary's routing state cannot be taken: " + wrong);
  return wrong.empty();
}

std::vector<std::pair<std::string, std::string>> BgpApplication::fingerprint() const {
  std::vector<std::pair<std::string, std::string>> result = {
      {"as", std::to_string(configuration_.as)},
      {"router-id", bgp::Address::from_ipv4(configuration_.router_id).to_string()},
      {"port", std::to_string(listen_port_)}};
  std::string neighbors;
  for (const bgp::NeighborConfiguration& neighbor : configuration_.neighbors) {
    neighbors += (neighbors.empty() ? "" : ", ") + neighbor.address.to_string() + " as=" + std::to_string(neighbor.as) +
                 (neighbor.passive ? " passive" : "") + " hold=" + std::to_string(neighbor.hold_time_s) +
                 " port=" + std::to_string(neighbor.port);
  }
  result.emplace_back("neighbor", neighbors);
  result.emplace_back("export-all", configuration_.export_all ? "yes" : "no");
  // Networks are left out on purpose: a twin that is to announce others sends the difference when it is promoted.
  return result;
}

bool BgpApplication::control(Node&, std::string_view command, std::uint64_t& cursor, std::string& text) {
  if (command != "routes" && command != "neighbors") return false;
  if (cursor == 0) statistics_ = speaker_->statistics(now_ms());
  const auto append = [&text](const nlohmann::json& value) {
    text += value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  if (cursor == 0 && command == "neighbors") text += "{\"neighbors\":[";
  if (cursor == 0 && command == "routes") {
    append({{"received", {{"ipv4", statistics_.received[0]}, {"ipv6", statistics_.received[1]}}},
            {"best", statistics_.best},
            {"advertised", statistics_.advertised}});
    // The list goes into the object.
    text.back() = ',';
    text += "\"neighbors\":[";
  }
  const std::uint64_t count = statistics_.neighbors.size();
  const std::uint64_t end = std::min(count, cursor + kNeighborsAPiece);
  for (; cursor < end; ++cursor) {
    const bgp::NeighborStatistics& neighbor = statistics_.neighbors[cursor];
    if (cursor != 0) text += ',';
    append({{"address", neighbor.address.to_string()},
            {"as", neighbor.as},
            {"state", std::string(bgp::name_of(neighbor.state))},
            {"uptime_ms", neighbor.uptime_ms},
            {"hold_time_s", neighbor.hold_time_s},
            {"received_ipv4", neighbor.received[0]},
            {"received_ipv6", neighbor.received[1]},
            {"advertised_ipv4", neighbor.advertised[0]},
            {"advertised_ipv6", neighbor.advertised[1]},
            {"max_prefix", neighbor.max_prefix},
            {"max_prefix_reached", neighbor.max_prefix_hits},
            {"held_down", neighbor.held_down},
            {"held_down_ms", neighbor.held_down_ms},
            {"times_established", neighbor.times_established},
            {"last_down", neighbor.last_down}});
  }
  if (cursor < count) return true;
  text += "]}";
  return false;
}

/// Families of lines, each with every neighbour: the cursor says which, and which neighbour is next in it.
bool BgpApplication::metrics(Node&, std::uint64_t& cursor, std::string& text) {
  if (cursor == 0) statistics_ = speaker_->statistics(now_ms());
  constexpr unsigned kNeighborBits = 32;
  const auto family = static_cast<MetricFamily>(cursor >> kNeighborBits);
  std::uint64_t next = cursor & ((std::uint64_t{1} << kNeighborBits) - 1);
  if (next == 0) text += heading_of(family);
  if (family == MetricFamily::best) {
    text += metric_line("best", "", statistics_.best);
  } else {
    const std::uint64_t end = std::min<std::uint64_t>(statistics_.neighbors.size(), next + kNeighborsAPiece);
    for (; next < end; ++next) append_metrics(family, statistics_.neighbors[next], text);
  }
  const bool done = family == MetricFamily::best || next >= statistics_.neighbors.size();
  cursor = done ? (static_cast<std::uint64_t>(family) + 1) << kNeighborBits
                : static_cast<std::uint64_t>(family) << kNeighborBits | next;
  return !done || family != MetricFamily::malformed;
}

}  // namespace tandem::bgpd
