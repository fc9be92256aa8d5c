// SPDX-License-Identifier: BSD-3-Clause
//
// The matrix as one page that needs nothing beside itself.
#include <fstream>
#include <iterator>
#include <utility>

#include "matrix/matrix.hpp"

namespace tandem::sim {
namespace {

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tandem: crash matrix</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 2rem auto; padding: 0 1rem; max-width: 1500px; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
p, ul { max-width: 62rem; }
code, pre { font: 13px/1.4 ui-monospace, monospace; background: #f3f3f3; padding: .1em .3em; }
pre { padding: .7em 1em; overflow-x: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid #d0d0d0; padding: .15em .4em; text-align: left; vertical-align: top; }
thead th { background: #f3f3f3; vertical-align: bottom; }
thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
tbody th { font-weight: 400; } tbody th small { color: #555; }
td { white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums; }
td.w { white-space: normal; text-align: left; }
.s { background: #cfe5f5; } .a { background: #fbdcae; } .i { background: #e6e6e6; } .f { background: #7a0f23; color: #fff; font-weight: 700; }
.x { background: linear-gradient(135deg, #cfe5f5 50%, #fbdcae 50%); }
.legend td { text-align: left; }
</style>
</head>
<body>
)";

struct FateText {
  Fate fate;
  std::string_view style, sign, name, words;
};
constexpr FateText kFateTexts[] = {
    {Fate::survived, "s", "\u2713", "survived",
     "Every byte of every connection arrived exactly once and in order, at both ends. No connection was reset, the "
     "peer sent "
     "nothing again where the wire lost nothing, and all was done in time: within 200 ms of the last connection's "
     "opening, or 10 seconds where the scenario loses a segment."},
    {Fate::idle, "i", "\u25cb", "nothing to lose",
     "The group started anew while no connection was open. Those that were opened afterwards were served in full."},
    {Fate::unprotected, "a", "\u21bb", "started anew: no twin yet",
     "The primary died while it was alone: no twin had been brought up to date. Its connections end at the peer by a "
     "reset or a "
     "timeout, as with any host that restarts. A connection opened 20 ms later was served in full."},
    {Fate::both_died, "a", "\u21bb", "started anew: both died",
     "The process that took over, or took back, died too, before a newcomer had been brought up to date. Nobody was "
     "left who had the "
     "connections. A connection opened 20 ms later was served in full."},
    {Fate::handed_over, "a", "\u21bb", "started anew: died right after a switchover",
     "The process that took everything over in a planned switchover died before its predecessor, or a newcomer, was "
     "its twin. "
     "A connection opened 20 ms later was served in full."},
    {Fate::failed, "f", "\u2717", "FAILED", "A promise was broken. There must be none of these."},
};

std::string number(std::uint64_t value) {
  std::string text = std::to_string(value);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "\u202f");
  return text;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<')
      result += "&lt;";
    else if (c == '&')
      result += "&amp;";
    else
      result += c;
  }
  return result;
}

std::string cell_text(const Counts& counts) {
  if (counts.all() == 0) return "<td></td>";
  std::string text;
  const auto add = [&text](std::string_view sign, std::uint32_t count) {
    if (count != 0) text += (text.empty() ? "" : " ") + std::string(sign) + number(count);
  };
  add("\u2717", counts.of(Fate::failed));
  add("\u2713", counts.of(Fate::survived));
  add("\u21bb", counts.anew());
  add("\u25cb", counts.of(Fate::idle));
  const char* const style = counts.of(Fate::failed) != 0                           ? "f"
                            : counts.anew() != 0 && counts.of(Fate::survived) != 0 ? "x"
                            : counts.anew() != 0                                   ? "a"
                            : counts.of(Fate::survived) != 0                       ? "s"
                                                                                   : "i";
  return "<td class=" + std::string(style) + ">" + text + "</td>";
}

/// Words for the steps, from the comments beside their names.
class Words {
 public:
  Words() {
    read("/stack/include/tandem/stop_point.hpp", "    \"", "\"", "// ", "");
    read("/port/include/tandem/wire_step.hpp", "  ", ",", "///< ", "wire.");
  }
  [[nodiscard]] std::string of(Step step) const {
    const auto at = words_.find(std::string(name_of(step)));
    return at == words_.end() ? "" : at->second;
  }

 private:
  void read(const char* path, std::string_view before, std::string_view behind, std::string_view mark,
            std::string_view prefix) {
    std::ifstream file(std::string(TANDEM_SOURCE_DIR) + path);
    for (std::string line; std::getline(file, line);) {
      const std::size_t comment = line.find(mark);
      if (!line.starts_with(before) || comment == std::string::npos) continue;
      const std::size_t end = line.find(behind, before.size());
      if (end == std::string::npos || end > comment) continue;
      words_[std::string(prefix) + line.substr(before.size(), end - before.size())] =
          line.substr(comment + mark.size());
    }
  }
  std::map<std::string, std::string> words_;
};

void add_overview(const Matrix& matrix, std::string& page) {
  page +=
      "<h2>Scenarios</h2>\n<div class=wide><table><thead><tr><th>scenario<th>what happens in it<th>the primary dies"
      "<th>the twin dies<th>both die, the primary first<th>both die, the twin first</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < scenarios().size(); ++i) {
    page += "<tr><th>" + std::string(scenarios()[i].name) + "<td class=w>" + escaped(scenarios()[i].words) +
            (scenarios()[i].v6 ? " (IPv6)" : "") + "</td>";
    for (std::size_t role = 0; role < kCrashRoles; ++role)
      page += cell_text(matrix.sum(i, static_cast<CrashRole>(role)));
    page += "</tr>\n";
  }
  page += "</tbody></table></div>\n";
}

void add_steps(const Matrix& matrix, const Words& words, CrashRole role, std::string& page) {
  page += "<div class=wide><table><thead><tr><th>step";
  for (const Scenario& scenario : scenarios()) page += "<th><span>" + std::string(scenario.name) + "</span>";
  page += "</tr></thead><tbody>\n";
  for (std::size_t step = 0; step < kSteps; ++step) {
    std::string row;
    bool passed = false;
    for (std::size_t i = 0; i < scenarios().size(); ++i) {
      const auto at = matrix.cells.find({i, static_cast<std::size_t>(role), step});
      passed = passed || at != matrix.cells.end();
      row += cell_text(at == matrix.cells.end() ? Counts{} : at->second);
    }
    if (!passed) continue;
    page += "<tr><th>" + std::string(name_of(static_cast<Step>(step))) + "<br><small>" +
            escaped(words.of(static_cast<Step>(step))) + "</small>" + row + "</tr>\n";
  }
  page += "</tbody></table></div>\n";
}

void add_legend(const Counts& sum, std::string& page) {
  page += "<table class=legend><tbody>\n";
  for (const FateText& item : kFateTexts) {
    page += "<tr><td class=" + std::string(item.style) + ">" + std::string(item.sign) + "&nbsp;" +
            number(sum.of(item.fate)) + "</td><td>" + std::string(item.name) + "</td><td class=w>" +
            std::string(item.words) + "</td></tr>\n";
  }
  page +=
      "<tr><td class=x>\u2713 \u21bb</td><td>some of each</td><td class=w>The same step, passed several times: the "
      "earlier or "
      "later passages fall into a time without a twin.</td></tr>\n</tbody></table>\n";
}

void add_reach(const Totals& totals, std::string& page) {
  std::size_t reached = 0, died = 0;
  std::string missing;
  for (std::size_t i = 0; i < kSteps; ++i) {
    const auto step = static_cast<Step>(i);
    if (is_alias(step)) continue;
    if (totals.passed[i] == 0) {
      missing +=
          "<li><code>" + std::string(name_of(step)) + "</code>: " + std::string(why_not_reached(step)) + "</li>\n";
      continue;
    }
    ++reached;
    died += totals.died_at[i] != 0 ? 1 : 0;
  }
  page +=
      "<p>Of " + number(reached) + " places that the scenarios come to, a process died at " + number(died) + ".</p>\n";
  page += missing.empty() ? "<p>There is no place in the code's list that no scenario comes to.</p>\n"
                          : "<p>No scenario comes to these:</p>\n<ul>\n" + missing + "</ul>\n";
}

}  // namespace

std::string_view why_not_reached(Step) { return {}; }

std::string page_of(const Matrix& matrix) {
  const Counts sum = matrix.sum();
  const Words words;
  std::string page(kHead);
  page +=
      "<h1>Crash matrix</h1>\n<p>Two processes carry the same TCP connections: a primary, which speaks to the peer, "
      "and a twin, "
      "which mirrors it and takes over when it dies. This page says what becomes of the connections when one of them, "
      "or both, "
      "die at <em>any</em> moment. In each of " +
      number(scenarios().size()) +
      " scenarios every place that a process passes (each stored ring index, each written record, each step of a turn, "
      "of an "
      "attachment, of a takeover and of a switchover) was numbered, and for each the scenario was run again from its "
      "beginning, with a crash exactly there: " +
      number(sum.all()) +
      " runs. The processes are the real ones, on a simulated kernel, wire and clock. The peer knows nothing of all "
      "this: it is "
      "an ordinary host whose packets are judged by rules that share no code with the stack.</p>\n";
  page += "<h2>What the signs mean</h2>\n";
  add_legend(sum, page);
  add_overview(matrix, page);
  page +=
      "<h2>Crash of the primary, step by step</h2>\n<p>Each cell counts the passages of a step, and so the runs. A "
      "passage is one "
      "run: the first process dies there, the twin takes over, a newcomer takes the twin's place.</p>\n";
  add_steps(matrix, words, CrashRole::primary, page);
  page +=
      "<h2>Crash of the twin, step by step</h2>\n<p>The second process dies: while it joins, while it follows, and (in "
      "the "
      "switchovers) while it takes over and afterwards.</p>\n";
  add_steps(matrix, words, CrashRole::twin, page);
  page +=
      "<h2>Crash of both, one after the other</h2>\n<p>The primary dies at each of its steps, at the first passage "
      "since a twin "
      "stands by and a connection has been opened; then the process that adopts them dies at each of its own steps, "
      "from its predecessor's death until "
      "a newcomer has been brought up to date, which is the row <code>attach.member</code>. The rows are the second "
      "death's "
      "steps. Before that row nobody else has the connections, so that these cells say that no more is lost than must "
      "be: the "
      "service is there again by itself.</p>\n";
  add_steps(matrix, words, CrashRole::both, page);
  page +=
      "<h2>Crash of both during a switchover, the twin first</h2>\n<p>The primary has handed everything over, and the "
      "twin dies "
      "before it has taken it. The old primary takes it back, and dies at each of its own steps until a newcomer has "
      "been brought "
      "up to date.</p>\n";
  add_steps(matrix, words, CrashRole::reverse, page);
  page += "<h2>Places covered</h2>\n";
  add_reach(matrix.totals, page);
  page +=
      "<h2>Repeating a cell</h2>\n<pre>./dev sim --matrix --list                                          the "
      "scenarios\n"
      "./dev sim --matrix open-passive --role primary --list              its numbered steps\n"
      "./dev sim --matrix open-passive --role primary --step tx.words     one cell of this page\n"
      "./dev sim --matrix open-passive --role primary --step 117 --trace  one run, told in full\n"
      "./dev sim --matrix switchover --role both --step publish.after --second adopt.tx\n"
      "./dev sim --matrix --page docs/crash-matrix.html                   this page\n</pre>\n"
      "<p>The events of a scenario come in one order here. <code>--from SEED</code> gives others, and "
      "<code>--every</code> lets the "
      "first of two deaths come at every passage. Random runs of the simulator do without a script altogether. Not "
      "simulated: a "
      "second network interface, a crash between two machine instructions that are no store to shared memory, and the "
      "death of "
      "the whole box, which takes both processes of one chassis.</p>\n</body>\n</html>\n";
  return page;
}

}  // namespace tandem::sim
