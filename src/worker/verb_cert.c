/* A key and a self-signed certificate for a node's web server: EC P-256, serverAuth, names and addresses as given.
 *
 * Valid for 825 days, the longest that every client accepts for a certificate somebody trusted by hand, from a day ago
 * (clocks differ). Extensions are built as structures, never from text that is parsed again, and each name is checked,
 * so no name can add something. The key leaves in the answer only. */
#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "worker/worker.h"

#define VALID_DAYS  825
#define CN_MAX      64u /* X.520 ub-common-name */
#define DNS_MAX     253u
#define SERIAL_BITS 127 /* RFC 5280, 4.1.2.2: positive, at most 20 octets */

static int crypto_error(struct err *e, const char *what)
{
    ERR_clear_error();
    return err_set(e, -EIO, "work.crypto", "certificate: %s failed", what);
}

int verb_cert_prepare(const struct work_request *q, struct err *e)
{
    /* libc reads the time zone's file at the first conversion of a time: from here on it would be a forbidden call. */
    tzset();
    if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL))
        return crypto_error(e, "start of the library");
    return 0;
}

static bool is_dns_name(const char *s)
{
    size_t n = strlen(s), label = 0;

    if (str_starts(s, "*."))
        s += 2, n -= 2;
    if (n == 0 || n > DNS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool is_alnum = (s[i] >= '0' && s[i] <= '9') || ((s[i] | 32) >= 'a' && (s[i] | 32) <= 'z');
        bool is_inside = label > 0 && i + 1 < n && s[i + 1] != '.';
        if (s[i] == '.' && label > 0 && i + 1 < n)
            label = 0;
        else if ((is_alnum || (s[i] == '-' && is_inside)) && label < 63)
            label++;
        else
            return false;
    }
    return true;
}

static ASN1_STRING *new_string(int type, const void *data, size_t n)
{
    ASN1_STRING *s = ASN1_STRING_type_new(type);

    if (s && !ASN1_STRING_set(s, data, (int)n)) {
        ASN1_STRING_free(s);
        return NULL;
    }
    return s;
}

static int add_name(GENERAL_NAMES *names, const char *text, struct err *e)
{
    uint8_t address[16];
    size_t n = inet_pton(AF_INET, text, address) == 1 ? 4 : inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;

    if (!n && !is_dns_name(text))
        return err_set(e, -EINVAL, "cert.name", "'%.64s' is neither a host name nor an address", text);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *s = n ? new_string(V_ASN1_OCTET_STRING, address, n) : new_string(V_ASN1_IA5STRING, text, strlen(text));
    if (!name || !s) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(s);
        return crypto_error(e, "memory");
    }
    GENERAL_NAME_set0_value(name, n ? GEN_IPADD : GEN_DNS, s);
    if (!sk_GENERAL_NAME_push(names, name)) {
        GENERAL_NAME_free(name);
        return crypto_error(e, "memory");
    }
    return 0;
}

static int add_names(X509 *x, const struct work_request *q, struct err *e)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int r = names ? 0 : crypto_error(e, "memory");

    for (size_t i = 1; r == 0 && i < q->n_args; i++)
        r = add_name(names, q->args[i], e);
    if (r == 0 && q->n_args > 1 && X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
        r = crypto_error(e, "subject names");
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    return r;
}

/* RFC 5280, 4.2.1: not an authority, signs TLS handshakes only, a server. */
static int add_usage(X509 *x, struct err *e)
{
    static const uint8_t digital_signature = 0x80;
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    EXTENDED_KEY_USAGE *extended = sk_ASN1_OBJECT_new_null();

    bool is_ok =
        constraints && usage && extended && ASN1_BIT_STRING_set(usage, (uint8_t *)(uintptr_t)&digital_signature, 1);
    if (is_ok)
        usage->flags = (usage->flags & ~7L) | ASN1_STRING_FLAG_BITS_LEFT | 7;
    is_ok = is_ok && sk_ASN1_OBJECT_push(extended, OBJ_nid2obj(NID_server_auth)) > 0 &&
            X509_add1_ext_i2d(x, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1 &&
            X509_add1_ext_i2d(x, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT) == 1 &&
            X509_add1_ext_i2d(x, NID_ext_key_usage, extended, 0, X509V3_ADD_DEFAULT) == 1;
    BASIC_CONSTRAINTS_free(constraints);
    ASN1_BIT_STRING_free(usage);
    sk_ASN1_OBJECT_pop_free(extended, ASN1_OBJECT_free);
    return is_ok ? 0 : crypto_error(e, "usage");
}

static int set_serial(X509 *x, struct err *e)
{
    BIGNUM *n = BN_new();
    bool is_ok = n && BN_rand(n, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
                 BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

    BN_free(n);
    return is_ok ? 0 : crypto_error(e, "serial number");
}

static int fill_cert(X509 *x, EVP_PKEY *key, const struct work_request *q, struct err *e)
{
    const char *cn = q->args[0];
    X509_NAME *name = X509_get_subject_name(x);

    if (strlen(cn) > CN_MAX || !is_dns_name(cn))
        return err_set(e, -EINVAL, "cert.name", "'%.64s' is not a host name of at most %u characters", cn, CN_MAX);
    if (!X509_set_version(x, X509_VERSION_3) || !X509_gmtime_adj(X509_getm_notBefore(x), -86400) ||
        !X509_time_adj_ex(X509_getm_notAfter(x), VALID_DAYS - 1, 0, NULL) || !X509_set_pubkey(x, key) ||
        !X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_ASC, (const uint8_t *)"Holm", -1, -1, 0) ||
        !X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC, (const uint8_t *)cn, -1, -1, 0) ||
        !X509_set_issuer_name(x, name))
        return crypto_error(e, "fields");
    int r = set_serial(x, e);
    if (r == 0)
        r = add_usage(x, e);
    return r < 0 ? r : add_names(x, q, e);
}

/* The memory of a BIO as a BODY field. */
static void add_body(struct buf *answer, BIO *bio)
{
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);

    field_bytes(answer, FIELD_BODY, text, n > 0 ? (size_t)n : 0);
}

static int answer_pem(X509 *x, EVP_PKEY *key, struct buf *answer, struct err *e)
{
    BIO *key_pem = BIO_new(BIO_s_secmem()), *cert_pem = BIO_new(BIO_s_mem());
    bool is_ok = key_pem && cert_pem && PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) &&
                 PEM_write_bio_X509(cert_pem, x);

    if (is_ok) {
        add_body(answer, key_pem);
        add_body(answer, cert_pem);
    }
    BIO_free(key_pem);
    BIO_free(cert_pem);
    return is_ok ? 0 : crypto_error(e, "encoding");
}

/* ARG: common name, then alternative names. Answers BODY twice: the key, the certificate, both PEM. */
int verb_cert_make(const struct work_request *q, const int *fds, struct buf *answer, struct err *e)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    int r = key && x ? fill_cert(x, key, q, e) : crypto_error(e, "key");

    if (r == 0 && !X509_sign(x, key, EVP_sha256()))
        r = crypto_error(e, "signature");
    if (r == 0)
        r = answer_pem(x, key, answer, e);
    X509_free(x);
    EVP_PKEY_free(key);
    return r;
}
