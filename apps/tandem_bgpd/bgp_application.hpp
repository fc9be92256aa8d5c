// SPDX-License-Identifier: BSD-3-Clause
//
// Binds the speaker library (apps/bgp) to Tandem's connections. The same object serves both roles: on the primary it feeds the
// speaker and executes its actions; on the twin it shows the speaker what the primary consumed and wrote, so that its RIBs, its
// session states and its picture of what each peer was told are those of the primary at each transaction. On promotion each
// peer is sent the difference between what it should know and what it was told: most often nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bgp/speaker.hpp"
#include "tandem/node.hpp"

namespace tandem::bgpd {

class Session;

class BgpApplication final : public Application {
 public:
  explicit BgpApplication(bgp::Configuration configuration, std::uint16_t listen_port);
  ~BgpApplication() override;

  void on_start(Node& node) override;
  void on_primary(Node& node, bool takeover) override;
  void on_stop(Node& node) override;
  std::uint64_t on_turn(Node& node, std::uint64_t now_ns) override;
  bool save(Node& node, std::uint64_t& cursor, std::size_t max_bytes, std::vector<std::uint8_t>& piece) override;
  bool restore(Node& node, Bytes piece) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> fingerprint() const override;
  bool control(Node& node, std::string_view command, std::uint64_t& cursor, std::string& text) override;
  bool metrics(Node& node, std::uint64_t& cursor, std::string& text) override;

  // ---- For Session ----
  [[nodiscard]] bgp::Speaker& speaker() { return *speaker_; }
  [[nodiscard]] std::uint64_t now_ms() const;
  [[nodiscard]] bgp::Endpoints endpoints_of(const Connection& connection) const;
  void bind(bgp::Link link, Session& session);
  /// False: the link is another one's by now.
  bool unbind(bgp::Link link, const Session& session);
  /// The speaker may have something to do or to say: to be looked at in this turn.
  void touch() { touched_ = true; }
  /// `newcomer`, whose neighbour has a session, is kept until it is known whether that session's peer still has it. False: it has
  /// none. A neighbour has one that waits: the last that came.
  bool wait_for_place(Session& newcomer);
  void stop_waiting(const Session& session);
  void run_actions();
  /// What may be added to a failure: nothing, or that nobody is there at all.
  [[nodiscard]] std::string silence_of(const IpAddress& address, const std::string& reason) const;
  /// Twin: a share of what ended sessions have left behind.
  void sweep();
  bool restore_piece(Bytes piece);

 private:
  using Place = std::pair<std::uint32_t, bgp::Direction>;
  /// A neighbour's session whose peer is asked whether it still has it, since it has opened another connection.
  struct Question {
    Session* newcomer = nullptr;
    std::uint64_t heard = 0;  ///< when it was asked
    std::uint64_t until_ms = 0;
  };

  void pump_all();
  void warn_of_next_hop() const;
  [[nodiscard]] IpAddress next_hop(std::uint8_t version, const IpAddress& local) const;
  void look_at_questions();
  [[nodiscard]] Session* established_session(std::uint32_t neighbor) const;

  bgp::Configuration configuration_;
  std::uint16_t listen_port_;
  Node* node_ = nullptr;
  std::unique_ptr<bgp::Speaker> speaker_;
  bgp::Statistics statistics_;  ///< what the pieces of an answer are made from
  std::map<Place, Session*> sessions_;
  Place pump_behind_{0, bgp::Direction::outgoing};  ///< pumping goes on behind this one
  std::map<std::uint32_t, Question> questions_;     ///< by neighbour
  bool touched_ = false;
  bool running_actions_ = false;
};

bgp::Address to_bgp(const IpAddress& address);
IpAddress to_tandem(const bgp::Address& address);

}  // namespace tandem::bgpd
