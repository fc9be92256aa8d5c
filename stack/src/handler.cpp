// SPDX-License-Identifier: BSD-3-Clause
#include "tandem/handler.hpp"

#include "tandem/connection.hpp"

namespace tandem {

void Handler::on_receive(Connection& connection, Bytes unread) { connection.consume(unread.size()); }

// On a twin close() does nothing, so this is right for both roles.
void Handler::on_eof(Connection& connection) { connection.close(); }

}  // namespace tandem
