/* holm-pam's inside: a request, its confinement, one conversation with PAM. One process answers one request; it is
 * root, because PAM's modules need that, and runs code that is not ours, so everything around that code is bounded:
 * time (by holmd, which kills it), processes (a PID namespace that dies with it), network (none), descriptors,
 * capabilities. */
#ifndef HOLM_PAM_PAM_H
#define HOLM_PAM_PAM_H

#include "proto/frame.h"

struct pam_message;
struct pam_response;

#define PAM_SERVICE_NAME "holm" /* /etc/pam.d/holm */
#define PAM_NAME_MAX     64u    /* an account's name */
#define PAM_HOST_MAX     64u    /* the address of a client */
#define PAM_PASSWORD_MAX 511u   /* libpam's PAM_MAX_RESP_SIZE with its NUL */
#define PAM_ANSWERS_MAX  8u     /* times that the password is given to a stack of modules */

struct pam_request;

struct pam_verb {
    const char *name;
    unsigned min_args, max_args;
    /* 0, or what went wrong; the text is for holmd's log. */
    int (*run)(const struct pam_request *q, struct err *e);
};

struct pam_request {
    const struct pam_verb *verb;
    char name[PAM_NAME_MAX + 1];
    char host[PAM_HOST_MAX + 1]; /* "" = not over the network */
    char password[PAM_PASSWORD_MAX + 1];
};

/* request.c. Parses a WORK payload; pure. -EPROTO "pam.request" for what is malformed, -ENOSYS "pam.verb" for an
 * unknown verb, -EINVAL "pam.name" for a name that cannot be an account's. Whatever the result, q may hold a password
 * and is wiped by the caller. */
MUST_CHECK int pam_request_parse(const void *payload, size_t n, struct pam_request *q, struct err *e);

/* confine.c. Takes away what can be taken away for good; what is then forked is the first process of a new PID
 * namespace without a network. */
MUST_CHECK int pam_confine(struct err *e);

/* talk.c. The verbs; a row without name ends them. */
extern const struct pam_verb pam_verbs[];
const struct pam_verb *pam_verb_find(const char *name);

/* PAM's conversation: hidden prompts get the password, notes nothing, and anything else ends it. */
struct pam_talk {
    const char *password;
    unsigned n_answers;
};
int pam_talk_answer(int n, const struct pam_message **messages, struct pam_response **ret, void *arg);

#endif
