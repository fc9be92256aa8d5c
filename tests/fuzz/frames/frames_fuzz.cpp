// SPDX-License-Identifier: BSD-3-Clause
//
// Frames into the stack. The input is a list of steps: frames of every protocol, sound or not; segments whose numbers are
// relative to what a live connection expects; what an application does; time; the death of the primary. World checks.
#include "input.hpp"
#include "require.hpp"
#include "world.hpp"

namespace tandem::fuzz {
namespace {

constexpr std::size_t kMaxSteps = 120;

class Steps {
 public:
  explicit Steps(Input& input) : in_(input) {}

  void run() {
    for (std::size_t i = 0; i < kMaxSteps && !in_.empty(); ++i) {
      const std::uint8_t choice = in_.u8();
      step(choice % 32);
      // Most steps are a turn of their own; some share one.
      if (choice < 192) world_.turn();
    }
    world_.check_everything();
  }

 private:
  void step(std::uint8_t what) {
    switch (what) {
      case 0:
        send({ethernet({World::stranger_mac(), World::our_mac()}, in_.one_of(kTypes), in_.bytes(200))});
        break;
      case 1:
        world_.inject(octets(in_.bytes(1600)));
        break;
      case 2:
        arp_packet();
        break;
      case 3:
        icmp_packet();
        break;
      case 4:
        neighbour_discovery();
        break;
      case 5:
        udp_packet();
        break;
      case 6:
        odd_ip_packet();
        break;
      case 7:
      case 8:
        handshake(remote());
        break;
      case 9:
      case 10:
      case 11:
      case 12:
        in_order(remote());
        break;
      case 13:
      case 14:
      case 15:
      case 16:
      case 17:
        odd_segment(remote());
        break;
      case 18:
        acknowledge_all(remote());
        break;
      case 19:
      case 20:
      case 21:
        application();
        break;
      case 22:
      case 23:
        world_.pass(std::uint64_t{1} << in_.below(17));
        break;
      case 24:
        world_.stream_from_neighbour(in_.below(2) == 0 ? 4 : 6, 1 + in_.u16() * std::uint32_t{4});
        break;
      case 25:
        world_.open_actively(in_.below(2));
        break;
      case 26:
        world_.attach_twin(1 + (std::size_t{in_.u8()} << in_.below(9)));
        break;
      case 27:
        world_.take_over(in_.below(3) == 0, in_.below(3) == 0 ? Stack::Adoption::kicked : Stack::Adoption::exact);
        break;
      case 28:
        replay();
        break;
      case 29:
        surroundings();
        break;
      case 30:
        error_about_a_connection();
        break;
      default:
        world_.turn();
    }
  }

  // ---- Choices ----

  Remote& remote() { return world_.remotes[in_.below(World::kRemotes)]; }

  static Octets octets(Bytes bytes) { return {bytes.begin(), bytes.end()}; }

  IpAddress any_address(std::uint8_t version) {
    switch (in_.below(8)) {
      case 0:
        return World::our_address(version);
      case 1:
        return World::neighbour_address(version);
      case 2:
        return World::gateway_address(version);
      case 3:
        return IpAddress::any(version);
      case 4:
        return *IpAddress::parse(version == 4 ? "255.255.255.255" : "ff02::1");
      case 5:
        return *IpAddress::parse(version == 4 ? "10.0.0.255" : "ff02::1:ff00:1");
      case 6: {
        IpAddress address{version, {}};
        for (std::size_t i = 0; i < address.bytes().size(); ++i) address.octets[i] = in_.u8();
        return address;
      }
      default:
        return World::stranger_address(version, in_.u8());
    }
  }
  static IpAddress router_address(std::uint8_t number) {
    IpAddress address = *IpAddress::parse("fe80::");
    address.octets[15] = static_cast<std::uint8_t>(number + 1);
    return address;
  }
  MacAddress any_mac() {
    switch (in_.below(5)) {
      case 0:
        return World::our_mac();
      case 1:
        return World::neighbour_mac();
      case 2:
        return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
      case 3:
        return {};
      default:
        return World::stranger_mac();
    }
  }

  /// A pattern, so that a large payload costs few bytes of input.
  Octets payload(std::size_t most) {
    const std::size_t size = most == 0 ? 0 : in_.u16() % (most + 1);
    Octets out(size);
    const std::uint8_t first = in_.u8();
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(first + i * 7);
    return out;
  }

  // ---- Sending ----

  /// Frames as they are, or with something broken behind every checksum.
  void send(std::vector<Octets> frames) {
    const std::uint8_t how = in_.u8();
    for (Octets& frame : frames) {
      if (how >= 240 && !frame.empty()) {
        for (int i = how % 4; i >= 0; --i)
          frame[in_.u16() % frame.size()] ^= static_cast<std::uint8_t>(1U << in_.below(8));
      } else if (how >= 232) {
        frame.resize(in_.u16() % (frame.size() + 1));
      } else if (how >= 228) {
        put(frame, octets(in_.bytes(64)));
      }
      world_.inject(std::move(frame));
    }
  }

  static Link to_us() { return {World::stranger_mac(), World::our_mac()}; }

  /// IP round a payload, perhaps with options or extension headers, perhaps in fragments.
  std::vector<Octets> packets(const IpAddress& source, const IpAddress& destination, std::uint8_t number,
                              Octets payload) {
    IpFields fields;
    fields.source = source;
    fields.destination = destination;
    fields.protocol = number;
    const std::uint16_t type = source.version == 4 ? ether_type::kIpv4 : ether_type::kIpv6;
    const std::uint8_t how = in_.u8();
    if (how >= 224) fields.hop_limit = in_.one_of(kHopLimits);
    if (how >= 64 && how < 80) {
      if (source.version == 4) {
        fields.options = octets(in_.bytes(40));
      } else {
        fields.protocol = extension_headers(fields.options, number);
      }
    }
    if (how >= 80 && how < 112) return fragments(fields, payload);
    return {ethernet(to_us(), type, ip(fields, payload))};
  }

  /// Appends up to four extension headers; returns the number of the first.
  std::uint8_t extension_headers(Octets& out, std::uint8_t last) {
    static constexpr std::uint8_t kKinds[] = {
        protocol::kHopByHop, protocol::kDestination, protocol::kRouting, protocol::kFragment, 51, 135};
    std::uint8_t first = last;
    std::size_t next_at = SIZE_MAX;
    for (std::size_t n = 1 + in_.below(4); n > 0; --n) {
      const std::uint8_t kind = in_.one_of(kKinds);
      if (next_at == SIZE_MAX) {
        first = kind;
      } else {
        out[next_at] = kind;
      }
      next_at = out.size();
      Octets header{last, 0};
      if (kind == protocol::kFragment) {
        header.push_back(in_.u8());
        header.push_back(in_.u8());
        put32(header, in_.u32());
      } else {
        put(header, in_.bytes(30));
        header.resize((header.size() + 7) / 8 * 8);
        header[1] = static_cast<std::uint8_t>(header.size() / 8 - 1);
        // Some lie about their length.
        if (in_.below(8) == 0) header[1] = in_.u8();
      }
      put(out, header);
    }
    return first;
  }

  std::vector<Octets> fragments(IpFields fields, const Octets& payload) {
    const std::uint8_t version = fields.source.version;
    const std::uint8_t number = fields.protocol;
    fields.identification = in_.u8();
    std::vector<Octets> out;
    const std::size_t piece = 8 * (1 + in_.below(60));
    std::size_t at = 0;
    for (int i = 0; i < 12 && at <= payload.size(); ++i) {
      std::size_t from = at, size = std::min(piece, payload.size() - at);
      bool more = at + size < payload.size();
      const std::uint8_t odd = in_.u8();
      if (odd >= 248) from = std::size_t{in_.u16()} * 8;
      if (odd >= 240 && odd < 248) more = !more;
      if (odd >= 232 && odd < 240) from = at >= 8 ? at - 8 : at;
      if (odd >= 228 && odd < 232) size = in_.below(size + 1);
      const Bytes bytes = Bytes(payload).subspan(at, size);
      IpFields one = fields;
      Octets body = octets(bytes);
      if (version == 4) {
        one.fragment = static_cast<std::uint16_t>((more ? 0x2000 : 0) | (from / 8 & 0x1fff));
      } else {
        one.protocol = protocol::kFragment;
        one.options = {number, 0};
        put16(one.options, static_cast<std::uint32_t>((from & 0xfff8) | (more ? 1 : 0)));
        put32(one.options, fields.identification);
      }
      Octets frame = ethernet(to_us(), version == 4 ? ether_type::kIpv4 : ether_type::kIpv6, ip(one, body));
      if (odd >= 224 && odd < 228) {
        // Missing.
      } else if (odd >= 192 && odd < 224 && !out.empty()) {
        out.insert(out.begin(), std::move(frame));
      } else {
        out.push_back(std::move(frame));
      }
      at += piece;
    }
    return out;
  }

  // ---- Protocols ----

  void arp_packet() {
    ArpFields fields;
    fields.operation = static_cast<std::uint16_t>(in_.below(4));
    fields.sender = any_address(4);
    fields.target = any_address(4);
    fields.sender_mac = any_mac();
    fields.target_mac = any_mac();
    send({ethernet({any_mac(), any_mac()}, ether_type::kArp, arp(fields))});
  }

  void icmp_packet() {
    const IpAddress source = any_address(4), destination = in_.below(4) == 0 ? any_address(4) : World::our_address(4);
    static constexpr std::uint8_t kTypesOfIcmp[] = {8, 0, 3, 4, 5, 11, 12, 13, 17, 30};
    const std::uint8_t type = in_.one_of(kTypesOfIcmp);
    const std::uint8_t code = in_.u8();
    const std::uint32_t rest = in_.u32();
    send(packets(source, destination, protocol::kIcmp, icmp(type, code, rest, payload(1800))));
  }

  void neighbour_discovery() {
    static constexpr std::uint8_t kKinds[] = {133, 134, 135, 136, 137, 128, 129, 130, 131, 132, 143, 1, 2, 3, 4, 200};
    const std::uint8_t type = in_.one_of(kKinds);
    // Advertisements and redirects count only when they come from a link-local address.
    const bool of_a_router = type == 134 || type == 137;
    const IpAddress source = of_a_router && in_.below(4) != 0 ? router_address(in_.u8() % 4) : any_address(6);
    const IpAddress destination = in_.below(3) == 0 ? any_address(6) : World::our_address(6);
    Octets body;
    if (type >= 133 && type <= 137) {
      if (type == 134) {
        put32(body, in_.u32());
        put32(body, in_.u32());
      } else if (type != 133) {
        put(body, any_address(6).octets);
        if (type == 137) put(body, any_address(6).octets);
      }
      for (std::size_t n = in_.below(5); n > 0; --n) {
        const std::uint8_t kind = static_cast<std::uint8_t>(in_.below(8));
        std::uint8_t units = static_cast<std::uint8_t>(kind == 3 ? 4 : 1);
        if (in_.below(8) == 0) units = in_.u8() % 8;
        body.push_back(kind);
        body.push_back(units);
        if (kind <= 2) {
          put(body, any_mac().octets);
        } else {
          Octets option = octets(in_.take(std::size_t{units} * 8));
          option.resize(units == 0 ? 6 : std::size_t{units} * 8 - 2);
          put(body, option);
        }
      }
    } else {
      body = payload(300);
    }
    IpFields fields;
    fields.source = source;
    fields.destination = destination;
    fields.protocol = protocol::kIcmp6;
    fields.hop_limit = in_.below(8) == 0 ? 64 : 255;
    const std::uint8_t code = in_.below(8) == 0 ? in_.u8() : 0;
    const std::uint32_t rest = in_.u32();
    const Octets message = icmp6(source, destination, type, code, rest, body);
    send({ethernet({any_mac(), in_.below(2) == 0 ? World::our_mac() : MacAddress{{0x33, 0x33, 0, 0, 0, 1}}},
                   ether_type::kIpv6, ip(fields, message))});
  }

  void udp_packet() {
    const std::uint8_t version = in_.below(2) == 0 ? 4 : 6;
    const IpAddress source = any_address(version);
    const IpAddress destination = in_.below(4) == 0 ? any_address(version) : World::our_address(version);
    Octets datagram =
        udp(source, destination, in_.u16(), in_.below(4) == 0 ? in_.u16() : kUdpPort, payload(4000), in_.below(8) != 0);
    if (in_.below(8) == 0) datagram[5] = in_.u8();
    send(packets(source, destination, protocol::kUdp, std::move(datagram)));
  }

  void odd_ip_packet() {
    const std::uint8_t version = in_.below(2) == 0 ? 4 : 6;
    const std::uint8_t number = in_.u8();
    send(packets(any_address(version), any_address(version), number, octets(in_.bytes(300))));
  }

  // ---- TCP ----

  void send_segment(Remote& remote, TcpFields fields) {
    fields.source = remote.port;
    fields.destination = remote.local_port;
    const IpAddress ours = World::our_address(remote.address.version);
    send(packets(remote.address, ours, protocol::kTcp, tcp(remote.address, ours, fields)));
  }

  static void timestamp(Octets& out, std::uint32_t value, std::uint32_t echo) {
    put(out, Octets{1, 1, 8, 10});
    put32(out, value);
    put32(out, echo);
  }

  Octets usual_options(Remote& remote) {
    Octets out;
    if (remote.timestamps) timestamp(out, remote.our_ts += 1, remote.ts_val);
    return out;
  }

  void handshake(Remote& remote) {
    const std::uint8_t bits = in_.u8();
    TcpFields syn;
    syn.seq = remote.snd_nxt;
    syn.window = (bits & 1) != 0 ? in_.u16() : 65535;
    if ((bits & 2) == 0)
      put(syn.options, Octets{2, 4, static_cast<std::uint8_t>((bits & 64) != 0 ? in_.u8() : 5), 180});
    if ((bits & 4) == 0) put(syn.options, Octets{1, 3, 3, static_cast<std::uint8_t>((bits & 128) != 0 ? in_.u8() : 7)});
    if ((bits & 8) == 0) put(syn.options, Octets{1, 1, 4, 2});
    if ((bits & 16) == 0) timestamp(syn.options, remote.our_ts, 0);
    if (remote.active) {
      if (!remote.seen) return;
      syn.flags = tcp_bit::kSyn | tcp_bit::kAck;
      syn.ack = remote.nxt;
      send_segment(remote, syn);
      remote.snd_nxt += 1;
      world_.turn();
      return;
    }
    syn.flags = tcp_bit::kSyn;
    send_segment(remote, syn);
    world_.turn();
    if (!remote.seen) return;
    remote.snd_nxt += 1;
    if ((bits & 32) != 0) return;
    TcpFields ack;
    ack.seq = remote.snd_nxt;
    ack.ack = remote.nxt;
    ack.flags = tcp_bit::kAck;
    ack.window = 65535;
    ack.options = usual_options(remote);
    send_segment(remote, ack);
  }

  void in_order(Remote& remote) {
    TcpFields fields;
    fields.seq = remote.snd_nxt;
    fields.ack = remote.nxt;
    fields.flags = tcp_bit::kAck | tcp_bit::kPsh;
    if (in_.below(16) == 0) fields.flags |= tcp_bit::kFin;
    fields.window = in_.below(4) == 0 ? in_.u16() : 65535;
    fields.options = usual_options(remote);
    fields.payload = payload(1440);
    remote.snd_nxt += static_cast<std::uint32_t>(fields.payload.size()) + ((fields.flags & tcp_bit::kFin) != 0 ? 1 : 0);
    send_segment(remote, fields);
  }

  void acknowledge_all(Remote& remote) {
    TcpFields fields;
    fields.seq = remote.snd_nxt;
    fields.ack = remote.nxt;
    fields.flags = tcp_bit::kAck;
    fields.window = in_.below(4) == 0 ? in_.u16() : 65535;
    fields.options = usual_options(remote);
    send_segment(remote, fields);
  }

  std::uint32_t near(std::uint32_t base) {
    switch (in_.below(6)) {
      case 0:
        return base + static_cast<std::uint32_t>(static_cast<std::int8_t>(in_.u8()));
      case 1:
        return base + static_cast<std::uint32_t>(static_cast<std::int16_t>(in_.u16()));
      case 2:
        return base + in_.u32();
      case 3:
        return base + static_cast<std::uint32_t>(1460 * in_.below(12));
      default:
        return base;
    }
  }

  void odd_segment(Remote& remote) {
    TcpFields fields;
    switch (in_.below(5)) {
      case 0:
        fields.seq = near(remote.ack);
        break;
      case 1:
        fields.seq = near(remote.ack + (std::uint32_t{remote.window} << 8));
        break;
      default:
        fields.seq = near(remote.snd_nxt);
    }
    fields.ack = near(in_.below(4) == 0 ? remote.iss + 1 : remote.nxt);
    static constexpr std::uint8_t kFlags[] = {
        tcp_bit::kAck,
        tcp_bit::kAck | tcp_bit::kPsh,
        tcp_bit::kAck | tcp_bit::kFin,
        tcp_bit::kRst,
        tcp_bit::kRst | tcp_bit::kAck,
        tcp_bit::kSyn,
        tcp_bit::kSyn | tcp_bit::kAck,
        tcp_bit::kAck | tcp_bit::kUrg,
        tcp_bit::kFin,
        0,
        tcp_bit::kSyn | tcp_bit::kFin,
        tcp_bit::kSyn | tcp_bit::kRst | tcp_bit::kAck,
        tcp_bit::kAck | tcp_bit::kUrg | tcp_bit::kFin,
    };
    const std::size_t flags = in_.below(std::size(kFlags) + 3);
    fields.flags = flags < std::size(kFlags)    ? kFlags[flags]
                   : flags == std::size(kFlags) ? in_.u8()
                                                : std::uint8_t{tcp_bit::kAck};
    fields.window = in_.below(3) == 0 ? 65535 : in_.u16();
    if ((fields.flags & tcp_bit::kUrg) != 0) fields.urgent = in_.u16();
    odd_options(remote, fields.options);
    if (in_.below(3) != 0) fields.payload = payload(in_.below(8) == 0 ? 6000 : 1440);
    if (in_.below(4) == 0) {
      const std::uint32_t end = fields.seq + static_cast<std::uint32_t>(fields.payload.size());
      if (static_cast<std::int32_t>(end - remote.snd_nxt) > 0) remote.snd_nxt = end;
    }
    send_segment(remote, fields);
  }

  void odd_options(Remote& remote, Octets& out) {
    const std::uint8_t how = in_.u8();
    if (how < 128) {
      out = usual_options(remote);
      return;
    }
    for (std::size_t n = 1 + how % 5; n > 0; --n) {
      switch (in_.below(10)) {
        case 0:
          put(out, Octets{2, 4, in_.u8(), in_.u8()});
          break;
        case 1:
          put(out, Octets{3, 3, in_.u8()});
          break;
        case 2:
          put(out, Octets{4, 2});
          break;
        case 3:
          timestamp(out, near(remote.our_ts), near(remote.ts_val));
          break;
        case 4: {
          const std::size_t blocks = 1 + in_.below(4);
          put(out, Octets{5, static_cast<std::uint8_t>(2 + 8 * blocks)});
          for (std::size_t i = 0; i < blocks; ++i) {
            const std::uint32_t left = near(remote.nxt);
            put32(out, left);
            put32(out, left + in_.u16());
          }
          break;
        }
        case 5:
          out.push_back(1);
          break;
        case 6:
          out.push_back(0);
          break;
        case 7:
          put(out, Octets{in_.u8(), in_.u8()});
          put(out, in_.bytes(12));
          break;
        default:
          put(out, in_.bytes(8));
      }
    }
  }

  // ---- The others ----

  void application() {
    Connection* c = world_.connection(in_.u8());
    if (c == nullptr) return;
    // The neighbour's streams are echoed, and checked by it.
    const bool checked = c->remote().address == World::neighbour_address(c->remote().address.version);
    switch (checked ? 7 + in_.below(5) : in_.below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        c->write(payload(in_.below(4) == 0 ? 60000 : 3000));
        break;
      case 4:
      case 5:
      case 6:
        c->consume(std::min<std::size_t>(c->unread().size(), in_.below(4) == 0 ? SIZE_MAX : in_.u16()));
        break;
      case 7:
        c->close();
        break;
      case 8:
        c->abort();
        break;
      case 9:
        c->set_no_delay(in_.below(2) == 0);
        c->set_keepalive(in_.u16(), in_.u16(), in_.u8());
        break;
      case 10:
        c->replicate();
        break;
      default:
        c->note(in_.bytes(40));
    }
  }

  void replay() {
    // What the neighbour has sent, once more; or what the stack itself has sent comes back to it.
    const auto& frames = in_.below(2) == 0 ? world_.from_neighbour() : world_.lately();
    if (frames.empty()) return;
    Octets frame = frames[in_.u8() % frames.size()];
    const std::uint8_t how = in_.u8();
    // One bit at most: the checksums see every such change.
    if (how < 64) frame[in_.u16() % frame.size()] ^= static_cast<std::uint8_t>(1U << how % 8);
    if (how >= 192) std::copy_n(World::our_mac().octets.begin(), 6, frame.begin());
    world_.inject(std::move(frame));
  }

  void surroundings() {
    switch (in_.below(6)) {
      case 0:
        world_.port().room = in_.below(2) == 0 ? SIZE_MAX : in_.below(8);
        break;
      case 1:
        world_.answer_neighbours = !world_.answer_neighbours;
        break;
      case 2:
        world_.deliver = !world_.deliver;
        break;
      case 3:
        world_.clamped = true;
        world_.stack().clamp_windows(in_.below(2) == 0 ? 0 : in_.u16());
        break;
      case 4:
        world_.stack().set_write_budget(in_.below(2) == 0 ? SIZE_MAX : in_.u16());
        break;
      default:
        world_.stack().link_some(1 + in_.below(4));
    }
  }

  /// ICMP errors that quote a segment of a live connection.
  void error_about_a_connection() {
    const Remote& about = remote();
    const std::uint8_t version = about.address.version;
    IpFields inner;
    inner.source = World::our_address(version);
    inner.destination = about.address;
    TcpFields fields;
    fields.source = about.local_port;
    fields.destination = about.port;
    fields.seq = near(about.nxt);
    Octets quoted = ip(inner, tcp(inner.source, inner.destination, fields));
    quoted.resize(std::min<std::size_t>(quoted.size(), in_.below(8) == 0 ? in_.u8() : 80));
    const IpAddress from = in_.below(2) == 0 ? about.address : any_address(version);
    const std::uint32_t rest = in_.below(2) == 0 ? in_.u16() : in_.u32();
    if (version == 4) {
      const std::uint8_t type = in_.below(4) == 0 ? 11 : 3;
      send(packets(from, inner.source, protocol::kIcmp,
                   icmp(type, static_cast<std::uint8_t>(in_.below(16)), rest, quoted)));
    } else {
      const auto type = static_cast<std::uint8_t>(1 + in_.below(4));
      send(packets(from, inner.source, protocol::kIcmp6,
                   icmp6(from, inner.source, type, static_cast<std::uint8_t>(in_.below(8)), rest, quoted)));
    }
  }

  static constexpr std::uint8_t kHopLimits[] = {0, 1, 255};
  static constexpr std::uint16_t kTypes[] = {
      ether_type::kIpv4, ether_type::kArp, ether_type::kIpv6, 0x8100, 0x88cc, 60};

  Input& in_;
  World world_;
};

}  // namespace
}  // namespace tandem::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tandem::fuzz::Input input(data, size);
  tandem::fuzz::Steps(input).run();
  return 0;
}
