/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SPATE_HPP
#define SPATE_SPATE_HPP

/* C++17 and later: handles that free what they own, spans, and results without exceptions.
 *
 *     auto engine = spate::engine::create(config);
 *     if (!engine) return fail(engine.error());      // a negative errno, and engine.text()
 *     spate::shard shard = engine->shard(0);
 *     for (;;)
 *         shard.each_event(SPATE_FOREVER, [&](const spate_event &event) { ... });
 *
 * Everything is inline and calls the functions of the C headers, which say what each one does, what
 * its errors mean and which thread may call it.  Handles that own something (engine, tls, pool,
 * messenger, slice) can be moved and not copied, and an empty one may be destroyed.  Those that the
 * engine owns (shard, conn, stream) are pointers with functions, and are copied.  Nothing throws:
 * it compiles with -fno-exceptions -fno-rtti. */

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#if __cplusplus >= 202002L
#include <span>
#endif

#include <spate/spate.h>

namespace spate {

#if __cplusplus >= 202002L
template <typename T> using span = std::span<T>;
#else
/* What is used of std::span. */
template <typename T> class span
{
  public:
    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N> constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

  private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

using bytes = span<const std::uint8_t>;

/* A value, or a negative errno with a line of text.  Ask before you take the value: taking one that
 * is not there aborts. */
template <typename T> class result
{
  public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(int error, const spate_error &text) noexcept : error_(error), text_(text) {}

    explicit operator bool() const noexcept { return error_ == 0; }
    int error() const noexcept { return error_; }
    const char *text() const noexcept { return text_.text; }
    T &operator*() noexcept { return checked(); }
    T *operator->() noexcept { return &checked(); }

  private:
    T &checked() noexcept
    {
        if (error_ != 0)
            std::abort();
        return value_;
    }

    T value_{};
    int error_ = 0;
    spate_error text_{};
};

/* The owner of a handle that `Destroy` frees. */
template <typename T, void (*Destroy)(T *)> class owner
{
  public:
    owner() noexcept = default;
    explicit owner(T *handle) noexcept : handle_(handle) {}
    owner(owner &&other) noexcept : handle_(other.release()) {}
    owner &operator=(owner &&other) noexcept
    {
        if (this != &other)
            reset(other.release());
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;
    ~owner() { Destroy(handle_); }

    T *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /* Gives the handle away, and is empty. */
    T *release() noexcept { return std::exchange(handle_, nullptr); }
    void reset(T *handle = nullptr) noexcept { Destroy(std::exchange(handle_, handle)); }

  private:
    T *handle_ = nullptr;
};

/* A configuration with the defaults. */
inline spate_config default_config() noexcept
{
    spate_config config;
    spate_config_init(&config);
    return config;
}

class tls : public owner<spate_tls, spate_tls_destroy>
{
  public:
    using owner::owner;
    static result<tls> server(const spate_tls_options &options) noexcept
    {
        return make(options, spate_tls_server_create);
    }
    static result<tls> client(const spate_tls_options &options) noexcept
    {
        return make(options, spate_tls_client_create);
    }

  private:
    template <typename Create>
    static result<tls> make(const spate_tls_options &options, Create create) noexcept
    {
        spate_tls *handle = nullptr;
        spate_error error{};
        int failure = create(&options, &handle, &error);
        if (failure != 0)
            return {failure, error};
        return tls(handle);
    }
};

/* Received bytes, which are released with it. */
class slice
{
  public:
    slice() noexcept = default;
    slice(spate_shard *shard, const spate_slice &lent) noexcept : shard_(shard), lent_(lent) {}
    slice(slice &&other) noexcept
        : shard_(std::exchange(other.shard_, nullptr)), lent_(other.lent_) {}
    slice &operator=(slice &&other) noexcept
    {
        if (this != &other) {
            release();
            shard_ = std::exchange(other.shard_, nullptr);
            lent_ = other.lent_;
        }
        return *this;
    }
    slice(const slice &) = delete;
    slice &operator=(const slice &) = delete;
    ~slice() { release(); }

    bytes view() const noexcept
    {
        return shard_ != nullptr ? bytes(lent_.data, lent_.size) : bytes();
    }
    void release() noexcept
    {
        if (shard_ != nullptr)
            spate_slice_release(std::exchange(shard_, nullptr), &lent_);
    }

  private:
    spate_shard *shard_ = nullptr;
    spate_slice lent_{};
};

/* A stream of a connection: belongs to the engine. */
class stream
{
  public:
    stream() noexcept = default;
    stream(spate_conn *conn, std::uint64_t id) noexcept : conn_(conn), id_(id) {}
    std::uint64_t id() const noexcept { return id_; }
    /* The bytes are lent until SPATE_EVENT_SENT returns `tag`. */
    int send(bytes data, bool fin, std::uint64_t tag = 0) const noexcept
    {
        return spate_stream_send(conn_, id_, data.data(), data.size(), fin, tag);
    }
    int sendv(span<const iovec> pieces, bool fin, std::uint64_t tag = 0) const noexcept
    {
        return spate_stream_sendv(conn_, id_, pieces.data(), pieces.size(), fin, tag);
    }
    int reset(std::uint64_t error) const noexcept { return spate_stream_reset(conn_, id_, error); }
    int stop(std::uint64_t error) const noexcept { return spate_stream_stop(conn_, id_, error); }
    int set_user(void *user) const noexcept { return spate_stream_set_user(conn_, id_, user); }
    int set_priority(std::uint32_t urgency, bool is_incremental) const noexcept
    {
        return spate_stream_set_priority(conn_, id_, urgency, is_incremental);
    }

  private:
    spate_conn *conn_ = nullptr;
    std::uint64_t id_ = 0;
};

/* A connection: belongs to the engine, until its SPATE_EVENT_CLOSED has been taken. */
class conn
{
  public:
    conn() noexcept = default;
    conn(spate_conn *handle) noexcept : handle_(handle) {}
    spate_conn *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    std::uint64_t id() const noexcept { return spate_conn_id(handle_); }
    bool is_server() const noexcept { return spate_conn_is_server(handle_); }
    void set_user(void *user) const noexcept { spate_conn_set_user(handle_, user); }
    void *user() const noexcept { return spate_conn_user(handle_); }
    void close(std::uint64_t error = 0, const char *reason = nullptr) const noexcept
    {
        spate_conn_close(handle_, error, reason);
    }
    result<stream> open(bool is_uni = false) const noexcept
    {
        std::uint64_t id = 0;
        int failure = spate_stream_open(handle_, is_uni, &id);
        if (failure != 0)
            return {failure, spate_error{}};
        return stream(handle_, id);
    }
    spate::stream stream_of(std::uint64_t id) const noexcept { return {handle_, id}; }
    struct spate_conn_stats stats() const noexcept
    {
        struct spate_conn_stats ret;
        spate_conn_stats(handle_, &ret);
        return ret;
    }

  private:
    spate_conn *handle_ = nullptr;
};

/* A shard: belongs to its engine. */
class shard
{
  public:
    shard() noexcept = default;
    shard(spate_shard *handle) noexcept : handle_(handle) {}
    spate_shard *get() const noexcept { return handle_; }
    std::uint64_t now_ns() const noexcept { return spate_shard_now_ns(handle_); }
    int fd() const noexcept { return spate_shard_fd(handle_); }
    std::uint64_t deadline_ns() const noexcept { return spate_shard_deadline_ns(handle_); }
    const timespec *timeout(timespec &ret) const noexcept
    {
        return spate_shard_timeout(handle_, &ret);
    }
    void wake() const noexcept { spate_shard_wake(handle_); }

    result<spate_listener *> listen(const sockaddr *address, socklen_t size, const spate::tls &tls,
                                    void *user = nullptr) const noexcept
    {
        spate_listener *listener = nullptr;
        spate_error error{};
        int failure =
            spate_shard_listen(handle_, address, size, tls.get(), user, &listener, &error);
        if (failure != 0)
            return {failure, error};
        return listener;
    }
    result<conn> connect(const sockaddr *address, socklen_t size, const char *server_name,
                         const spate::tls &tls, void *user = nullptr) const noexcept
    {
        spate_conn *handle = nullptr;
        spate_error error{};
        int failure = spate_shard_connect(handle_, address, size, server_name, tls.get(), user,
                                          &handle, &error);
        if (failure != 0)
            return {failure, error};
        return conn(handle);
    }
    /* Runs a turn, and calls `handle` with each event.  Slices are the handler's: see slice_of().
     * Returns the number of events, or a negative errno of spate_shard_turn(). */
    template <typename Handler> int each_event(std::uint64_t wait_ns, Handler &&handle) const
    {
        spate_event events[64];
        int total = spate_shard_turn(handle_, wait_ns);
        if (total < 0)
            return total;
        for (std::uint32_t count; (count = spate_shard_events(handle_, events, 64)) > 0;)
            for (std::uint32_t i = 0; i < count; i++)
                handle(static_cast<const spate_event &>(events[i]));
        return total;
    }
    /* Takes the bytes of a SPATE_EVENT_STREAM_DATA or SPATE_EVENT_DATAGRAM. */
    slice slice_of(const spate_event &event) const noexcept
    {
        return {handle_, event.kind == SPATE_EVENT_DATAGRAM ? event.u.datagram.slice
                                                            : event.u.data.slice};
    }

  private:
    spate_shard *handle_ = nullptr;
};

class engine : public owner<spate_engine, spate_engine_destroy>
{
  public:
    using owner::owner;
    static result<engine> create(const spate_config &config) noexcept
    {
        spate_engine *handle = nullptr;
        spate_error error{};
        int failure = spate_engine_create(&config, &handle, &error);
        if (failure != 0)
            return {failure, error};
        return engine(handle);
    }
    std::uint32_t shard_count() const noexcept { return spate_engine_shard_count(get()); }
    spate::shard shard(std::uint32_t index) const noexcept
    {
        return spate_engine_shard(get(), index);
    }
};

/* A pool of client connections.  Destroy it before its engine. */
class pool : public owner<spate_pool, spate_pool_destroy>
{
  public:
    using owner::owner;
    static result<pool> create(shard where, const spate_pool_options &options) noexcept
    {
        spate_pool *handle = nullptr;
        spate_error error{};
        int failure = spate_pool_create(where.get(), &options, &handle, &error);
        if (failure != 0)
            return {failure, error};
        return pool(handle);
    }
    result<std::uint64_t> add(const spate_pool_peer &peer) const noexcept
    {
        std::uint64_t id = 0;
        spate_error error{};
        int failure = spate_pool_add(get(), &peer, &id, &error);
        if (failure != 0)
            return {failure, error};
        return id;
    }
    result<conn> acquire(std::uint64_t peer_id = SPATE_POOL_ANY) const noexcept
    {
        spate_conn *handle = nullptr;
        int failure = spate_pool_acquire(get(), peer_id, &handle);
        if (failure != 0)
            return {failure, spate_error{}};
        return conn(handle);
    }
    void drain(std::uint64_t timeout_ns) const noexcept { spate_pool_drain(get(), timeout_ns); }
};

} /* namespace spate */

#endif
