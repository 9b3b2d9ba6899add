/* Names of privileges, and the built-in roles: Proxmox VE 9's seventeen. They have no key in the state and cannot be
 * changed; a stored role of the same name is not looked at. */
#include "auth/auth_priv.h"

static const char *const priv_names[] = {
#define PRIV(name, ident, bit) [bit] = name,
#include "auth/privs.def"
#undef PRIV
};

#define ALL ((UINT64_C(1) << ARRAY_SIZE(priv_names)) - 1)
#define M   PRIV_M

/* Parts that several roles share. */
#define VM_ADMIN                                                                                                       \
    (M(VM_ALLOCATE) | M(VM_AUDIT) | M(VM_BACKUP) | M(VM_CLONE) | M(VM_CONFIG_CDROM) | M(VM_CONFIG_CPU) |               \
     M(VM_CONFIG_CLOUDINIT) | M(VM_CONFIG_DISK) | M(VM_CONFIG_HWTYPE) | M(VM_CONFIG_MEMORY) | M(VM_CONFIG_NETWORK) |   \
     M(VM_CONFIG_OPTIONS) | M(VM_CONSOLE) | M(VM_GUESTAGENT_AUDIT) | M(VM_GUESTAGENT_FILEREAD) |                       \
     M(VM_GUESTAGENT_FILESYSTEMMGMT) | M(VM_GUESTAGENT_FILEWRITE) | M(VM_GUESTAGENT_UNRESTRICTED) | M(VM_MIGRATE) |    \
     M(VM_POWERMGMT) | M(VM_REPLICATE) | M(VM_SNAPSHOT) | M(VM_SNAPSHOT_ROLLBACK))

static const struct {
    const char *name;
    priv_mask mask;
} builtin_roles[] = {
    {"NoAccess", 0},
    {"Administrator", ALL},
    {"PVEAdmin", VM_ADMIN | M(DATASTORE_ALLOCATE) | M(DATASTORE_ALLOCATESPACE) | M(DATASTORE_ALLOCATETEMPLATE) |
                     M(DATASTORE_AUDIT) | M(GROUP_ALLOCATE) | M(MAPPING_AUDIT) | M(MAPPING_USE) | M(POOL_ALLOCATE) |
                     M(POOL_AUDIT) | M(REALM_ALLOCATEUSER) | M(SDN_ALLOCATE) | M(SDN_AUDIT) | M(SDN_USE) |
                     M(SYS_AUDIT) | M(SYS_CONSOLE) | M(SYS_SYSLOG) | M(USER_MODIFY)},
    {"PVEAuditor", M(DATASTORE_AUDIT) | M(MAPPING_AUDIT) | M(POOL_AUDIT) | M(SDN_AUDIT) | M(SYS_AUDIT) | M(VM_AUDIT) |
                       M(VM_GUESTAGENT_AUDIT)},
    {"PVEDatastoreAdmin",
     M(DATASTORE_ALLOCATE) | M(DATASTORE_ALLOCATESPACE) | M(DATASTORE_ALLOCATETEMPLATE) | M(DATASTORE_AUDIT)},
    {"PVEDatastoreUser", M(DATASTORE_ALLOCATESPACE) | M(DATASTORE_AUDIT)},
    {"PVEMappingAdmin", M(MAPPING_AUDIT) | M(MAPPING_MODIFY) | M(MAPPING_USE)},
    {"PVEMappingUser", M(MAPPING_AUDIT) | M(MAPPING_USE)},
    {"PVEPoolAdmin", M(POOL_ALLOCATE) | M(POOL_AUDIT)},
    {"PVEPoolUser", M(POOL_AUDIT)},
    {"PVESDNAdmin", M(SDN_ALLOCATE) | M(SDN_AUDIT) | M(SDN_USE)},
    {"PVESDNUser", M(SDN_AUDIT) | M(SDN_USE)},
    {"PVESysAdmin", M(SYS_AUDIT) | M(SYS_CONSOLE) | M(SYS_SYSLOG)},
    {"PVETemplateUser", M(VM_AUDIT) | M(VM_CLONE)},
    {"PVEUserAdmin", M(GROUP_ALLOCATE) | M(REALM_ALLOCATEUSER) | M(USER_MODIFY)},
    {"PVEVMAdmin", VM_ADMIN},
    {"PVEVMUser", M(VM_AUDIT) | M(VM_BACKUP) | M(VM_CONFIG_CDROM) | M(VM_CONFIG_CLOUDINIT) | M(VM_CONSOLE) |
                      M(VM_GUESTAGENT_AUDIT) | M(VM_GUESTAGENT_FILEREAD) | M(VM_GUESTAGENT_FILESYSTEMMGMT) |
                      M(VM_GUESTAGENT_FILEWRITE) | M(VM_POWERMGMT)},
};

const char *priv_name(unsigned bit)
{
    return bit < ARRAY_SIZE(priv_names) ? priv_names[bit] : NULL;
}

bool priv_find(const char *name, unsigned *ret_bit)
{
    for (unsigned i = 0; i < ARRAY_SIZE(priv_names); i++) {
        if (streq(priv_names[i], name)) {
            *ret_bit = i;
            return true;
        }
    }
    return false;
}

int auth_roles_init(struct auth_set *roles)
{
    for (size_t i = 0; i < ARRAY_SIZE(builtin_roles); i++) {
        struct auth_role *r = calloc(1, sizeof(*r));
        if (!r || !(r->item.key = strdup(builtin_roles[i].name)) || auth_set_insert(roles, &r->item) < 0) {
            auth_item_free(AUTH_ROLE, r ? &r->item : NULL);
            return -ENOMEM;
        }
        r->mask = builtin_roles[i].mask;
        r->is_special = true;
    }
    return 0;
}
