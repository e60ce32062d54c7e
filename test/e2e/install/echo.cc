/* SPDX-License-Identifier: MIT */
/* A program in C++ as a user would write it, with the wrappers of <spate/spate.hpp>: a client and a
 * server in one shard.  Exits with 0 if the greeting came back. */
#include <spate/spate.hpp>

#include <arpa/inet.h>

#include <cstdio>
#include <cstring>
#include <type_traits>

static_assert(!std::is_copy_constructible<spate::engine>::value, "handles are moved");
static_assert(std::is_nothrow_move_constructible<spate::engine>::value, "handles are moved");
static_assert(!std::is_copy_constructible<spate::slice>::value, "slices are moved");
static_assert(std::is_trivially_copyable<spate::conn>::value, "the engine owns connections");

static const std::uint8_t greeting[] = "good morning";
static const char *const alpn[] = {"echo"};

template <typename T> static bool failed(const char *what, const spate::result<T> &result)
{
    if (!result)
        std::fprintf(stderr, "%s: %d %s\n", what, result.error(), result.text());
    return !result;
}

struct party {
    spate::shard shard;
    spate::slice kept; /* the server's, until its bytes have been sent */
    bool is_done = false;

    void data(const spate_event &event)
    {
        spate::slice slice = shard.slice_of(event);
        spate::conn conn = event.conn;
        if (slice.view().size() == 0)
            return;
        if (conn.is_server()) {
            kept = std::move(slice);
            if (conn.stream_of(event.stream_id).send(kept.view(), true) != 0)
                conn.close(1, "cannot send");
        } else {
            is_done = slice.view().size() == sizeof(greeting) &&
                      std::memcmp(slice.view().data(), greeting, sizeof(greeting)) == 0;
            conn.close();
        }
    }

    void handle(const spate_event &event)
    {
        spate::conn conn = event.conn;
        if (event.kind == SPATE_EVENT_CONNECTED && !conn.is_server()) {
            auto stream = conn.open();
            if (failed("open", stream) || stream->send(spate::bytes(greeting), true) != 0)
                conn.close(1, "cannot send");
        } else if (event.kind == SPATE_EVENT_STREAM_DATA) {
            data(event);
        }
    }
};

static int run()
{
    char *cert = nullptr, *key = nullptr;
    spate_self_signed_options self{};
    self.size = sizeof(self);
    if (spate_self_signed(&self, &cert, &key, nullptr) != 0)
        return 1;
    spate_tls_options options;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.cert_pem = cert;
    options.key_pem = key;
    auto server = spate::tls::server(options);
    options.cert_pem = options.key_pem = nullptr;
    options.ca_pem = cert;
    auto client = spate::tls::client(options);
    spate_free(cert);
    spate_free(key);
    auto made = spate::engine::create(spate::default_config());
    if (failed("server", server) || failed("client", client) || failed("engine", made))
        return 1;
    spate::engine engine = std::move(*made);
    party both;
    both.shard = engine.shard(0);

    spate_config wrong = spate::default_config();
    wrong.conns_max = 0;
    auto refused = spate::engine::create(wrong);
    if (refused || refused.error() >= 0 || std::strstr(refused.text(), "conns_max") == nullptr)
        return 2;

    sockaddr_storage address{};
    sockaddr_in any{};
    socklen_t size = sizeof(any);
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto listener = both.shard.listen(reinterpret_cast<sockaddr *>(&any), size, *server);
    if (failed("listen", listener) || spate_listener_address(*listener, &address, &size) != 0)
        return 1;
    auto conn =
        both.shard.connect(reinterpret_cast<sockaddr *>(&address), size, "localhost", *client);
    if (failed("connect", conn))
        return 1;
    const std::uint64_t until_ns = both.shard.now_ns() + std::uint64_t(20000000000);
    while (!both.is_done && both.shard.now_ns() < until_ns)
        if (both.shard.each_event(100000000,
                                  [&](const spate_event &event) { both.handle(event); }) < 0)
            return 1;
    both.kept.release();
    return both.is_done ? 0 : 3;
}

int main()
{
    int result = run();
    if (result == 0)
        std::printf("spate %s: good morning\n", spate_version());
    return result;
}
