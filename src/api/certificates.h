/* Files of the web server's certificates in DIR/etc/tls. */
#ifndef HOLM_API_CERTIFICATES_H
#define HOLM_API_CERTIFICATES_H

#define CERTIFICATE_FOLDER "etc/tls"
/* The pair that the node has made, or that an administrator has put there. */
#define CERTIFICATE_OWN     "cert.pem"
#define CERTIFICATE_OWN_KEY "key.pem"
/* One that was uploaded: certificates and key in one file, so that both change at once. Used instead when it is there.
 */
#define CERTIFICATE_CUSTOM "custom.pem"

#endif
