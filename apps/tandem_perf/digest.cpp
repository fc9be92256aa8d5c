// SPDX-License-Identifier: BSD-3-Clause
#include "digest.hpp"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace tandem::perf {

void Digest::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Digest::Digest() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL gives no SHA-256");
  }
}

void Digest::add(Bytes bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

std::string Digest::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  const std::unique_ptr<evp_md_ctx_st, Free> copy(EVP_MD_CTX_new());
  std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
  unsigned size = 0;
  if (!copy || EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1 ||
      EVP_DigestFinal_ex(copy.get(), value.data(), &size) != 1) {
    throw std::runtime_error("OpenSSL cannot finish a SHA-256");
  }
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text += kDigits[value[i] >> 4];
    text += kDigits[value[i] & 15];
  }
  return text;
}

}  // namespace tandem::perf
