// SPDX-License-Identifier: BSD-3-Clause
// RFC 4271 section 9.1.2.2, as a table.
#include "decision.hpp"

#include "harness.hpp"

using namespace tandem::bgp;
using namespace tandem::bgp::test;

namespace {

struct Way {
  std::vector<std::uint32_t> path;
  Origin origin = Origin::igp;
  std::optional<std::uint32_t> med = {};
  std::optional<std::uint32_t> local_pref = {};
  bool external = true;
  std::uint32_t router_id = 1;
  std::string address = "10.0.0.1";
  std::optional<std::uint32_t> originator_id = {};
  std::vector<std::uint32_t> cluster_list = {};
};

struct Row {
  const char* what;
  std::vector<Way> ways;
  std::uint32_t best;
};

constexpr auto kIgp = Origin::igp;

const std::vector<Row> kRows{
    {"one way", {{{1}}}, 0},
    {"the higher LOCAL_PREF, against a shorter path",
     {{{1}, kIgp, {}, 100, false}, {{1, 2, 3}, kIgp, {}, 101, false}},
     1},
    {"an external route counts as 100", {{{1, 2}}, {{1}, kIgp, {}, 99, false}}, 0},
    {"LOCAL_PREF of an external route does not count", {{{1, 2}, kIgp, {}, 500}, {{1}}}, 1},
    {"the shorter path", {{{1, 2}}, {{3}}}, 1},
    {"the lower origin", {{{1}, Origin::incomplete}, {{2}, Origin::egp}, {{3}, Origin::incomplete}}, 1},
    {"the lower MED of one neighbouring AS", {{{1}, kIgp, 20, {}, true, 1}, {{1}, kIgp, 10, {}, true, 2}}, 1},
    {"no MED is the lowest", {{{1}, kIgp, 1, {}, true, 1}, {{1}, kIgp, {}, {}, true, 2}}, 1},
    {"MEDs of different neighbouring ASes do not compare",
     {{{1}, kIgp, 20, {}, true, 1}, {{2}, kIgp, 10, {}, true, 2}},
     0},
    {"MED first removes, then the rest compares",
     {{{1}, kIgp, 20, {}, true, 1}, {{1}, kIgp, 10, {}, true, 3}, {{2}, kIgp, 30, {}, true, 2}},
     2},
    {"external before internal", {{{1}, kIgp, {}, 100, false, 1}, {{1}, kIgp, {}, {}, true, 2}}, 1},
    {"the lower router id", {{{1}, kIgp, {}, {}, true, 9}, {{2}, kIgp, {}, {}, true, 8}}, 1},
    {"ORIGINATOR_ID stands for the router id",
     {{{1}, kIgp, {}, {}, false, 5}, {{1}, kIgp, {}, {}, false, 9, "10.0.0.2", 4}},
     1},
    {"the shorter CLUSTER_LIST",
     {{{1}, kIgp, {}, {}, false, 5, "10.0.0.1", {}, {1, 2}}, {{1}, kIgp, {}, {}, false, 5, "10.0.0.2", {}, {1}}},
     1},
    {"the lower address", {{{1}, kIgp, {}, {}, true, 5, "10.0.0.2"}, {{2}, kIgp, {}, {}, true, 5, "10.0.0.1"}}, 1},
};

}  // namespace

TEST_CASE("the best route is chosen as RFC 4271 section 9.1.2.2 says, in whatever order they come", "[decision]") {
  for (const auto& row : kRows) {
    INFO(row.what);
    std::vector<PathAttributes> attributes;
    for (const auto& way : row.ways) {
      PathAttributes a = route(way.path, "192.0.2.9");
      a.origin = way.origin;
      a.med = way.med;
      a.local_pref = way.local_pref;
      a.originator_id = way.originator_id;
      a.cluster_list = way.cluster_list;
      attributes.push_back(a);
    }
    std::vector<std::uint32_t> order(row.ways.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    do {
      std::vector<Candidate> candidates;
      for (const auto i : order) {
        const auto& way = row.ways[i];
        candidates.push_back({&attributes[i], attributes[i].as_path.decision_length(), attributes[i].as_path.first_as(),
                              way.external, way.router_id, address(way.address), i});
      }
      CHECK(select_best(candidates) == row.best);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST_CASE("a set counts as one AS, whatever is in it", "[decision]") {
  AsPath path;
  const std::vector<std::uint32_t> two{1, 2};
  path.add_segment(AsPath::kSequence, two);
  path.add_segment(AsPath::kSet, two);
  CHECK(path.decision_length() == 3);
  CHECK(path.first_as() == 1);
  CHECK(path.contains(2));
  CHECK_FALSE(path.contains(3));
  path.prepend(7);
  CHECK(path.to_string() == "7 1 2 {1,2}");
  AsPath set;
  set.add_segment(AsPath::kSet, two);
  CHECK(set.first_as() == 0);
  set.prepend(7);
  CHECK(set.to_string() == "7 {1,2}");
  AsPath full;
  full.add_segment(AsPath::kSequence, std::vector<std::uint32_t>(255, 5));
  full.prepend(7);
  CHECK(full.decision_length() == 256);
  CHECK(full.first_as() == 7);
}
