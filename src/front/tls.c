/* OpenSSL set-up; see tls.h. Runs before privileges are dropped; nothing here is called later but the accept key. */
#include "front/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/fs.h"

#define PEM_MAX_BYTES (256u * 1024u)

static int tls_error(struct err *e, const char *what)
{
    char text[160] = "no reason given";
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return err_set(e, -EINVAL, "tls.setup", "%s: %s", what, text);
}

static BIO *read_pem(int fd, struct buf *pem, struct err *e)
{
    autoclose int owned = fd;

    if (fs_read_fd(owned, pem, e) < 0)
        return NULL;
    BIO *bio = BIO_new_mem_buf(buf_str(pem), (int)pem->len);
    if (!bio)
        err_set(e, -ENOMEM, NULL, "out of memory");
    return bio;
}

static int use_chain(SSL_CTX *ctx, BIO *bio, struct err *e)
{
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    if (!cert)
        return tls_error(e, "read certificate");
    int ok = SSL_CTX_use_certificate(ctx, cert);
    X509_free(cert);
    while (ok == 1 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        ok = SSL_CTX_add_extra_chain_cert(ctx, cert) == 1;
        if (!ok)
            X509_free(cert);
    }
    if (ok != 1)
        return tls_error(e, "use certificate");
    ERR_clear_error(); /* the end of the file is reported as an error */
    return 0;
}

static int use_key(SSL_CTX *ctx, BIO *bio, struct err *e)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    if (!key)
        return tls_error(e, "read private key");
    int ok = SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : tls_error(e, "use private key");
}

static int load(SSL_CTX *ctx, int fd, int (*use)(SSL_CTX *, BIO *, struct err *), struct err *e)
{
    struct buf pem;

    buf_init(&pem, PEM_MAX_BYTES);
    BIO *bio = read_pem(fd, &pem, e);
    int r = bio ? use(ctx, bio, e) : e->num;
    BIO_free(bio);
    if (pem.data)
        mem_wipe(pem.data, pem.cap);
    buf_done(&pem);
    return r;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *arg)
{
    static const unsigned char http11[] = "\x08http/1.1";

    if (SSL_select_next_proto((unsigned char **)out, out_len, http11, sizeof(http11) - 1, in, in_len) ==
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int configure(SSL_CTX *ctx, struct err *e)
{
    static const unsigned char session_context[] = "holm-front";

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1 ||
        SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
        return tls_error(e, "configure TLS");
    return 0;
}

int tls_context_new(int cert_fd, int key_fd, SSL_CTX **ret, struct err *e)
{
    /* No configuration file: the host's defaults must not weaken or break this process. */
    if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return tls_error(e, "start OpenSSL");
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return tls_error(e, "start OpenSSL");
    int r = configure(ctx, e);
    int r_cert = load(ctx, cert_fd, use_chain, e);
    int r_key = r_cert < 0 ? r_cert : load(ctx, key_fd, use_key, e);
    if (r < 0 || r_key < 0) {
        SSL_CTX_free(ctx);
        return r < 0 ? r : r_key;
    }
    *ret = ctx;
    return 0;
}

int tls_websocket_accept(const char *key, char *dst, size_t cap)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char text[24 + sizeof(guid)];
    int n = snprintf(text, sizeof(text), "%s%s", key, guid);

    if (n != 24 + (int)sizeof(guid) - 1 || cap < 29)
        return -EINVAL;
    if (EVP_Digest(text, (size_t)n, digest, &digest_len, EVP_sha1(), NULL) != 1 || digest_len != 20)
        return -EIO;
    return EVP_EncodeBlock((unsigned char *)dst, digest, 20) == 28 ? 0 : -EIO;
}
