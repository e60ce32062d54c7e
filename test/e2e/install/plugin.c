/* SPDX-License-Identifier: MIT */
/* A program whose plugin uses libspate and is closed before the end: argument PATH, the library.
 * OpenSSL calls functions of it at the end of the process, so it must be there still. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <spate/spate.h>

static void *find(void *library, const char *name)
{
    void *found = dlsym(library, name);
    if (found == NULL)
        fprintf(stderr, "%s\n", dlerror());
    return found;
}

/* Makes a TLS configuration, which sets up OpenSSL. */
static int use(void *library)
{
    static const char *const alpn[] = {"plugin"};
    int (*create)(const struct spate_tls_options *options, struct spate_tls **ret,
                  struct spate_error *error);
    void (*destroy)(struct spate_tls *tls);
    struct spate_tls_options options;
    struct spate_error error;
    struct spate_tls *tls;
    void *addresses[] = {find(library, "spate_tls_client_create"),
                         find(library, "spate_tls_destroy")};
    if (addresses[0] == NULL || addresses[1] == NULL)
        return 1;
    memcpy(&create, &addresses[0], sizeof(create));
    memcpy(&destroy, &addresses[1], sizeof(destroy));
    spate_tls_options_init(&options);
    options.insecure = true;
    options.alpn = alpn;
    options.alpn_count = 1;
    if (create(&options, &tls, &error) != 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    destroy(tls);
    return 0;
}

int main(int argc, char **argv)
{
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "%s\n", argc == 2 ? dlerror() : "usage: plugin PATH");
        return 1;
    }
    int code = use(library);
    (void)dlclose(library);
    if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL) {
        fprintf(stderr, "%s was unloaded\n", argv[1]);
        return 1;
    }
    return code;
}
