/* Certificates that somebody else made: what is in one (cert-info), and whether one can be used together with a key
 * (cert-check). The bytes may be anything; they are read from descriptors, each with a cap. What the caller is to keep
 * is encoded anew here, so nothing of the input but certificates and one key gets through. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/json.h"
#include "worker/worker.h"

#define PEM_MAX   (64u * 1024u)
#define CHAIN_MAX 10
#define JSON_MAX  (256u * 1024u)
#define NAMES_MAX 1000
#define NAME_TEXT 1024

static SSL_CTX *tls; /* made before the last door closes; holds the same opinion of keys as the web server */

int verb_cert_info_prepare(const struct work_request *q, struct err *e)
{
    tzset();           /* see verb_cert.c */
    SSL_CTX_free(tls); /* of an earlier one: in tests only */
    if (!OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) || !(tls = SSL_CTX_new(TLS_server_method())))
        return err_set(e, -EIO, "work.crypto", "certificate: start of the library failed");
    return 0;
}

static int no_memory(struct err *e)
{
    return err_set(e, -ENOMEM, NULL, "out of memory");
}

/* Without a look at what kind of file it is, for that would be one call more. */
static int read_all(int fd, struct buf *b, struct err *e)
{
    buf_init(b, PEM_MAX);
    for (;;) {
        char *dst = buf_reserve(b, 4096);
        ssize_t n = dst ? read(fd, dst, 4096) : -1;
        if (!dst)
            return err_set(e, -EFBIG, "cert.chain", "more than %u bytes of PEM", PEM_MAX - 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_errno(e, errno, "read") : 0;
        b->len += (size_t)n;
    }
}

static int refuse_chain(struct err *e, const char *why)
{
    ERR_clear_error();
    return err_set(e, -EINVAL, "cert.chain", "%s", why);
}

/* All certificates of the text, the server's first. A block that is called one and cannot be read makes all of it bad.
 */
static int read_chain(const struct buf *pem, STACK_OF(X509) * *ret, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(buf_str(pem), (int)pem->len);
    STACK_OF(X509) *chain = sk_X509_new_null();
    int r = bio && chain ? 0 : no_memory(e);
    X509 *x = NULL;

    ERR_clear_error();
    while (r == 0 && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (sk_X509_num(chain) == CHAIN_MAX || sk_X509_push(chain, x) <= 0) {
            X509_free(x);
            r = refuse_chain(e, "too many certificates");
        }
    if (r == 0 && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        r = refuse_chain(e, "a certificate cannot be read");
    if (r == 0 && sk_X509_num(chain) == 0)
        r = refuse_chain(e, "there is no certificate in it");
    ERR_clear_error();
    BIO_free(bio);
    if (r < 0)
        sk_X509_pop_free(chain, X509_free);
    else
        *ret = chain;
    return r;
}

/* ---- what is in it ---- */

static void write_fingerprint(struct jw *w, X509 *x)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char text[EVP_MAX_MD_SIZE * 3 + 1] = "";
    unsigned n = 0;

    if (!X509_digest(x, EVP_sha256(), digest, &n))
        return;
    for (unsigned i = 0; i < n; i++)
        snprintf(text + i * 3, 4, "%02X%s", digest[i], i + 1 < n ? ":" : "");
    jw_kv_str(w, "fingerprint", text);
}

static void write_time(struct jw *w, const char *key, const ASN1_TIME *t)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm))
        jw_kv_int(w, key, timegm(&tm));
}

static void write_x509_name(struct jw *w, const char *key, const X509_NAME *name)
{
    char text[NAME_TEXT];

    if (X509_NAME_oneline(name, text, sizeof(text)))
        jw_kv_str(w, key, text);
}

static void write_name(struct jw *w, const GENERAL_NAME *name)
{
    char text[INET6_ADDRSTRLEN];
    const ASN1_STRING *s;

    switch (name->type) {
    case GEN_DNS:
    case GEN_EMAIL:
    case GEN_URI:
        s = name->d.ia5;
        jw_strn(w, (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        break;
    case GEN_IPADD:
        s = name->d.iPAddress;
        if (ASN1_STRING_length(s) == 4 || ASN1_STRING_length(s) == 16) {
            int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;
            jw_str(w, inet_ntop(family, ASN1_STRING_get0_data(s), text, sizeof(text)));
        }
        break;
    default: /* nothing that a web server is called by */
        break;
    }
}

static void write_names(struct jw *w, const X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int n = names ? sk_GENERAL_NAME_num(names) : 0;

    jw_key(w, "san");
    jw_array(w);
    for (int i = 0; i < n && i < NAMES_MAX; i++)
        write_name(w, sk_GENERAL_NAME_value(names, i));
    jw_array_end(w);
    GENERAL_NAMES_free(names);
}

static void write_key(struct jw *w, const X509 *x)
{
    const EVP_PKEY *key = X509_get0_pubkey(x);
    const char *type = key ? OBJ_nid2ln(EVP_PKEY_get_base_id(key)) : NULL;

    if (!key)
        return;
    jw_kv_str(w, "public-key-type", type ? type : "unknown");
    jw_kv_int(w, "public-key-bits", EVP_PKEY_get_bits(key));
}

static int chain_pem(STACK_OF(X509) * chain, BIO *bio, struct err *e)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (!PEM_write_bio_X509(bio, sk_X509_value(chain, i)))
            return refuse_chain(e, "a certificate cannot be encoded");
    return 0;
}

static int write_pem(struct jw *w, STACK_OF(X509) * chain, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int r = bio ? chain_pem(chain, bio, e) : no_memory(e);
    long n = r == 0 ? BIO_get_mem_data(bio, &text) : 0;

    jw_key(w, "pem");
    jw_strn(w, text ? text : "", n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return r;
}

/* One JSON object about the first certificate, as a BODY field. */
static int answer_info(STACK_OF(X509) * chain, const char *file_name, struct buf *answer, struct err *e)
{
    X509 *x = sk_X509_value(chain, 0);
    autobuf struct buf json;
    struct jw w;

    buf_init(&json, JSON_MAX);
    jw_init(&w, &json);
    jw_object(&w);
    jw_kv_str(&w, "filename", file_name);
    write_fingerprint(&w, x);
    write_x509_name(&w, "subject", X509_get_subject_name(x));
    write_x509_name(&w, "issuer", X509_get_issuer_name(x));
    write_time(&w, "notbefore", X509_get0_notBefore(x));
    write_time(&w, "notafter", X509_get0_notAfter(x));
    write_names(&w, x);
    write_key(&w, x);
    int r = write_pem(&w, chain, e);
    jw_object_end(&w);
    ERR_clear_error();
    if (r == 0 && json.is_failed)
        r = refuse_chain(e, "too much in one certificate");
    if (r == 0)
        field_bytes(answer, FIELD_BODY, json.data, json.len);
    return r;
}

/* ARG: the file's name for the answer. Descriptor: the PEM text. Answers BODY: JSON. */
int verb_cert_info(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    struct buf pem;
    int r = read_all(fds[0], &pem, e);

    if (r == 0)
        r = read_chain(&pem, &chain, e);
    if (r == 0)
        r = answer_info(chain, q->args[0], answer, e);
    sk_X509_pop_free(chain, X509_free);
    if (pem.data)
        mem_wipe(pem.data, pem.cap); /* there may be a key in it */
    buf_done(&pem);
    return r;
}

/* ---- whether it can be used ---- */

/* Nobody is there to be asked for a password. */
static int no_password(char *dst, int n, int is_writing, void *arg)
{
    return -1;
}

static int refuse_key(struct err *e, const char *why)
{
    ERR_clear_error();
    return err_set(e, -EINVAL, "cert.key", "%s", why);
}

static int read_key(const struct buf *pem, EVP_PKEY **ret, struct err *e)
{
    BIO *bio = BIO_new_mem_buf(buf_str(pem), (int)pem->len);

    if (!bio)
        return no_memory(e);
    *ret = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    return *ret ? 0 : refuse_key(e, "there is no private key in it that can be read without a password");
}

/* The halves of a key may not belong together: it would be seen at the first handshake only. */
static bool is_pair(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool is_ok = ctx && EVP_PKEY_pairwise_check(ctx) == 1;

    EVP_PKEY_CTX_free(ctx);
    return is_ok;
}

/* A change of a bit is seen where it can be: in times that are none, and in the signature of one that signs itself. */
static bool is_damaged(X509 *x)
{
    struct tm tm;

    return !ASN1_TIME_to_tm(X509_get0_notBefore(x), &tm) || !ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) ||
           (X509_self_signed(x, 0) == 1 && X509_self_signed(x, 1) != 1);
}

/* The steps of the web server when it starts, so that it does not fail then. */
static int try_pair(STACK_OF(X509) * chain, EVP_PKEY *key, struct err *e)
{
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (is_damaged(sk_X509_value(chain, i)))
            return refuse_chain(e, "a certificate cannot be used: it is damaged");
    SSL_CTX_clear_chain_certs(tls);
    if (SSL_CTX_use_certificate(tls, sk_X509_value(chain, 0)) != 1)
        return refuse_chain(e, "the certificate's key is too weak, or of a kind that TLS has no use for");
    for (int i = 1; i < sk_X509_num(chain); i++)
        if (SSL_CTX_add1_chain_cert(tls, sk_X509_value(chain, i)) != 1)
            return refuse_chain(e, "a certificate of the chain is too weak");
    if (X509_check_private_key(sk_X509_value(chain, 0), key) != 1)
        return refuse_key(e, "the key is not that of the certificate");
    if (SSL_CTX_use_PrivateKey(tls, key) != 1 || SSL_CTX_check_private_key(tls) != 1 || !is_pair(key))
        return refuse_key(e, "the key cannot be used");
    if (X509_cmp_current_time(X509_get0_notAfter(sk_X509_value(chain, 0))) <= 0)
        return refuse_chain(e, "the certificate has expired");
    return 0;
}

static int answer_pair(STACK_OF(X509) * chain, EVP_PKEY *key, struct buf *answer, struct err *e)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int r = bio ? chain_pem(chain, bio, e) : no_memory(e);

    if (r == 0 && !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
        r = refuse_key(e, "the key cannot be encoded");
    long n = r == 0 ? BIO_get_mem_data(bio, &text) : 0;
    if (r == 0)
        field_bytes(answer, FIELD_BODY, text, n > 0 ? (size_t)n : 0);
    BIO_free(bio);
    return r;
}

/* ARG: the file's name for the answer. Descriptors: PEM text with the certificates, and with the key. Answers BODY
 * twice: JSON about the certificate, and PEM text with the certificates and the key. */
int verb_cert_check(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    struct buf pem, key_pem;
    int r = read_all(fds[0], &pem, e);

    buf_init(&key_pem, PEM_MAX);
    if (r == 0)
        r = read_chain(&pem, &chain, e);
    if (r == 0)
        r = read_all(fds[1], &key_pem, e);
    if (r == 0)
        r = read_key(&key_pem, &key, e);
    if (r == 0)
        r = try_pair(chain, key, e);
    if (r == 0)
        r = answer_info(chain, q->args[0], answer, e);
    if (r == 0)
        r = answer_pair(chain, key, answer, e);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    if (key_pem.data)
        mem_wipe(key_pem.data, key_pem.cap);
    buf_done(&key_pem);
    buf_done(&pem);
    return r;
}
