// SPDX-License-Identifier: BSD-3-Clause
//
// Runs a fuzzer's function without a fuzzing engine, so that any compiler can replay what was found:
//
//   fuzz_NAME [--mutate N] [--seed S] FILE-OR-DIRECTORY...
//
// Every input found there is run, then N inputs that are made from them by a few changes each, the same ones every time.
// When one fails its bytes are in the file failed-input of the working directory.
#include <signal.h>
#include <unistd.h>
#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// The sanitizers', where they are linked.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::size_t kMaxInputBytes = 8192;
const Octets* running = nullptr;
std::string running_name;

void keep_the_input() {
  if (running == nullptr) return;
  std::fprintf(stderr,
               "\nThe input was %s (%zu bytes). It is in the file failed-input; run this program on that file.\n",
               running_name.c_str(), running->size());
  if (std::FILE* file = std::fopen("failed-input", "wb")) {
    std::fwrite(running->data(), 1, running->size(), file);
    std::fclose(file);
  }
  running = nullptr;
}

void on_abort(int) {
  keep_the_input();
  signal(SIGABRT, SIG_DFL);
  raise(SIGABRT);
}

/// An input that takes this long hangs.
constexpr unsigned kLimit_s = 60;

void on_alarm(int) {
  std::fprintf(stderr, "\nAn input took more than %u s.\n", kLimit_s);
  std::abort();
}

void run(const Octets& input, const std::string& name) {
  running = &input;
  running_name = name;
  alarm(kLimit_s);
  // A copy of exactly this size, so that the sanitizer sees a step beyond its end.
  const auto copy = std::make_unique<std::uint8_t[]>(input.size());
  if (!input.empty()) std::memcpy(copy.get(), input.data(), input.size());
  LLVMFuzzerTestOneInput(copy.get(), input.size());
  alarm(0);
  running = nullptr;
}

Octets read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "reading the input %s failed; is it there and readable?\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

void change(Octets& input, const std::vector<Octets>& all, std::mt19937_64& random) {
  const auto at = [&] { return static_cast<std::ptrdiff_t>(random() % (input.size() + 1)); };
  switch (random() % 7) {
    case 0:
      input.insert(input.begin() + at(), static_cast<std::uint8_t>(random()));
      break;
    case 1: {
      const Octets& other = all[random() % all.size()];
      if (other.empty()) break;
      const std::size_t from = random() % other.size();
      const std::size_t length = std::min<std::size_t>(other.size() - from, 1 + random() % 64);
      input.insert(input.begin() + at(), other.begin() + static_cast<std::ptrdiff_t>(from),
                   other.begin() + static_cast<std::ptrdiff_t>(from + length));
      break;
    }
    case 2: {
      const std::ptrdiff_t from = at();
      const auto length = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(input.size()) - from,
                                                   static_cast<std::ptrdiff_t>(1 + random() % 16));
      input.erase(input.begin() + from, input.begin() + from + length);
      break;
    }
    default:
      if (input.empty()) break;
      std::uint8_t& byte = input[random() % input.size()];
      switch (random() % 4) {
        case 0:
          byte = static_cast<std::uint8_t>(random());
          break;
        case 1:
          byte ^= static_cast<std::uint8_t>(1U << random() % 8);
          break;
        case 2:
          byte = random() % 2 == 0 ? 0 : 0xff;
          break;
        default:
          byte = static_cast<std::uint8_t>(byte + random() % 9 - 4);
      }
  }
  if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
}

[[noreturn]] void usage() {
  std::fprintf(stderr, "usage: fuzz_NAME [--mutate N] [--seed S] FILE-OR-DIRECTORY...\n");
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t mutations = 0, seed = 1;
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--mutate" || argument == "--seed") {
      if (i + 1 == argc) usage();
      char* end = nullptr;
      (argument == "--seed" ? seed : mutations) = std::strtoull(argv[++i], &end, 10);
      if (*end != '\0') usage();
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::directory_iterator(argument)) files.push_back(entry.path());
    } else if (!argument.starts_with("-")) {
      files.emplace_back(argument);
    } else {
      usage();
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Octets> inputs;
  for (const auto& file : files) inputs.push_back(read_file(file));

  signal(SIGABRT, on_abort);
  signal(SIGALRM, on_alarm);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_the_input);

  for (std::size_t i = 0; i < files.size(); ++i) run(inputs[i], files[i].string());
  inputs.emplace_back();
  run(inputs.back(), "empty");
  std::mt19937_64 random(seed);
  for (std::uint64_t i = 0; i < mutations; ++i) {
    Octets input = inputs[random() % inputs.size()];
    for (auto changes = 1 + random() % 6; changes > 0; --changes) change(input, inputs, random);
    run(input, "mutation " + std::to_string(i) + " of seed " + std::to_string(seed));
  }
  std::printf("%zu inputs replayed, %" PRIu64 " mutations of them run\n", inputs.size(), mutations);
  return 0;
}
