/* Files of the web server's certificates in DIR/etc/tls. */
#ifndef HOLM_API_CERTIFICATES_H
#define HOLM_API_CERTIFICATES_H

#include "base/buf.h"
#include "base/err.h"

#define CERTIFICATE_FOLDER "etc/tls"
/* The pair that the node has made, or that an administrator has put there. */
#define CERTIFICATE_OWN     "cert.pem"
#define CERTIFICATE_OWN_KEY "key.pem"
/* One that was uploaded: certificates and key in one file, so that both change at once. Used instead when it is there.
 */
#define CERTIFICATE_CUSTOM "custom.pem"

/* The certificates that the web server uses from its next start on, as PEM, without the key. Blocking. */
MUST_CHECK int certificate_read(const char *root_dir, struct buf *ret, struct err *e);

#endif
