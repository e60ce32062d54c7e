/* SPDX-License-Identifier: MIT */
/* The files with secrets of "spate get" and "spate serve": tickets, tokens, ticket keys. */

#include "test/support/qt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spate/hex.h"
#include "tools/spate/key_file.h"
#include "tools/spate/secret_file.h"
#include "tools/spate/tickets.h"

static char folder[] = "/tmp/test-tickets-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int remove_file(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

static void put(const char *text, size_t size)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void add(struct tickets *tickets, enum ticket_kind kind, const char *host, uint16_t port,
                const char *text)
{
    tickets_add(tickets, kind, host, port, (const uint8_t *)text, strlen(text));
}

static void expect(struct tickets *tickets, enum ticket_kind kind, const char *host, uint16_t port,
                   const char *text)
{
    struct ticket *ticket = tickets_take(tickets, kind, host, port);
    if (text == NULL) {
        assert_null(ticket);
        return;
    }
    assert_non_null(ticket);
    assert_int_equal(ticket->size, strlen(text));
    assert_memory_equal(ticket->data, text, ticket->size);
    ticket_destroy(ticket);
}

static void the_newest_of_a_server_is_used_once(void **state)
{
    (void)state;
    struct tickets tickets;
    tickets_init(&tickets);
    assert_null(tickets_read(&tickets, path)); /* no file yet */
    add(&tickets, TICKET_TLS, "a.example", 443, "old");
    add(&tickets, TICKET_TLS, "a.example", 443, "new");
    add(&tickets, TICKET_TOKEN, "a.example", 443, "token");
    add(&tickets, TICKET_TLS, "a.example", 444, "other port");
    add(&tickets, TICKET_TLS, "::1", 443, "other host");
    assert_int_equal(tickets_write(&tickets, path), 0);
    tickets_deinit(&tickets);

    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    assert_null(tickets_read(&tickets, path));
    expect(&tickets, TICKET_TLS, "a.example", 443, "new");
    expect(&tickets, TICKET_TLS, "a.example", 443, "old");
    expect(&tickets, TICKET_TLS, "a.example", 443, NULL);
    expect(&tickets, TICKET_TOKEN, "a.example", 443, "token");
    expect(&tickets, TICKET_TOKEN, "a.example", 443, NULL);
    expect(&tickets, TICKET_TOKEN, "::1", 443, NULL);
    assert_int_equal(tickets_write(&tickets, path), 0);
    tickets_deinit(&tickets);

    assert_null(tickets_read(&tickets, path));
    assert_int_equal(tickets.count, 2);
    expect(&tickets, TICKET_TLS, "a.example", 444, "other port");
    expect(&tickets, TICKET_TLS, "::1", 443, "other host");
    tickets_deinit(&tickets);
}

static void the_oldest_go_when_there_are_too_many(void **state)
{
    (void)state;
    struct tickets tickets;
    char text[16];
    tickets_init(&tickets);
    for (uint32_t i = 0; i < TICKETS_PER_SERVER_MAX + 2; i++) {
        (void)snprintf(text, sizeof(text), "t%u", i);
        add(&tickets, TICKET_TLS, "one", 443, text);
    }
    assert_int_equal(tickets.count, TICKETS_PER_SERVER_MAX);
    for (uint32_t i = 0; i < TICKETS_MAX; i++) {
        (void)snprintf(text, sizeof(text), "host%u", i);
        add(&tickets, TICKET_TLS, text, 443, text);
    }
    assert_int_equal(tickets.count, TICKETS_MAX);
    expect(&tickets, TICKET_TLS, "one", 443, NULL);
    expect(&tickets, TICKET_TLS, "host0", 443, "host0");
    tickets_deinit(&tickets);
}

static void what_does_not_fit_into_the_file_is_not_kept(void **state)
{
    (void)state;
    static uint8_t large[TICKET_SIZE_MAX + 1];
    struct tickets tickets;
    tickets_init(&tickets);
    add(&tickets, TICKET_TLS, "two words", 443, "x");
    add(&tickets, TICKET_TLS, "line\nend", 443, "x");
    add(&tickets, TICKET_TLS, "", 443, "x");
    add(&tickets, TICKET_TLS, "host", 443, "");
    tickets_add(&tickets, TICKET_TLS, "host", 443, large, sizeof(large));
    assert_int_equal(tickets.count, 0);
    assert_false(tickets.is_changed);
    assert_int_equal(tickets_write(&tickets, path), 0);
    assert_int_equal(access(path, F_OK), -1); /* nothing to write */
    tickets_add(&tickets, TICKET_TLS, "host", 443, large, TICKET_SIZE_MAX);
    assert_int_equal(tickets.count, 1);
    assert_int_equal(tickets_write(&tickets, path), 0);
    tickets_deinit(&tickets);
    assert_null(tickets_read(&tickets, path));
    assert_int_equal(tickets.count, 1);
    tickets_deinit(&tickets);
}

/* So that a file that is something else is never overwritten. */
static void a_file_that_is_damaged_or_something_else_is_refused(void **state)
{
    (void)state;
    static const char good[] = "spate-tickets 1\nticket host 443 00ff\ntoken host 443 Aa\n";
    static const char *const bad[] = {
        "spate-tickets 2\n",
        "#!/bin/sh\n",
        "spate-tickets 1\nticket host 443 0\n",
        "spate-tickets 1\nticket host 443 0g\n",
        "spate-tickets 1\nticket host 443 \n",
        "spate-tickets 1\nticket host 65536 00\n",
        "spate-tickets 1\nticket host -1 00\n",
        "spate-tickets 1\nticket host  00\n",
        "spate-tickets 1\nticket  443 00\n",
        "spate-tickets 1\nticket host 443\n",
        "spate-tickets 1\nsecret host 443 00\n",
        "spate-tickets 1\n\n",
        "spate-tickets 1\nticket host 443 00 \n",
    };
    struct tickets tickets;
    tickets_init(&tickets);
    for (size_t i = 0; i < QT_COUNT(bad); i++) {
        put(bad[i], strlen(bad[i]));
        const char *wrong = tickets_read(&tickets, path);
        if (wrong == NULL)
            fail_msg("%s", bad[i]);
        assert_string_equal(wrong, "is no file of tickets");
        assert_int_equal(tickets.count, 0);
    }
    put("spate-tickets 1\nticket ho\0st 443 00\n", 36);
    assert_non_null(tickets_read(&tickets, path));
    for (size_t size = 0; size < sizeof(good); size++) {
        put(good, size);
        bool is_whole_line =
            size == 0 || (size < sizeof(good) && size >= 16 && good[size - 1] == '\n');
        assert_int_equal(tickets_read(&tickets, path) == NULL, is_whole_line);
        tickets_deinit(&tickets);
    }
}

static void only_regular_files_of_a_sane_size_are_read(void **state)
{
    (void)state;
    char *text;
    size_t size;
    put("12345", 5);
    assert_int_equal(secret_file_read(path, 4, &text, &size), -EFBIG);
    assert_int_equal(secret_file_read(path, 5, &text, &size), 0);
    assert_string_equal(text, "12345");
    secret_free(text, size);
    assert_int_equal(secret_file_read("/no/such/file", 5, &text, &size), -ENOENT);
    assert_int_equal(secret_file_read(folder, 5, &text, &size), -EINVAL);
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(secret_file_read(path, 5, &text, &size), -EINVAL);
    assert_int_equal(secret_file_write(path, "x", 1, false), -EEXIST);
    assert_int_equal(secret_file_write("/no/such/file", "x", 1, true), -ENOENT);
}

static void a_key_file_is_made_once_and_read_again(void **state)
{
    (void)state;
    struct key_file one, two;
    struct stat status;
    assert_null(key_file_read(path, &one));
    assert_null(key_file_read(path, &two));
    assert_int_equal(one.count, 1);
    assert_memory_equal(one.keys[0], two.keys[0], SPATE_KEY_SIZE);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

#define KEY "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"

static void key_files_are_parsed_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
    } table[] = {
        {KEY "\n", 1},
        {KEY, 1},
        {KEY "\n" KEY "\n", 2},
        {KEY "\n" KEY "\n" KEY "\n" KEY "\n", 4},
        {KEY "\n" KEY "\n" KEY "\n" KEY "\n" KEY "\n", 0},
        {"", 0},
        {"\n", 0},
        {KEY "0\n", 0},
        {KEY "\n\n", 0},
        {KEY "\r\n", 0},
        {"zz" KEY "\n", 0},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct key_file file = {.count = 77};
        put(table[i].text, strlen(table[i].text));
        const char *wrong = key_file_read(path, &file);
        if ((wrong == NULL) != (table[i].count > 0))
            fail_msg("%s: %s", table[i].text, wrong != NULL ? wrong : "accepted");
        assert_int_equal(file.count, wrong != NULL ? 77 : table[i].count);
        if (wrong == NULL)
            assert_int_equal(file.keys[file.count - 1][15], 0xff);
    }
    for (size_t size = 1; size < strlen(KEY); size++) {
        struct key_file file;
        put(KEY, size);
        assert_non_null(key_file_read(path, &file));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_newest_of_a_server_is_used_once, remove_file),
        cmocka_unit_test_teardown(the_oldest_go_when_there_are_too_many, remove_file),
        cmocka_unit_test_teardown(what_does_not_fit_into_the_file_is_not_kept, remove_file),
        cmocka_unit_test_teardown(a_file_that_is_damaged_or_something_else_is_refused, remove_file),
        cmocka_unit_test_teardown(only_regular_files_of_a_sane_size_are_read, remove_file),
        cmocka_unit_test_teardown(a_key_file_is_made_once_and_read_again, remove_file),
        cmocka_unit_test_teardown(key_files_are_parsed_whole, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
