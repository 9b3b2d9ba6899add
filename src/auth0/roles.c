/* Names of privileges, and the built-in roles: Proxmox VE 9's seventeen. They have no key in the state and cannot be
 * changed; a stored role of the same name is not looked at. */
#include "auth0/auth0_priv.h"

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

#define N_BUILTIN ARRAY_SIZE(builtin_roles)

size_t auth_role_builtin_count(void)
{
    return N_BUILTIN;
}

const char *auth_role_builtin(size_t i, priv_mask *ret)
{
    *ret = builtin_roles[i].mask;
    return builtin_roles[i].name;
}

bool auth_role_is_builtin(const char *role)
{
    for (size_t i = 0; i < N_BUILTIN; i++)
        if (streq(builtin_roles[i].name, role))
            return true;
    return false;
}

/* A stored role's privileges are a comma list of names. */
static priv_mask parse_privs(const char *list)
{
    priv_mask mask = 0;
    char name[64];
    unsigned bit;

    for (const char *p = list; p && *p;) {
        size_t n = strcspn(p, ",");
        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        if (n < sizeof(name) && priv_find(name, &bit))
            mask |= UINT64_C(1) << bit;
        p += n + (p[n] != 0);
    }
    return mask;
}

bool auth_role_mask(struct auth *a, const char *role, priv_mask *ret)
{
    for (size_t i = 0; i < N_BUILTIN; i++)
        if (streq(builtin_roles[i].name, role)) {
            *ret = builtin_roles[i].mask;
            return true;
        }
    json_t *stored = auth_object(a, AUTH_ROLE, role);
    *ret = parse_privs(json_string_value(json_object_get(stored, "privs")));
    return stored != NULL;
}

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

