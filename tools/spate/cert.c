/* SPDX-License-Identifier: MIT */
/* spate cert: a self-signed certificate, for trying things. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"

enum { NAMES_MAX = 64, DAYS_MAX = 36500 };

static const char usage_text[] =
    "usage: spate cert --cert-out FILE --key-out FILE [OPTIONS]\n"
    "\n"
    "Makes a self-signed certificate and its key.\n"
    "\n"
    "  --cert-out FILE   where to write the certificate, PEM (required)\n"
    "  --key-out FILE    where to write its key, PEM (required)\n"
    "  --name NAME       a DNS name or IP address it is for; may be repeated\n"
    "                    (default: localhost, 127.0.0.1 and ::1)\n"
    "  --days N          valid from now on, 1 to 36500 (default: 30)\n"
    "  --type TYPE       p256, ed25519 or rsa (default: p256)\n"
    "  --out-cert FILE   the same as --cert-out, as it was called before\n"
    "  --out-key FILE    the same as --key-out\n";

struct cert_options {
    const char *cert_out;
    const char *key_out;
    const char *names[NAMES_MAX];
    struct spate_self_signed_options self_signed;
};

static bool parse_type(const char *text, enum spate_key_type *ret)
{
    static const struct {
        const char *name;
        enum spate_key_type type;
    } types[] = {
        {"p256", SPATE_KEY_P256}, {"ed25519", SPATE_KEY_ED25519}, {"rsa", SPATE_KEY_RSA2048}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(text, types[i].name) == 0) {
            *ret = types[i].type;
            return true;
        }
    }
    return false;
}

static int take(void *context, int option, const char *value)
{
    struct cert_options *o = context;
    uint64_t number = 0;
    int status;
    switch (option) {
    case 'c':
        o->cert_out = value;
        return 0;
    case 'k':
        o->key_out = value;
        return 0;
    case 'n':
        if (o->self_signed.name_count == NAMES_MAX)
            return message_usage("cert", "takes at most 64 names, one too many is", value);
        o->names[o->self_signed.name_count++] = value;
        return 0;
    case 'd':
        status = options_take_number("cert", "--days", value, 1, DAYS_MAX, &number);
        o->self_signed.days = (uint32_t)number;
        return status;
    default: /* 't' */
        if (!parse_type(value, &o->self_signed.key_type))
            return message_usage("cert", "--type must be p256, ed25519 or rsa, not", value);
        return 0;
    }
}

/* Devices may get both: nothing is lost there that was not meant to be. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    if (stat(a, &of_a) != 0 || stat(b, &of_b) != 0)
        return strcmp(a, b) == 0;
    return S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static int refuse_one_file(const struct cert_options *options)
{
    return message_usage("cert", "--cert-out and --key-out must be two files, not",
                         options->cert_out);
}

/* Returns true, or false and the exit status, after one line on stderr or the help text. */
static bool parse_cert(int argc, char **argv, struct cert_options *ret, int *ret_status)
{
    static const struct option options[] = {
        {"cert-out", required_argument, NULL, 'c'}, {"key-out", required_argument, NULL, 'k'},
        {"out-cert", required_argument, NULL, 'c'}, /* as they were called before */
        {"out-key", required_argument, NULL, 'k'},  {"name", required_argument, NULL, 'n'},
        {"days", required_argument, NULL, 'd'},     {"type", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
    };
    const struct options_spec spec = {"cert", usage_text, ":", options, take, ret};
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    if (optind < argc)
        *ret_status = message_usage("cert", "unexpected argument", argv[optind]);
    else if (ret->cert_out == NULL)
        *ret_status = message_usage("cert", "--cert-out is missing", NULL);
    else if (ret->key_out == NULL)
        *ret_status = message_usage("cert", "--key-out is missing", NULL);
    else if (is_same_file(ret->cert_out, ret->key_out))
        *ret_status = refuse_one_file(ret);
    ret->self_signed.names = ret->names;
    return *ret_status == 0;
}

/* A file that was there before may have been open to others.  Devices stay as they are. */
static bool restrict_mode(FILE *file, mode_t mode)
{
    struct stat status;
    if (fstat(fileno(file), &status) != 0)
        return false;
    return !S_ISREG(status.st_mode) || fchmod(fileno(file), mode) == 0;
}

static bool write_file(const char *path, const char *text, mode_t mode)
{
    mode_t before = umask(0777 & ~mode);
    FILE *file = fopen(path, "w");
    (void)umask(before);
    bool is_written = file != NULL && restrict_mode(file, mode) && fputs(text, file) >= 0;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (!is_written)
        message("cert", "%s: %s", path, strerror(errno));
    return is_written;
}

/* Names of one file that was not there tell it only now: the key stays then. */
static int write_both(const struct cert_options *options, const char *cert_pem, const char *key_pem)
{
    if (!write_file(options->key_out, key_pem, 0600))
        return EXIT_FAILURE;
    if (is_same_file(options->cert_out, options->key_out))
        return refuse_one_file(options);
    return write_file(options->cert_out, cert_pem, 0644) ? EXIT_SUCCESS : EXIT_FAILURE;
}

int cert_run(int argc, char **argv)
{
    struct cert_options options = {0};
    spate_self_signed_options_init(&options.self_signed);
    int status;
    if (!parse_cert(argc, argv, &options, &status))
        return status;

    struct spate_error error = {"no reason given"};
    char *cert_pem;
    char *key_pem;
    if (spate_self_signed(&options.self_signed, &cert_pem, &key_pem, &error) != 0) {
        message("cert", "%s", error.text);
        return EXIT_FAILURE;
    }
    status = write_both(&options, cert_pem, key_pem);
    spate_free(key_pem);
    spate_free(cert_pem);
    return status;
}
