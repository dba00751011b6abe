/* The dozen OpenSSL functions that the two programs here need, found in the
 * shared library at run time: a machine without OpenSSL's headers can still
 * build them, and only the TLS workloads ask for the library.
 *
 * The numbers below are part of OpenSSL's stable ABI (1.1 and 3.x). */
#ifndef HASTEN_BENCH_TLS_H
#define HASTEN_BENCH_TLS_H

#include <dlfcn.h>
#include <stddef.h>

enum { TLS_WANT_READ = 2, TLS_WANT_WRITE = 3, TLS_CLOSED = 6 };
enum { TLS_CTRL_MODE = 33, TLS_PARTIAL_WRITE = 1, TLS_MOVING_BUFFER = 2, TLS_PEM = 1 };

static struct {
    const void *(*client_method)(void);
    const void *(*server_method)(void);
    void *(*ctx_new)(const void *method);
    long (*ctx_ctrl)(void *ctx, int command, long number, void *pointer);
    int (*ctx_chain)(void *ctx, const char *path);
    int (*ctx_key)(void *ctx, const char *path, int type);
    void *(*new)(void *ctx);
    void (*free)(void *tls);
    int (*set_fd)(void *tls, int fd);
    void (*as_client)(void *tls);
    void (*as_server)(void *tls);
    int (*shake)(void *tls);
    int (*read)(void *tls, void *buffer, int size);
    int (*write)(void *tls, const void *buffer, int size);
    int (*error)(const void *tls, int outcome);
} tls;

/* Returns NULL, or what is missing. */
static const char *tls_load(void) {
    static const char *const libraries[] = {"libssl.so.3", "libssl.so.1.1", "libssl.so"};
    static const struct { const char *name; void *slot; } names[] = {
        {"TLS_client_method", &tls.client_method},
        {"TLS_server_method", &tls.server_method},
        {"SSL_CTX_new", &tls.ctx_new},
        {"SSL_CTX_ctrl", &tls.ctx_ctrl},
        {"SSL_CTX_use_certificate_chain_file", &tls.ctx_chain},
        {"SSL_CTX_use_PrivateKey_file", &tls.ctx_key},
        {"SSL_new", &tls.new},
        {"SSL_free", &tls.free},
        {"SSL_set_fd", &tls.set_fd},
        {"SSL_set_connect_state", &tls.as_client},
        {"SSL_set_accept_state", &tls.as_server},
        {"SSL_do_handshake", &tls.shake},
        {"SSL_read", &tls.read},
        {"SSL_write", &tls.write},
        {"SSL_get_error", &tls.error},
    };
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof libraries / sizeof *libraries; i++)
        library = dlopen(libraries[i], RTLD_NOW);
    if (!library) return "no libssl";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *found = dlsym(library, names[i].name);
        if (!found) return names[i].name;
        *(void **)names[i].slot = found;
    }
    return NULL;
}

/* A context for either side; the caller adds the certificate on the server's. */
static void *tls_context(const void *method) {
    void *context = tls.ctx_new(method);
    if (context) tls.ctx_ctrl(context, TLS_CTRL_MODE, TLS_PARTIAL_WRITE | TLS_MOVING_BUFFER, NULL);
    return context;
}

/* Did the call stop only because the socket would block? */
static int tls_would_block(void *session, int outcome) {
    int reason = tls.error(session, outcome);
    return reason == TLS_WANT_READ || reason == TLS_WANT_WRITE;
}

#endif
