/* SPDX-License-Identifier: MIT */
/* HTTP/0.9 in the place of the performance protocol: the functions of perf_stream.h, with files.
 *
 * The environment is that of the interop runner: a client asks on its nth stream for the nth URL of
 * REQUESTS and writes into DOWNLOADS, a server serves WWW.  For tests only: a server believes its
 * clients. */

#include "test/interop/perf_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

enum { REQUEST_MAX = 2048, PATH_SIZE = 4096, PIECE_MAX = 65536 };

struct hq_file {
    char request[REQUEST_MAX]; /* of the client, or of the server's client so far */
    size_t request_size;
    FILE *out;      /* client */
    uint8_t *bytes; /* server: the whole file */
};

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value != NULL ? value : "";
}

static int init(struct perf_stream *s, const struct pattern *pattern, uint64_t id, bool is_server)
{
    *s = (struct perf_stream){.pattern = pattern, .id = id, .is_server = is_server};
    s->file = calloc(1, sizeof(*s->file));
    return s->file != NULL ? 0 : -1;
}

/* The path of the nth URL, with its '/'; "" if there are fewer. */
static void path_of_url(uint64_t number, char *ret, size_t ret_size)
{
    const char *url = setting("REQUESTS");
    for (uint64_t i = 0; i < number; i++) {
        url += strcspn(url, " ");
        url += strspn(url, " ");
    }
    int size = (int)strcspn(url, " ");
    const char *host = strstr(url, "://");
    const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
    if (path == NULL || path >= url + size)
        ret[0] = 0;
    else
        (void)snprintf(ret, ret_size, "%.*s", (int)(url + size - path), path);
}

int perf_stream_init_client(struct perf_stream *s, const struct pattern *pattern, uint64_t id,
                            uint64_t upload_bytes, uint64_t download_bytes)
{
    char path[REQUEST_MAX - 16];
    char name[PATH_SIZE];
    (void)upload_bytes;
    (void)download_bytes;
    if (init(s, pattern, id, false) < 0)
        return -1;
    path_of_url(id / 4, path, sizeof(path));
    int size = snprintf(s->file->request, REQUEST_MAX, "GET %s\r\n", path);
    s->file->request_size = (size_t)size;
    s->send_total = (uint64_t)size;
    s->send_known = true;
    (void)snprintf(name, sizeof(name), "%s/%s", setting("DOWNLOADS"),
                   path[0] != 0 ? strrchr(path, '/') + 1 : "");
    s->file->out = fopen(name, "w");
    return s->file->out != NULL ? 0 : -1;
}

int perf_stream_init_server(struct perf_stream *s, const struct pattern *pattern, uint64_t id)
{
    return init(s, pattern, id, true);
}

void perf_stream_deinit(struct perf_stream *s)
{
    if (s->file == NULL)
        return;
    if (s->file->out != NULL)
        (void)fclose(s->file->out);
    free(s->file->bytes);
    free(s->file);
    s->file = NULL;
}

/* Reads the file that the request names.  One that is not there is empty: HTTP/0.9 has no errors.
 */
static void load(struct perf_stream *s)
{
    char name[PATH_SIZE];
    char *line = s->file->request;
    line[strcspn(line, "\r\n")] = 0;
    s->send_known = true;
    if (strncmp(line, "GET /", 5) != 0)
        return;
    (void)snprintf(name, sizeof(name), "%s/%s", setting("WWW"), line + 5);
    FILE *in = fopen(name, "r");
    if (in == NULL)
        return;
    long size = fseek(in, 0, SEEK_END) == 0 ? ftell(in) : 0;
    rewind(in);
    s->file->bytes = size > 0 ? malloc((size_t)size) : NULL;
    if (s->file->bytes != NULL)
        s->send_total = fread(s->file->bytes, 1, (size_t)size, in);
    (void)fclose(in);
}

static void receive_request(struct perf_stream *s, const uint8_t *data, size_t size, bool fin)
{
    struct hq_file *file = s->file;
    size_t room = REQUEST_MAX - 1 - file->request_size;
    size_t taken = size < room ? size : room;
    if (taken > 0)
        memcpy(file->request + file->request_size, data, taken);
    file->request_size += taken;
    if (!s->send_known && (fin || memchr(file->request, '\n', file->request_size) != NULL))
        load(s);
}

void perf_stream_receive(struct perf_stream *s, const uint8_t *data, size_t size, bool fin)
{
    SB_ASSERT(!s->fin_received);
    if (s->is_server)
        receive_request(s, data, size, fin);
    else if (size > 0 && fwrite(data, 1, size, s->file->out) != size)
        s->mismatch_count++;
    s->payload_received += size;
    s->fin_received = fin;
}

bool perf_stream_has_more(const struct perf_stream *s)
{
    return s->send_known && !s->fin_sent;
}

void perf_stream_next(const struct perf_stream *s, struct perf_piece *ret_piece, bool *ret_fin)
{
    SB_ASSERT(perf_stream_has_more(s));
    const uint8_t *bytes = s->is_server ? s->file->bytes : (const uint8_t *)s->file->request;
    uint64_t left = s->send_total - s->sent;
    ret_piece->data = left > 0 ? bytes + s->sent : NULL;
    ret_piece->size = left < PIECE_MAX ? (uint32_t)left : PIECE_MAX;
    *ret_fin = ret_piece->size == left;
}

void perf_stream_advance(struct perf_stream *s, uint64_t size, bool fin)
{
    s->sent += size;
    s->fin_sent = fin;
    SB_ASSERT(s->sent <= s->send_total);
}

bool perf_stream_report(struct perf_stream *s)
{
    if (s->is_server)
        return true;
    bool is_good = s->mismatch_count == 0 && fclose(s->file->out) == 0;
    s->file->out = NULL;
    return is_good;
}
