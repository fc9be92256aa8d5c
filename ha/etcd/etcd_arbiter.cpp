// SPDX-License-Identifier: BSD-3-Clause
#include "etcd_arbiter.hpp"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "etcd_messages.hpp"

namespace tandem::ha {
namespace {

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, CurlDeleter>;
using CurlList = std::unique_ptr<curl_slist, CurlDeleter>;

void prepare_curl() {
  static const CURLcode prepared = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (prepared != CURLE_OK) throw std::system_error(ENOMEM, std::generic_category(), "preparing libcurl");
}

struct Response {
  long status = 0;
  std::string body;
  std::string error;  ///< nobody answered
};

std::size_t take_body(char* data, std::size_t, std::size_t bytes, void* into) {
  auto& body = *static_cast<std::string*>(into);
  if (body.size() + bytes > etcd::kMostAnswerBytes) return 0;  // ends the transfer
  body.append(data, bytes);
  return bytes;
}

int is_given_up(void* flag, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(flag)->load() ? 1 : 0;
}

}  // namespace

struct EtcdArbiter::Shared {
  explicit Shared(EtcdOptions given) : options(std::move(given)), event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (event < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~Shared() { ::close(event); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  EtcdOptions options;
  int event;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::optional<Swap>> requests;  ///< none: a read
  std::deque<ArbiterAnswer> answers;
  std::atomic<bool> stop = false;
  std::thread thread;

  void put(std::optional<Swap> request) {
    {
      const std::lock_guard lock(mutex);
      requests.push_back(std::move(request));
    }
    changed.notify_one();
  }

  // ---- The thread's ----
  CurlHandle curl;
  std::string token;      ///< of the login
  std::size_t first = 0;  ///< endpoint that has answered last

  void run() {
    for (;;) {
      std::optional<Swap> request;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return stop || !requests.empty(); });
        if (stop) return;
        request = std::move(requests.front());
        requests.pop_front();
      }
      ArbiterAnswer answer = ask(request ? &*request : nullptr);
      {
        const std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
      }
      const std::uint64_t one = 1;
      if (::write(event, &one, sizeof one) < 0) continue;  // full of answers that nobody has taken: readable as it is
    }
  }

  Response post(const std::string& url, const std::string& body) {
    Response response;
    if (!curl) curl.reset(curl_easy_init());
    CurlList headers(curl_slist_append(nullptr, "Content-Type: application/json"));
    if (!token.empty()) curl_slist_append(headers.get(), ("Authorization: " + token).c_str());
    if (!curl || !headers) return {0, {}, "memory is short"};
    CURL* const handle = curl.get();
    curl_easy_reset(handle);  // its connections stay
    std::array<char, CURL_ERROR_SIZE> said{};
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, options.timeout_ms);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, options.timeout_ms);
    curl_easy_setopt(handle, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &response.body);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, is_given_up);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &stop);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, said.data());
    if (!options.ca_file.empty()) {
      curl_easy_setopt(handle, CURLOPT_CAINFO, options.ca_file.c_str());
      curl_easy_setopt(handle, CURLOPT_CAPATH, nullptr);
    }
    const CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_WRITE_ERROR) {
      response.error = "its answer is longer than " + std::to_string(etcd::kMostAnswerBytes) + " bytes";
    } else if (code != CURLE_OK) {
      response.error = said[0] != 0 ? said.data() : curl_easy_strerror(code);
    } else {
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &response.status);
    }
    return response;
  }

  /// Whether there is a token now; else why not.
  std::string log_in(const std::string& endpoint) {
    token.clear();
    const Response response =
        post(endpoint + "/v3/auth/authenticate", etcd::login_request(options.user, options.password));
    if (!response.error.empty()) return response.error;
    if (auto got = etcd::read_token(response.body); got && response.status == 200) {
      token = std::move(*got);
      return {};
    }
    const std::string said = etcd::error_of(response.body);
    return "the login as " + options.user + " was refused: " + (said.empty() ? status_text(response) : said);
  }

  static std::string status_text(const Response& response) { return "HTTP status " + std::to_string(response.status); }

  /// One endpoint's answer.
  ArbiterAnswer ask_at(const std::string& endpoint, const Swap* swap) {
    const std::string url = endpoint + (swap != nullptr ? "/v3/kv/txn" : "/v3/kv/range");
    const std::string body = swap != nullptr ? etcd::swap_request(options.key, *swap) : etcd::read_request(options.key);
    for (int attempt = 0;; ++attempt) {
      if (!options.user.empty() && token.empty()) {
        if (std::string why = log_in(endpoint); !why.empty()) return {std::nullopt, std::move(why)};
      }
      const Response response = post(url, body);
      if (!response.error.empty()) return {std::nullopt, response.error};
      if (response.status == 200) {
        ArbiterAnswer answer;
        answer.value = etcd::read_answer(response.body, swap, answer.error);
        if (!answer.value) answer.error = "its answer is not believed: " + answer.error;
        return answer;
      }
      // A token grows old, and is no good at an etcd that was restarted.
      if (attempt == 0 && !std::exchange(token, {}).empty()) continue;
      const std::string said = etcd::error_of(response.body);
      return {std::nullopt, said.empty() ? status_text(response) : said};
    }
  }

  ArbiterAnswer ask(const Swap* swap) {
    std::string all;
    for (std::size_t i = 0; i < options.endpoints.size() && !stop; ++i) {
      const std::size_t at = (first + i) % options.endpoints.size();
      ArbiterAnswer answer = ask_at(options.endpoints[at], swap);
      if (answer.value) {
        first = at;
        return answer;
      }
      all += (all.empty() ? "" : "; ") + options.endpoints[at] + ": " + answer.error;
    }
    return {std::nullopt,
            "the arbiter cannot be asked (" + all +
                "). Nobody is added, removed or promoted until it can; see that etcd runs and is reached"};
  }
};

EtcdArbiter::EtcdArbiter(EtcdOptions options) {
  prepare_curl();
  if (!options.ca_file.empty() && ::access(options.ca_file.c_str(), R_OK) != 0)
    throw EtcdOptionError("--arbiter: the certificates in " + options.ca_file + " cannot be read");
  shared_ = std::make_unique<Shared>(std::move(options));
  // Signals are the node's.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    shared_->thread = std::thread([shared = shared_.get()] { shared->run(); });
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_setname_np(shared_->thread.native_handle(), "tandem-arbiter");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EtcdArbiter::~EtcdArbiter() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
  }
  shared_->changed.notify_one();
  shared_->thread.join();
}

void EtcdArbiter::swap(const Swap& swap) { shared_->put(swap); }

void EtcdArbiter::read() { shared_->put(std::nullopt); }

int EtcdArbiter::event_fd() const { return shared_->event; }

std::optional<ArbiterAnswer> EtcdArbiter::take() {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->answers.empty()) {
    std::uint64_t count = 0;
    // Whoever puts an answer there behind this raises it again.
    if (::read(shared_->event, &count, sizeof count) < 0) return std::nullopt;
    return std::nullopt;
  }
  ArbiterAnswer answer = std::move(shared_->answers.front());
  shared_->answers.pop_front();
  return answer;
}

}  // namespace tandem::ha
