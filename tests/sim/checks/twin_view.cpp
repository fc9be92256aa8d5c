// SPDX-License-Identifier: BSD-3-Clause
#include "checks/twin_view.hpp"

#include <algorithm>
#include <string>

#include "hosted.hpp"
#include "world.hpp"

namespace tandem::sim {
namespace {

constexpr std::size_t kKept = 32;

/// What the mirror does not carry, or carries in another form.
void blank(ConnectionImage& image) {
  image.state.ts_val = 0;
  image.state.rtx_started_ms = 0;
  image.state.last_heard_ms = 0;
}

std::string differing(const TcpState& a, const TcpState& b) {
  std::string text;
  const auto compare = [&text](const char* name, std::uint64_t ours, std::uint64_t theirs) {
    if (ours != theirs) text += std::string(" ") + name + " " + std::to_string(ours) + " / " + std::to_string(theirs);
  };
  compare("phase", static_cast<std::uint64_t>(a.phase), static_cast<std::uint64_t>(b.phase));
  compare("flags", a.flags, b.flags);
  compare("snd_una", a.snd_una, b.snd_una);
  compare("snd_nxt", a.snd_nxt, b.snd_nxt);
  compare("write_seq", a.write_seq, b.write_seq);
  compare("snd_wnd", a.snd_wnd, b.snd_wnd);
  compare("snd_wl1", a.snd_wl1, b.snd_wl1);
  compare("snd_wl2", a.snd_wl2, b.snd_wl2);
  compare("rcv_nxt", a.rcv_nxt, b.rcv_nxt);
  compare("rcv_wnd", a.rcv_wnd, b.rcv_wnd);
  compare("rcv_right_edge", a.rcv_right_edge, b.rcv_right_edge);
  compare("cwnd", a.cwnd, b.cwnd);
  compare("ssthresh", a.ssthresh, b.ssthresh);
  compare("retransmissions", a.retransmissions, b.retransmissions);
  compare("dupacks", a.dupacks, b.dupacks);
  compare("ts_recent", a.ts_recent, b.ts_recent);
  compare("bytes_written", a.bytes_written, b.bytes_written);
  compare("bytes_acked", a.bytes_acked, b.bytes_acked);
  compare("bytes_received", a.bytes_received, b.bytes_received);
  compare("bytes_consumed", a.bytes_consumed, b.bytes_consumed);
  compare("rexmit_bytes", a.rexmit_bytes, b.rexmit_bytes);
  compare("srtt_ms", static_cast<std::uint64_t>(a.srtt_ms), static_cast<std::uint64_t>(b.srtt_ms));
  compare("rto_ms", a.rto_ms, b.rto_ms);
  compare("mss", a.mss, b.mss);
  compare("persist_backoff", a.persist_backoff, b.persist_backoff);
  return text.empty() ? " some other field" : text;
}

}  // namespace

void TwinView::look(Node& node, const Hosted& application, Kept& into) {
  node.stack().for_each_connection([&into, &application](Connection& connection) {
    if (!connection.is_replicated()) return;
    // Made in the process's own heap, as everything that its code does.
    const ConnectionImage image = connection.export_connection();
    const HeapScope heap;
    Entry& entry = into.connections.emplace_back();
    entry.id = connection.id();
    entry.image = image;
    blank(entry.image);
    if (const Handler* const handler = connection.handler()) {
      entry.has_handler = true;
      entry.view = application.view(*handler);
    }
  });
  const std::vector<Neighbour> neighbours = node.stack().neighbours();
  const std::vector<std::uint64_t> state = application.state();
  const HeapScope heap;
  into.neighbours.assign(neighbours.begin(), neighbours.end());
  into.state.assign(state.begin(), state.end());
}

void TwinView::published(Node& node, const Hosted& application, const ha::SharedGroup& group) {
  const auto make = [this]() -> Kept& {
    const HeapScope heap;
    if (kept_.size() == kKept) kept_.pop_front();
    return kept_.emplace_back();
  };
  Kept& kept = make();
  kept.position = group.published.load();
  kept.epoch = group.epoch.load();
  look(node, application, kept);
}

void TwinView::applied(Node& node, const Hosted& application, const ha::SharedGroup& group, std::uint64_t position) {
  const auto at = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) {
    return kept.position == position && kept.epoch == group.epoch.load();
  });
  if (at == kept_.end() || position <= from_) return;
  Kept seen;
  look(node, application, seen);
  const HeapScope heap;
  compare(application, *at, seen);
  ++compared_;
  kept_.erase(kept_.begin(), at);
}

void TwinView::compare(const Hosted& application, const Kept& primary, const Kept& twin) {
  const auto fail = [this, &primary](const std::string& text) {
    world_.violation("the twin's view (I3)", "at log position " + std::to_string(primary.position) + ": " + text);
  };
  if (primary.connections.size() != twin.connections.size())
    return fail("the primary has " + std::to_string(primary.connections.size()) + " connections, the twin " +
                std::to_string(twin.connections.size()));
  for (std::size_t i = 0; i < primary.connections.size(); ++i) {
    const Entry& ours = primary.connections[i];
    const Entry& theirs = twin.connections[i];
    const std::string name =
        "connection " + std::to_string(ours.id) + " (port " + std::to_string(ours.image.state.remote.port) + "): ";
    if (ours.id != theirs.id) return fail(name + "the twin has " + std::to_string(theirs.id) + " in its place");
    if (ours.image.state != theirs.image.state)
      return fail(name + "primary / twin:" + differing(ours.image.state, theirs.image.state));
    if (ours.image.send_queue != theirs.image.send_queue) return fail(name + "the send queues differ");
    if (ours.image.receive_queue != theirs.image.receive_queue) return fail(name + "the receive queues differ");
    if (ours.has_handler != theirs.has_handler) return fail(name + "only one of them has a handler");
    if (ours.has_handler && ours.view.number != theirs.view.number) return fail(name + "its plan is not known to both");
    if (ours.view.sees_streams && !(ours.view == theirs.view))
      return fail(name + "the primary's handler has read " + std::to_string(ours.view.consumed) + " and written " +
                  std::to_string(ours.view.written) + ", the twin's has seen " + std::to_string(theirs.view.consumed) +
                  " and " + std::to_string(theirs.view.written));
  }
  // The twin may know more of them: those that have grown old.
  for (const Neighbour& neighbour : primary.neighbours) {
    if (std::find(twin.neighbours.begin(), twin.neighbours.end(), neighbour) == twin.neighbours.end())
      return fail("the twin does not know the neighbour " + neighbour.address.to_string());
  }
  if (primary.state != twin.state) fail(application.difference(primary.state, twin.state));
}

}  // namespace tandem::sim
