/* SPDX-License-Identifier: MIT */
/* A client in C++, with the handles of <spate/spate.hpp>: says each word to an echo server on a
 * stream of its own, and prints what comes back.
 *
 *     greet PORT CA-FILE WORD... */
#include <spate/spate.hpp>

#include <arpa/inet.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

static const char *const alpn[] = {"echo"};

template <typename T> static bool failed(const char *what, const spate::result<T> &result)
{
    if (!result)
        std::fprintf(stderr, "%s: %s\n", what, result.text());
    return !result;
}

class greeter
{
  public:
    greeter(spate::shard shard, std::vector<std::string> words)
        : shard_(shard), words_(std::move(words))
    {
    }

    void handle(const spate_event &event)
    {
        spate::conn conn = event.conn;
        switch (event.kind) {
        case SPATE_EVENT_CONNECTED:
        case SPATE_EVENT_STREAMS_AVAILABLE:
            say(conn);
            break;
        case SPATE_EVENT_STREAM_DATA:
            hear(event);
            break;
        case SPATE_EVENT_STREAM_CLOSED:
            if (++closed_ == words_.size())
                conn.close();
            break;
        case SPATE_EVENT_CLOSED:
            has_ended_ = true;
            if (!is_complete())
                std::fprintf(stderr, "the connection has ended: %s\n", event.u.close.reason);
            break;
        default:
            break;
        }
    }

    bool has_ended() const
    {
        return has_ended_;
    }
    bool is_complete() const
    {
        return complete_ == words_.size();
    }

  private:
    /* As many words as the server has given streams for.  They are lent: words_ does not change. */
    void say(spate::conn conn)
    {
        while (said_ < words_.size()) {
            auto stream = conn.open();
            if (!stream)
                return; /* STREAMS_AVAILABLE follows */
            const std::string &word = words_[said_++];
            spate::bytes bytes(reinterpret_cast<const std::uint8_t *>(word.data()), word.size());
            if (stream->send(bytes, true) != 0)
                (void)stream->reset(1);
        }
    }

    void hear(const spate_event &event)
    {
        spate::slice slice = shard_.slice_of(event); /* released at the end of this function */
        std::string &word = heard_[event.stream_id];
        word.append(reinterpret_cast<const char *>(slice.view().data()), slice.view().size());
        if (event.u.data.fin) {
            std::printf("%s\n", word.c_str());
            heard_.erase(event.stream_id);
            complete_++;
        }
    }

    spate::shard shard_;
    std::vector<std::string> words_;
    std::map<std::uint64_t, std::string> heard_;
    std::size_t said_ = 0, closed_ = 0, complete_ = 0;
    bool has_ended_ = false;
};

static int run(unsigned long port, const char *ca_file, std::vector<std::string> words)
{
    spate_tls_options options;
    spate_tls_options_init(&options);
    options.ca_file = ca_file;
    options.alpn = alpn;
    options.alpn_count = 1;
    auto tls = spate::tls::client(options);
    auto engine = spate::engine::create(spate::default_config());
    if (failed("tls", tls) || failed("engine", engine))
        return 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    spate::shard shard = engine->shard(0);
    auto conn = shard.connect(reinterpret_cast<const sockaddr *>(&address), sizeof(address),
                              "localhost", *tls);
    if (failed("connect", conn))
        return 1;
    greeter greeter(shard, std::move(words));
    while (!greeter.has_ended())
        if (shard.each_event(SPATE_FOREVER,
                             [&](const spate_event &event) { greeter.handle(event); }) < 0)
            return 1;
    return greeter.is_complete() ? 0 : 1;
}

int main(int argc, char **argv)
{
    char *end = nullptr;
    unsigned long port = argc < 4 ? 0 : std::strtoul(argv[1], &end, 10);
    if (port < 1 || port > 65535 || *end != '\0') {
        std::fprintf(stderr, "usage: %s PORT CA-FILE WORD...\n", argv[0]);
        return 1;
    }
    return run(port, argv[2], std::vector<std::string>(argv + 3, argv + argc));
}
