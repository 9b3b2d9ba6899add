/* Writes AML, the byte code of ACPI tables: only what our tables use. Source: ACPI 6.4, chapter 20 (grammar) and 6.4
 * (resource data). Buffers fail by themselves; look once at the end. */
#ifndef HOLM_VMM_X86_AML_H
#define HOLM_VMM_X86_AML_H

#include "base/buf.h"

/* A block that ends at aml_end: its length is known only then. */
struct aml_block {
    size_t length_at;
};

struct aml_block aml_scope(struct buf *b, const char *name); /* "\\_SB" or a name of four letters */
struct aml_block aml_device(struct buf *b, const char *name);
struct aml_block aml_method(struct buf *b, const char *name, unsigned n_args);
/* if (Argn == value) */
struct aml_block aml_if_arg(struct buf *b, unsigned arg, uint8_t value);
void aml_end(struct buf *b, struct aml_block block);

void aml_name_number(struct buf *b, const char *name, uint64_t value);
void aml_name_string(struct buf *b, const char *name, const char *value);
void aml_name_eisa(struct buf *b, const char *name, const char *id); /* "PNP0A08" */
void aml_name_package(struct buf *b, const char *name, const uint8_t *values, uint8_t n);
void aml_notify(struct buf *b, const char *name, uint8_t value);

/* A buffer of resource descriptors: begin, descriptors, end. */
struct aml_resources {
    size_t length_at;
    size_t begin;
};
struct aml_resources aml_resources_begin(struct buf *b, const char *name);
void aml_resources_end(struct buf *b, struct aml_resources r);
void aml_resource_bus(struct buf *b, uint16_t first, uint16_t last);
void aml_resource_memory(struct buf *b, uint64_t base, uint64_t length, bool is_prefetchable);
void aml_resource_fixed_memory(struct buf *b, uint32_t base, uint32_t length);
void aml_resource_port(struct buf *b, uint16_t base, uint8_t length);
void aml_resource_interrupt(struct buf *b, uint32_t gsi); /* edge, active high */

#endif
