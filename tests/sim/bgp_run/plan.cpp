// SPDX-License-Identifier: BSD-3-Clause
#include "bgp_run/plan.hpp"

#include <algorithm>

#include "setup.hpp"

namespace tandem::sim {
namespace {

using namespace bgp_type;

constexpr std::uint8_t kSet = 1, kSequence = 2;
constexpr std::uint32_t kNoExport = 0xffffff01, kNoAdvertise = 0xffffff02, kNoExportSubconfed = 0xffffff03;
constexpr std::uint32_t kUsualPreference = 100;

IpPrefix prefix_of(bool v6, std::uint8_t group, std::uint16_t number) {
  IpPrefix prefix;
  const auto high = static_cast<std::uint8_t>(number >> 8);
  const auto low = static_cast<std::uint8_t>(number);
  if (v6) {
    prefix.address = {6, {0x20, 0x01, 0x0d, 0xb8, group, high, low}};
    prefix.length = 56;
  } else {
    prefix.address = {4, {static_cast<std::uint8_t>(100 + group), high, low}};
    prefix.length = 24;
  }
  return prefix;
}

IpPrefix host_of(bool v6, std::uint8_t host) {
  if (v6) return {{6, {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host}}, 64};
  return {{4, {10, 0, 0, host}}, 24};
}

std::string text_of(const IpAddress& address) {
  const Bytes bytes = address.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class F>
void for_each_segment(std::string_view path, F f) {
  for (std::size_t at = 0; at + 2 <= path.size();) {
    const auto count = static_cast<std::uint8_t>(path[at + 1]);
    f(path[at], path.substr(at + 2, std::size_t{count} * 4));
    at += 2 + std::size_t{count} * 4;
  }
}

std::string_view value_of(const BgpRoute& route, std::uint8_t type) {
  const BgpAttribute* const found = find(route, type);
  return found == nullptr ? std::string_view{} : std::string_view(found->value);
}

std::uint32_t number_of(const BgpRoute& route, std::uint8_t type, std::uint32_t otherwise) {
  const std::string_view value = value_of(route, type);
  return value.size() == 4 ? number_at(value, 0) : otherwise;
}

bool path_has(const BgpRoute& route, std::uint32_t as) {
  bool has = false;
  for_each_segment(value_of(route, kAsPath), [&](char, std::string_view numbers) {
    for (std::size_t i = 0; i < numbers.size(); i += 4) has = has || number_at(numbers, i) == as;
  });
  return has;
}

std::size_t path_length(const BgpRoute& route) {
  std::size_t length = 0;
  for_each_segment(value_of(route, kAsPath),
                   [&](char type, std::string_view numbers) { length += type == kSet ? 1 : numbers.size() / 4; });
  return length;
}

std::uint32_t first_as(const BgpRoute& route) {
  const std::string_view path = value_of(route, kAsPath);
  return path.size() >= 6 && path[0] == kSequence ? number_at(path, 2) : 0;
}

bool has_community(const BgpRoute& route, std::uint32_t community) {
  const std::string_view list = value_of(route, kCommunities);
  for (std::size_t i = 0; i + 4 <= list.size(); i += 4)
    if (number_at(list, i) == community) return true;
  return false;
}

std::string prepended(std::string_view path, std::uint32_t as) {
  std::string result(path);
  if (result.empty() || result[0] != kSequence || result[1] == '\xff')
    return std::string{kSequence, 1} + octets_of(as) + result;
  ++result[1];
  return result.insert(2, octets_of(as));
}

bool is_known(std::uint8_t type) { return type <= kClusterList || type == kExtended || type == kLarge; }

}  // namespace

BgpPlan BgpPlan::draw(const Setup& setup) {
  Prng prng(setup.seed, 8);
  BgpPlan plan;
  plan.as = prng.one_in(2) ? 65000 : 4'200'000'001;
  plan.v4 = host_of(false, 1);
  plan.v6 = host_of(true, 1);
  const bool clean_wire = setup.faults.loss_permille == 0 && setup.faults.corruption_permille == 0 &&
                          !setup.partitions && !setup.mtu_changes && setup.short_memory_permille == 0;
  plan.clean_wire = clean_wire;
  plan.hold_s = clean_wire ? 3 : 30;
  plan.lazy = setup.lazy;
  plan.bulk = setup.bulk;
  plan.long_rest = clean_wire && prng.one_in(3);
  plan.falls_silent = plan.long_rest && prng.one_in(2);
  const auto prefixes = [&](std::uint8_t group, std::uint64_t count) {
    std::vector<IpPrefix> made;
    for (std::uint16_t i = 0; i < count; ++i) made.push_back(prefix_of(prng.one_in(2), group, i));
    return made;
  };
  plan.networks = prefixes(0, prng.below(6));
  plan.contested = prefixes(1, prng.below(5));
  const std::size_t count = std::min<std::size_t>(setup.bgp_neighbours, 3);
  plan.router_id = static_cast<std::uint32_t>(0x0a000000 + prng.between(1, 200));
  for (std::size_t i = 0; i < count; ++i) {
    Neighbour& neighbour = plan.neighbours.emplace_back();
    neighbour.address = i == 0 ? host_of(setup.v6, 2) : i == 1 ? host_of(!setup.v6, 2) : host_of(true, 3);
    const std::uint32_t external = plan.as == 65000 ? 4'200'000'100 : 64'900;
    neighbour.as = prng.one_in(4) ? plan.as : external + static_cast<std::uint32_t>(prng.below(2));
    neighbour.router_id = static_cast<std::uint32_t>(0x0a000000 + i * 256 + prng.between(201, 255));
    neighbour.passive = prng.one_in(2);
    neighbour.prefixes = prefixes(static_cast<std::uint8_t>(2 + i), plan.bulk ? 300 : prng.between(1, 24));
  }
  return plan;
}

BgpUpdate BgpPlan::draw_attributes(std::size_t from, Prng& prng) const {
  BgpUpdate update;
  BgpRoute& route = update.attributes;
  const bool external = is_external(from);
  const auto number = [&](std::uint8_t flags, std::uint8_t type, std::uint64_t value) {
    put(route, {flags, type, octets_of(static_cast<std::uint32_t>(value))});
  };
  const auto list = [&](std::uint8_t type, std::size_t item, std::uint64_t most) {
    std::string value;
    for (std::uint64_t i = prng.between(1, most); i > 0; --i) {
      for (std::size_t octets = 0; octets < item; octets += 4)
        value += octets_of(static_cast<std::uint32_t>(prng.below(1'000'000)));
    }
    put(route, {kOptional | kTransitive, type, value});
  };
  const auto some_as = [&] { return prng.one_in(4) ? 4'200'001'000 + prng.below(8) : 100 + prng.below(8); };
  const auto segment = [&](std::uint8_t type, std::uint64_t count) {
    std::string numbers;
    for (std::uint64_t i = 0; i < count; ++i) numbers += octets_of(static_cast<std::uint32_t>(some_as()));
    return std::string{static_cast<char>(type), static_cast<char>(count)} + numbers;
  };
  put(route, {kTransitive, kOrigin, std::string(1, static_cast<char>(prng.below(3)))});
  std::string path = prng.one_in(48)  ? segment(kSequence, 255)
                     : prng.one_in(4) ? ""
                                      : segment(kSequence, prng.between(1, 3));
  if (prng.one_in(24)) path = prepended(path, as);
  if (prng.one_in(8)) path += segment(kSet, prng.between(1, 3));
  if (external) path = prepended(path, neighbours[from].as);
  put(route, {kTransitive, kAsPath, path});
  if (prng.one_in(2)) number(kOptional, kMed, prng.below(3));
  // From an external neighbour the next ones are not heeded.
  if (!external || prng.one_in(16)) number(kTransitive, kLocalPref, 99 + prng.below(3));
  if (prng.one_in(external ? 16 : 4))
    number(kOptional, kOriginatorId, prng.one_in(8) ? router_id : 0x0a000100 + prng.below(300));
  if (prng.one_in(external ? 16 : 4)) number(kOptional, kClusterList, prng.below(100));
  if (prng.one_in(6)) put(route, {kTransitive, kAtomic, {}});
  if (prng.one_in(6))
    put(route, {kOptional | kTransitive, kAggregator, octets_of(static_cast<std::uint32_t>(some_as())) + octets_of(7)});
  if (prng.one_in(3)) list(kCommunities, 4, prng.one_in(8) ? 100 : 4);
  if (prng.one_in(8)) {
    constexpr std::uint32_t kKept[] = {kNoExport, kNoAdvertise, kNoExportSubconfed};
    const std::string before(value_of(route, kCommunities));
    put(route, {kOptional | kTransitive, kCommunities, before + octets_of(kKept[prng.below(3)])});
  }
  if (prng.one_in(6)) list(kExtended, 8, 3);
  if (prng.one_in(6)) list(kLarge, 12, prng.one_in(8) ? 30 : 3);
  if (prng.one_in(6)) put(route, {kOptional | kTransitive, 99, std::string(prng.below(9), 'x')});
  if (prng.one_in(8)) put(route, {kOptional | kTransitive | kPartial, 201, std::string(prng.below(300), 'y')});
  if (prng.one_in(8)) put(route, {kOptional, 250, "z"});
  update.next_hop_v4 = text_of(host_of(false, static_cast<std::uint8_t>(prng.between(10, 13))).address);
  update.next_hop_v6 = text_of(host_of(true, static_cast<std::uint8_t>(prng.between(10, 13))).address);
  return update;
}

BgpRoute BgpPlan::received(std::size_t from, const BgpRoute& announced) const {
  BgpRoute route = announced;
  std::erase_if(route,
                [](const BgpAttribute& item) { return !is_known(item.type) && (item.flags & kTransitive) == 0; });
  if (is_external(from))
    for (const std::uint8_t type : {kLocalPref, kOriginatorId, kClusterList}) drop(route, type);
  return route;
}

BgpRoute BgpPlan::own(std::size_t to, const IpPrefix& prefix) const {
  BgpRoute route;
  put(route, {kTransitive, kOrigin, std::string(1, '\0')});
  put(route, {kTransitive, kAsPath, is_external(to) ? prepended({}, as) : std::string()});
  put(route, {kTransitive, kNextHop, text_of(own_address(prefix))});
  if (!is_external(to)) put(route, {kTransitive, kLocalPref, octets_of(kUsualPreference)});
  return route;
}

std::optional<BgpRoute> BgpPlan::exported(std::size_t from, std::size_t to, const BgpRoute& announced) const {
  if (from == to || (!is_external(from) && !is_external(to))) return std::nullopt;
  BgpRoute route = received(from, announced);
  if (path_has(route, as) || number_of(route, kOriginatorId, 0) == router_id) return std::nullopt;
  if (has_community(route, kNoAdvertise)) return std::nullopt;
  for (BgpAttribute& attribute : route)
    if (!is_known(attribute.type)) attribute.flags |= kPartial;
  if (!is_external(to)) {
    if (find(route, kLocalPref) == nullptr) put(route, {kTransitive, kLocalPref, octets_of(kUsualPreference)});
    return route;
  }
  if (has_community(route, kNoExport) || has_community(route, kNoExportSubconfed)) return std::nullopt;
  for (const std::uint8_t type : {kMed, kLocalPref, kOriginatorId, kClusterList}) drop(route, type);
  put(route, {kTransitive, kAsPath, prepended(value_of(route, kAsPath), as)});
  const bool is_v6 = value_of(route, kNextHop).size() == 16;
  put(route, {kTransitive, kNextHop, text_of(is_v6 ? v6.address : v4.address)});
  return route;
}

std::optional<std::size_t> BgpPlan::best(const std::map<std::size_t, const BgpRoute*>& routes) const {
  struct Candidate {
    std::size_t from;
    BgpRoute route;
  };
  std::vector<Candidate> left;
  for (const auto& [from, route] : routes) {
    Candidate candidate{from, received(from, *route)};
    if (path_has(candidate.route, as) || number_of(candidate.route, kOriginatorId, 0) == router_id) continue;
    left.push_back(std::move(candidate));
  }
  if (left.empty()) return std::nullopt;
  const auto keep = [&left](auto key) {
    auto least = key(left.front());
    for (const Candidate& item : left) least = std::min(least, key(item));
    std::erase_if(left, [&](const Candidate& item) { return key(item) != least; });
  };
  keep([this](const Candidate& item) {
    return UINT32_MAX -
           (is_external(item.from) ? kUsualPreference : number_of(item.route, kLocalPref, kUsualPreference));
  });
  keep([](const Candidate& item) { return path_length(item.route); });
  keep([](const Candidate& item) { return static_cast<std::uint8_t>(value_of(item.route, kOrigin)[0]); });
  const std::vector<Candidate> all = left;
  std::erase_if(left, [&all](const Candidate& item) {
    return std::any_of(all.begin(), all.end(), [&item](const Candidate& other) {
      return first_as(other.route) == first_as(item.route) &&
             number_of(other.route, kMed, 0) < number_of(item.route, kMed, 0);
    });
  });
  keep([this](const Candidate& item) { return is_external(item.from) ? 0 : 1; });
  keep([this](const Candidate& item) { return number_of(item.route, kOriginatorId, neighbours[item.from].router_id); });
  keep([](const Candidate& item) { return value_of(item.route, kClusterList).size(); });
  keep([this](const Candidate& item) { return neighbours[item.from].address.address; });
  return left.front().from;
}

}  // namespace tandem::sim
