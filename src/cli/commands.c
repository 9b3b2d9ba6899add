/* The command table itself: constant data and the look-ups in it. A new command is one row here, and a function in
 * command_priv.h if the generic call of run.c does not do. commands_test.c walks the rows. */
#include "cli/command_priv.h"

#define ARGS(...)                                                                                                      \
    .args = (const struct cli_arg[])                                                                                   \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL                                                                                                       \
        }                                                                                                              \
    }
#define OPTS(...)                                                                                                      \
    .opts = (const struct cli_opt[])                                                                                   \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL                                                                                                       \
        }                                                                                                              \
    }

#define VM "/nodes/{node}/qemu/{vmid}"
#define GUEST                                                                                                          \
    {                                                                                                                  \
        "GUEST", "vmid", ARG_GUEST                                                                                     \
    }
#define GUESTS                                                                                                         \
    {                                                                                                                  \
        "GUEST", "vmid", ARG_GUESTS                                                                                    \
    }
#define NODE                                                                                                           \
    {                                                                                                                  \
        "NODE", "node", ARG_NODE, true                                                                                 \
    }
#define UPID                                                                                                           \
    {                                                                                                                  \
        "UPID", "upid", ARG_UPID                                                                                       \
    }
#define USER                                                                                                           \
    {                                                                                                                  \
        "USER", "userid", ARG_TEXT                                                                                     \
    }

#define GRACE                                                                                                          \
    {                                                                                                                  \
        "grace", "timeout", OPT_INT, "SECONDS", NULL, "how long the guest may take"                                    \
    }

#define CPU_MODELS "/cluster/qemu/custom-cpu-models"
#define CPU_MODEL_OPTS                                                                                                 \
    {"reported-model", "reported-model", OPT_TEXT, "MODEL", NULL, "model that the guest sees"},                        \
        {"flags", "flags", OPT_TEXT, "+A;-B", NULL, "flags to turn on and off"},                                       \
        {"hidden", "hidden", OPT_BOOL, "BOOL", NULL, "hide that it is KVM"},                                           \
        {"hv-vendor-id", "hv-vendor-id", OPT_TEXT, "TEXT", NULL, "vendor that Hyper-V hints show"},                    \
        {"level", "level", OPT_INT, "N", NULL, "highest leaf of CPUID"},                                               \
    {                                                                                                                  \
        "phys-bits", "phys-bits", OPT_TEXT, "N", NULL, "bits of physical addresses, or host"                           \
    }

/* Common configuration keys are listed for help; any other key of the API is taken as well. */
#define VM_CONFIG_OPTS                                                                                                 \
    {"name", "name", OPT_TEXT, "NAME", NULL, "name of the virtual machine"},                                           \
        {"memory", "memory", OPT_TEXT, "MIB", NULL, "memory in MiB"},                                                  \
        {"cores", "cores", OPT_TEXT, "N", NULL, "cores per socket"},                                                   \
        {"cpu", "cpu", OPT_TEXT, "MODEL", NULL, "CPU model and flags"},                                                \
        {"scsi0", "scsi0", OPT_TEXT, "DISK", NULL, "first disk: STORAGE:GIB or a volume, then options"},               \
        {"net0", "net0", OPT_TEXT, "NIC", NULL, "first network card: virtio[,bridge=vmbr0]"},                          \
        {"ide2", "ide2", OPT_TEXT, "CDROM", NULL, "CD drive: VOLUME,media=cdrom or STORAGE:cloudinit"},                \
        {"ciuser", "ciuser", OPT_TEXT, "USER", NULL, "user that cloud-init makes"},                                    \
        {"sshkeys", "sshkeys", OPT_LINES, "FILE", NULL, "SSH keys that cloud-init installs, one a line"},              \
        {"ipconfig0", "ipconfig0", OPT_TEXT, "ADDRESS", NULL, "address that cloud-init sets: ip=CIDR|dhcp[,gw=IP]"},   \
        {"boot", "boot", OPT_TEXT, "ORDER", NULL, "boot order: order=scsi0;net0"},                                     \
        {"serial0", "serial0", OPT_TEXT, "socket", NULL, "serial port for 'holm vm console'"},                         \
        {"vga", "vga", OPT_TEXT, "TYPE", NULL, "display; serial0 or none for no display"},                             \
        {"engine", "engine", OPT_CHOICE, "ENGINE", "auto|vmm|qemu", "what runs the guest"},                            \
        {"kernel", "kernel", OPT_TEXT, "VOLUME", NULL, "kernel to boot directly, a volume of content boot"},           \
        {"initrd", "initrd", OPT_TEXT, "VOLUME", NULL, "initial RAM disk, a volume of content boot"},                  \
        {"cmdline", "cmdline", OPT_TEXT, "TEXT", NULL, "kernel command line"},                                         \
        {"description", "description", OPT_TEXT, "TEXT", NULL, "notes"},                                               \
        {"tags", "tags", OPT_TEXT, "A;B", NULL, "tags"},                                                               \
    {                                                                                                                  \
        "onboot", "onboot", OPT_BOOL, "BOOL", NULL, "start with the host"                                              \
    }

#define ACL_OPTS                                                                                                       \
    {"user", "users", OPT_TEXT, "USER", NULL, "user, or several with commas"},                                         \
        {"group", "groups", OPT_TEXT, "GROUP", NULL, "group, or several with commas"},                                 \
        {"token", "tokens", OPT_TEXT, "USER!TOKEN", NULL, "API token, or several with commas"},                        \
    {                                                                                                                  \
        "role", "roles", OPT_TEXT, "ROLE", NULL, "role, or several with commas", true                                  \
    }

#define USER_OPTS                                                                                                      \
    {"comment", "comment", OPT_TEXT, "TEXT", NULL, "comment"},                                                         \
        {"email", "email", OPT_TEXT, "ADDRESS", NULL, "e-mail"},                                                       \
        {"firstname", "firstname", OPT_TEXT, "NAME", NULL, "first name"},                                              \
        {"lastname", "lastname", OPT_TEXT, "NAME", NULL, "last name"},                                                 \
        {"groups", "groups", OPT_TEXT, "A,B", NULL, "groups"},                                                         \
        {"enable", "enable", OPT_BOOL, "BOOL", NULL, "whether the user may log in"},                                   \
    {                                                                                                                  \
        "expire", "expire", OPT_INT, "SECONDS", NULL, "end of the account, seconds since 1970; 0 = never"              \
    }

#define COMMENT_OPT                                                                                                    \
    {                                                                                                                  \
        "comment", "comment", OPT_TEXT, "TEXT", NULL, "comment"                                                        \
    }

#define REALM_OPTS                                                                                                     \
    COMMENT_OPT,                                                                                                       \
    {                                                                                                                  \
        "default", "default", OPT_BOOL, "BOOL", NULL, "whether logins are offered this realm first"                    \
    }

#define TOKENS "/access/users/{userid}/token"
#define TOKEN                                                                                                          \
    {                                                                                                                  \
        "TOKEN", "tokenid", ARG_TEXT                                                                                   \
    }
#define TOKEN_OPTS                                                                                                     \
    {                                                                                                                  \
        "privsep", "privsep", OPT_BOOL,                                                                                \
        "BOOL",    NULL,      "whether the token has only its own permissions; yes if not given"},                     \
        {"comment", "comment", OPT_TEXT, "TEXT", NULL, "comment"},                                                     \
    {                                                                                                                  \
        "expire", "expire", OPT_INT, "SECONDS", NULL, "end of the token, seconds since 1970; 0 = never"                \
    }

#define STORAGE                                                                                                        \
    {                                                                                                                  \
        "STORAGE", "storage", ARG_TEXT                                                                                 \
    }
#define STORAGE_OPTS                                                                                                   \
    {"content", "content", OPT_TEXT, "KINDS", NULL, "what it holds: images, iso, vztmpl, import, … or none"},          \
        {"nodes", "nodes", OPT_TEXT, "A,B", NULL, "nodes that have it"},                                               \
        {"disable", "disable", OPT_BOOL, "BOOL", NULL, "whether it is left unused"},                                   \
        {"shared", "shared", OPT_BOOL, "BOOL", NULL, "whether its nodes see the same folder"},                         \
        {"format", "format", OPT_CHOICE, "FORMAT", "raw|qcow2", "format of new images"},                               \
        {"preallocation", "preallocation", OPT_CHOICE, "MODE", "off|falloc", "how space of new images is taken"},      \
        {"is-mountpoint", "is_mountpoint", OPT_TEXT, "yes|no|PATH", NULL, "use it only while something is mounted"},   \
        {"create-base-path", "create-base-path", OPT_BOOL, "BOOL", NULL, "make the folder when it is missing"},        \
        {"create-subdirs", "create-subdirs", OPT_BOOL, "BOOL", NULL, "make the folders in it when they are missing"},  \
    {                                                                                                                  \
        "nocow", "nocow", OPT_BOOL, "BOOL", NULL, "type btrfs: raw images are written in place, without checksums"     \
    }

#define NETWORK "/nodes/{node}/network"
#define IFACE                                                                                                          \
    {                                                                                                                  \
        "IFACE", "iface", ARG_TEXT                                                                                     \
    }
#define NET_OPTS                                                                                                       \
    {"type", "type", OPT_CHOICE, "TYPE", "bridge|bond|eth|vlan", "kind of interface", true},                           \
        {"cidr", "cidr", OPT_TEXT, "ADDRESS/BITS", NULL, "IPv4 address"},                                              \
        {"cidr6", "cidr6", OPT_TEXT, "ADDRESS/BITS", NULL, "IPv6 address"},                                            \
        {"gateway", "gateway", OPT_TEXT, "ADDRESS", NULL, "IPv4 default gateway"},                                     \
        {"gateway6", "gateway6", OPT_TEXT, "ADDRESS", NULL, "IPv6 default gateway"},                                   \
        {"ports", "bridge_ports", OPT_TEXT, "A,B", NULL, "interfaces that are ports of the bridge"},                   \
        {"slaves", "slaves", OPT_TEXT, "A,B", NULL, "interfaces that the bond puts together"},                         \
        {"bond-mode", "bond_mode", OPT_TEXT, "MODE", NULL, "active-backup, 802.3ad, ..."},                             \
        {"bond-hash", "bond_xmit_hash_policy", OPT_TEXT, "POLICY", NULL, "layer2, layer2+3 or layer3+4"},              \
        {"bond-primary", "bond-primary", OPT_TEXT, "IFACE", NULL, "slave that active-backup prefers"},                 \
        {"vlan-aware", "bridge_vlan_aware", OPT_BOOL, "BOOL", NULL, "guests may have a tag on this bridge"},           \
        {"vlan-raw-device", "vlan-raw-device", OPT_TEXT, "IFACE", NULL, "what carries the VLAN"},                      \
        {"vlan-id", "vlan-id", OPT_INT, "N", NULL, "number of the VLAN"},                                              \
        {"mtu", "mtu", OPT_INT, "BYTES", NULL, "largest packet"},                                                      \
        {"nat", "nat", OPT_BOOL, "BOOL", NULL, "guests reach other networks under the host's address"},                \
        {"dhcp-range", "dhcp-range", OPT_TEXT, "FIRST-LAST", NULL, "addresses for guests by DHCP"},                    \
        {"autostart", "autostart", OPT_BOOL, "BOOL", NULL, "for ifupdown: bring it up with the host"},                 \
    {                                                                                                                  \
        "comments", "comments", OPT_TEXT, "TEXT", NULL, "comment"                                                      \
    }

const struct cli_command command_table[] = {
    /* vm */
    {"vm", "list", .method = "GET", .path = "/cluster/resources", .fixed = "type=vm", .only = "type=qemu",
     .columns = "vmid,name,status,node,cpu,maxcpu,mem,maxmem,uptime,tags", .help = "List the virtual machines.",
     .example = "holm vm list -c vmid,name,status"},
    {"vm", "show", ARGS(GUEST), .method = "GET", .path = VM "/status/current",
     .help = "Show the state of a virtual machine.", .example = "holm vm show web -o json"},
    {"vm", "create", ARGS({"VMID", "vmid", ARG_VMID, true}),
     OPTS(VM_CONFIG_OPTS, {"start", "start", OPT_FLAG, NULL, NULL, "start it when it is made"},
          {"pool", "pool", OPT_TEXT, "POOL", NULL, "add it to this pool"},
          {"storage", "storage", OPT_TEXT, "STORAGE", NULL, "default storage for disks"}),
     .method = "POST", .path = "/nodes/{node}/qemu",
     .help = "Create a virtual machine and print its number; without VMID the next free one is taken.",
     .example = "holm vm create 100 --name web --memory 512 --scsi0 local:4 --net0 virtio",
     .flags = CMD_PASSTHROUGH | CMD_ANY_KEY | CMD_TASK | CMD_DRY_RUN, .run = vm_create_run},
    {"vm", "set", ARGS(GUEST),
     OPTS(VM_CONFIG_OPTS, {"delete", "delete", OPT_TEXT, "KEYS", NULL, "keys to remove, with commas"},
          {"revert", "revert", OPT_TEXT, "KEYS", NULL, "pending changes to take back, with commas"},
          {"digest", "digest", OPT_TEXT, "HEX", NULL, "change only if the configuration still has this digest"}),
     .method = "PUT", .path = VM "/config", .help = "Change the configuration of a virtual machine.",
     .example = "holm vm set web --memory 1024 --delete net1", .flags = CMD_PASSTHROUGH | CMD_ANY_KEY | CMD_DRY_RUN},
    {"vm", "config", ARGS(GUEST),
     OPTS({"current", "current", OPT_FLAG, NULL, NULL, "what runs now, without pending changes"}), .method = "GET",
     .path = VM "/config", .help = "Show the configuration of a virtual machine.", .example = "holm vm config 100"},
    {"vm", "pending", ARGS(GUEST), .method = "GET", .path = VM "/pending", .columns = "key,value,pending,delete",
     .help = "Show which changes wait for the next start.", .example = "holm vm pending 100"},
    {"vm", "cloudinit show", ARGS(GUEST), .method = "GET", .path = VM "/cloudinit",
     .columns = "key,value,pending,delete", .help = "Show the cloud-init keys, and which of them wait.",
     .example = "holm vm cloudinit show web"},
    {"vm", "cloudinit dump", ARGS(GUEST, {"FILE", "type", ARG_TEXT}), .method = "GET", .path = VM "/cloudinit/dump",
     .help = "Print a file that cloud-init reads: user, network or meta.",
     .example = "holm vm cloudinit dump web network"},
    {"vm", "cloudinit update", ARGS(GUEST), .method = "PUT", .path = VM "/cloudinit",
     .help = "Make the cloud-init image anew; a running guest finds it in its drive.",
     .example = "holm vm cloudinit update web"},
    {"vm", "start", ARGS(GUESTS), .method = "POST", .path = VM "/status/start", .help = "Start virtual machines.",
     .example = "holm vm start web db", .flags = CMD_TASK},
    {"vm", "stop", ARGS(GUESTS),
     OPTS({"force", NULL, OPT_FLAG, NULL, NULL, "switch off at once, without asking the guest"}, GRACE),
     .method = "POST", .path = VM "/status/shutdown", .force_path = VM "/status/stop",
     .help = "Shut virtual machines down; with --force switch them off.", .example = "holm vm stop web --grace 30",
     .flags = CMD_TASK},
    {"vm", "shutdown", ARGS(GUESTS),
     OPTS({"force-stop", "forceStop", OPT_FLAG, NULL, NULL, "switch off when the guest does not follow in time"},
          GRACE),
     .method = "POST", .path = VM "/status/shutdown", .help = "Ask virtual machines to shut down.",
     .example = "holm vm shutdown web --grace 60 --force-stop", .flags = CMD_TASK},
    {"vm", "reboot", ARGS(GUESTS), OPTS(GRACE), .method = "POST", .path = VM "/status/reboot",
     .help = "Shut virtual machines down and start them again, with pending changes.", .example = "holm vm reboot web",
     .flags = CMD_TASK},
    {"vm", "reset", ARGS(GUESTS), .method = "POST", .path = VM "/status/reset",
     .help = "Reset virtual machines as their reset button would.", .example = "holm vm reset web", .flags = CMD_TASK},
    {"vm", "suspend", ARGS(GUESTS), .method = "POST", .path = VM "/status/suspend",
     .help = "Pause virtual machines; they stay in memory.", .example = "holm vm suspend web", .flags = CMD_TASK},
    {"vm", "resume", ARGS(GUESTS), .method = "POST", .path = VM "/status/resume",
     .help = "Let paused virtual machines run on.", .example = "holm vm resume web", .flags = CMD_TASK},
    {"vm", "resize", ARGS(GUEST, {"DISK", "disk", ARG_TEXT}, {"SIZE", "size", ARG_TEXT}), .method = "PUT",
     .path = VM "/resize", .help = "Make a disk of a virtual machine larger, while it runs too.",
     .example = "holm vm resize web scsi0 +10G", .flags = CMD_TASK},
    {"vm", "move-disk", ARGS(GUEST, {"DISK", "disk", ARG_TEXT}, {"STORAGE", "storage", ARG_TEXT, true}),
     OPTS({"format", "format", OPT_CHOICE, "FORMAT", "raw|qcow2", "format of the image"},
          {"delete", "delete", OPT_FLAG, NULL, NULL, "remove the original, which is kept as an unused disk else"},
          {"bwlimit", "bwlimit", OPT_INT, "KIB", NULL, "KiB per second at most"},
          {"target-vmid", "target-vmid", OPT_INT, "VMID", NULL, "give it to this virtual machine instead"},
          {"target-disk", "target-disk", OPT_TEXT, "DISK", NULL, "its name there"}),
     .method = "POST", .path = VM "/move_disk",
     .help = "Move a disk to another storage or format, or to another virtual machine.",
     .example = "holm vm move-disk web scsi0 fast --delete", .flags = CMD_TASK | CMD_DRY_RUN},
    {"vm", "snapshot list", ARGS(GUEST), .method = "GET", .path = VM "/snapshot",
     .columns = "name,parent,snaptime,description", .help = "List a virtual machine's snapshots.",
     .example = "holm vm snapshot list web"},
    {"vm", "snapshot create", ARGS(GUEST, {"NAME", "snapname", ARG_TEXT}),
     OPTS({"description", "description", OPT_TEXT, "TEXT", NULL, "a text about it"}), .method = "POST",
     .path = VM "/snapshot", .help = "Take a snapshot of a virtual machine's disks and settings, while it runs too.",
     .example = "holm vm snapshot create web before-upgrade", .flags = CMD_TASK | CMD_DRY_RUN},
    {"vm", "snapshot rollback", ARGS(GUEST, {"NAME", "snapname", ARG_TEXT}),
     OPTS({"start", "start", OPT_FLAG, NULL, NULL, "start it then"}), .method = "POST",
     .path = VM "/snapshot/{snapname}/rollback",
     .help = "Take a virtual machine back to a snapshot; what it wrote since is lost. One that runs is stopped.",
     .example = "holm vm snapshot rollback web before-upgrade -y", .flags = CMD_ASKS | CMD_TASK | CMD_DRY_RUN},
    {"vm", "snapshot delete", ARGS(GUEST, {"NAME", "snapname", ARG_TEXT}), .method = "DELETE",
     .path = VM "/snapshot/{snapname}", .help = "Delete a snapshot; the virtual machine stays what it is.",
     .example = "holm vm snapshot delete web before-upgrade -y", .flags = CMD_ASKS | CMD_TASK | CMD_DRY_RUN},
    {"vm", "clone", ARGS(GUEST, {"NEWID", "newid", ARG_TEXT}),
     OPTS({"name", "name", OPT_TEXT, "NAME", NULL, "name of the copy"},
          {"full", "full", OPT_FLAG, NULL, NULL, "copy the images of a template, too"},
          {"snapshot", "snapname", OPT_TEXT, "NAME", NULL, "copy this snapshot"},
          {"storage", "storage", OPT_TEXT, "STORAGE", NULL, "where the copy's images are made"},
          {"format", "format", OPT_CHOICE, "FORMAT", "raw|qcow2", "format of the copy's images"},
          {"pool", "pool", OPT_TEXT, "POOL", NULL, "the copy becomes a member of this pool"}),
     .method = "POST", .path = VM "/clone", .help = "Make a copy of a virtual machine, template or snapshot.",
     .example = "holm vm clone web 120 --name web2", .flags = CMD_TASK | CMD_DRY_RUN},
    {"vm", "template", ARGS(GUEST), .method = "POST", .path = VM "/template",
     .help = "Make a virtual machine a template: it is not started any more, and clones of it take no space.",
     .example = "holm vm template debian -y", .flags = CMD_ASKS | CMD_TASK | CMD_DRY_RUN},
    {"vm", "sendkey", ARGS(GUEST, {"KEYS", "key", ARG_TEXT}), .method = "PUT", .path = VM "/sendkey",
     .help = "Press keys on a virtual machine's keyboard.", .example = "holm vm sendkey web ctrl-alt-delete"},
    {"vm", "monitor", ARGS(GUEST, {"COMMAND", "command", ARG_TEXT}), .method = "POST", .path = VM "/monitor",
     .help = "Run a command of QEMU's monitor; other than info for root only.",
     .example = "holm vm monitor web 'info block'"},
    {"vm", "delete", ARGS(GUESTS),
     OPTS({"purge", "purge", OPT_FLAG, NULL, NULL, "remove it from pools and permissions too"},
          {"destroy-unreferenced-disks", "destroy-unreferenced-disks", OPT_FLAG, NULL, NULL,
           "also delete its volumes that the configuration does not name"}),
     .method = "DELETE", .path = VM, .help = "Delete virtual machines and their disks.",
     .example = "holm vm delete 100 -y", .flags = CMD_ASKS | CMD_TASK | CMD_DRY_RUN},
    {"vm", "console", ARGS(GUEST),
     OPTS({"serial", "serial", OPT_CHOICE, "PORT", "serial0|serial1|serial2|serial3", "which serial port"},
          {"idle", NULL, OPT_INT, "SECONDS", NULL, "end so long after the end of a piped input; 1 if not given"}),
     .method = "GET", .path = VM "/vncwebsocket",
     .help = "Connect the terminal to the serial console; Ctrl-] or ~. at the start of a line leaves it.",
     .example = "holm vm console web", .run = vm_console_run},

    /* task */
    {"task", "list",
     OPTS({"limit", "limit", OPT_INT, "N", NULL, "at most so many; 50 if not given"},
          {"start", "start", OPT_INT, "N", NULL, "skip so many"},
          {"errors", "errors", OPT_FLAG, NULL, NULL, "only failed ones"},
          {"vmid", "vmid", OPT_INT, "VMID", NULL, "only those of this guest"},
          {"type", "typefilter", OPT_TEXT, "TYPE", NULL, "only this type, such as qmstart"},
          {"user", "userfilter", OPT_TEXT, "USER", NULL, "only those of this user"},
          {"source", "source", OPT_CHOICE, "SOURCE", "archive|active|all", "running ones, finished ones or both"}),
     .method = "GET", .path = "/nodes/{node}/tasks", .columns = "upid,type,id,user,starttime,endtime,status",
     .help = "List tasks, newest first.", .example = "holm task list --vmid 100 --limit 5"},
    {"task", "show", ARGS(UPID), .method = "GET", .path = "/nodes/{node}/tasks/{upid}/status",
     .help = "Show the state of a task.", .example = "holm task show UPID:pve1:…"},
    {"task", "log", ARGS(UPID), .method = "GET", .path = "/nodes/{node}/tasks/{upid}/log", .columns = "n,t",
     .help = "Print the log of a task.", .example = "holm task log UPID:pve1:…", .run = task_log_run},
    {"task", "wait", ARGS(UPID), .method = "GET", .path = "/nodes/{node}/tasks/{upid}/status",
     .help = "Follow a task to its end and take over its result.", .example = "holm task wait UPID:pve1:… --timeout 60",
     .run = task_wait_run},
    {"task", "stop", ARGS(UPID), .method = "DELETE", .path = "/nodes/{node}/tasks/{upid}",
     .help = "Stop a task and take back what it did, where that is possible.", .example = "holm task stop UPID:pve1:…",
     .flags = CMD_ASKS},

    /* user */
    {"user", "list", .method = "GET", .path = "/access/users",
     .columns = "userid,enable,expire,firstname,lastname,email,comment", .help = "List the users.",
     .example = "holm user list"},
    {"user", "show", ARGS(USER), .method = "GET", .path = "/access/users/{userid}", .help = "Show a user.",
     .example = "holm user show admin@pve"},
    {"user", "create", ARGS(USER),
     OPTS(
         {"password-file", "password", OPT_SECRET, "FILE", NULL, "read the password from a file, - for standard input"},
         {"role", NULL, OPT_TEXT, "ROLE", NULL, "also grant this role"},
         {"path", NULL, OPT_TEXT, "PATH", NULL, "where to grant the role; / if not given"}, USER_OPTS),
     .method = "POST", .path = "/access/users", .help = "Create a user, optionally with a role.",
     .example = "holm user create admin@pve --password-file pw --role Administrator", .run = user_create_run},
    {"user", "set", ARGS(USER),
     OPTS(USER_OPTS, {"append", "append", OPT_FLAG, NULL, NULL, "add to the groups instead of replacing them"}),
     .method = "PUT", .path = "/access/users/{userid}", .help = "Change a user.",
     .example = "holm user set admin@pve --email admin@example.org"},
    {"user", "delete", ARGS(USER), .method = "DELETE", .path = "/access/users/{userid}",
     .help = "Delete a user with tokens and permissions.", .example = "holm user delete guest@pve -y",
     .flags = CMD_ASKS},
    {"user", "password", ARGS(USER),
     OPTS({"password-file", "password", OPT_SECRET, "FILE", NULL,
           "read the new password from a file, - for standard input; asks if not given"}),
     .method = "PUT", .path = "/access/password", .help = "Set the password of a user.",
     .example = "holm user password admin@pve", .run = user_password_run},
    /* token */
    {"token", "list", ARGS(USER), .method = "GET", .path = TOKENS, .columns = "tokenid,privsep,expire,comment",
     .help = "List the API tokens of a user.", .example = "holm token list admin@pve"},
    {"token", "show", ARGS(USER, TOKEN), .method = "GET", .path = TOKENS "/{tokenid}", .help = "Show an API token.",
     .example = "holm token show admin@pve ci"},
    {"token", "create", ARGS(USER, TOKEN), OPTS(TOKEN_OPTS), .method = "POST", .path = TOKENS "/{tokenid}",
     .columns = "full-tokenid,value", .help = "Make an API token and print its secret, which is shown only this once.",
     .example = "holm token create admin@pve ci --privsep no"},
    {"token", "set", ARGS(USER, TOKEN),
     OPTS(TOKEN_OPTS,
          {"regenerate", "regenerate", OPT_FLAG, NULL, NULL, "give it a new secret; the old one is void at once"}),
     .method = "PUT", .path = TOKENS "/{tokenid}", .help = "Change an API token.",
     .example = "holm token set admin@pve ci --expire 1798761600"},
    {"token", "delete", ARGS(USER, TOKEN), .method = "DELETE", .path = TOKENS "/{tokenid}",
     .help = "Delete an API token.", .example = "holm token delete admin@pve ci -y", .flags = CMD_ASKS},

    /* tfa */
    {"tfa", "list", ARGS({"USER", NULL, ARG_TEXT, true}), .method = "GET", .path = "/access/tfa",
     .columns = "userid,id,type,enable,locked,created,description",
     .help = "List the second factors of all users, or of one.", .example = "holm tfa list admin@pve",
     .run = tfa_list_run},
    {"tfa", "add totp", ARGS(USER),
     OPTS(
         {"description", "description", OPT_TEXT, "TEXT", NULL, "what it is, in words"},
         {"code-file", NULL, OPT_TEXT, "FILE", NULL, "read its current code from a file, - for standard input"},
         {"uri-file", "totp", OPT_SECRET, "FILE", NULL, "take the secret from this file's otpauth URI, not a new one"}),
     .method = "POST", .path = "/access/tfa/{userid}", .fixed = "type=totp", .columns = "id",
     .help = "Add an authenticator: prints the otpauth URI for it and asks for its first code.",
     .example = "holm tfa add totp admin@pve --description phone", .run = tfa_add_totp_run},
    {"tfa", "add recovery", ARGS(USER), .method = "POST", .path = "/access/tfa/{userid}", .fixed = "type=recovery",
     .help = "Make ten recovery codes, each good for one login, and print them, which happens only this once.",
     .example = "holm tfa add recovery admin@pve", .run = tfa_add_recovery_run},
    {"tfa", "enable", ARGS(USER, {"ID", "id", ARG_TEXT}), .method = "PUT", .path = "/access/tfa/{userid}/{id}",
     .fixed = "enable=1", .help = "Let the login take a second factor again.",
     .example = "holm tfa enable admin@pve recovery"},
    {"tfa", "disable", ARGS(USER, {"ID", "id", ARG_TEXT}), .method = "PUT", .path = "/access/tfa/{userid}/{id}",
     .fixed = "enable=0", .help = "Keep a second factor, but let the login not take it.",
     .example = "holm tfa disable admin@pve recovery"},
    {"tfa", "delete", ARGS(USER, {"ID", "id", ARG_TEXT}), .method = "DELETE", .path = "/access/tfa/{userid}/{id}",
     .help = "Delete a second factor; without any a password is enough.",
     .example = "holm tfa delete admin@pve recovery -y", .flags = CMD_ASKS},
    {"tfa", "unlock", ARGS(USER), .method = "PUT", .path = "/access/users/{userid}/unlock-tfa",
     .help = "Let a user try again after too many wrong codes; prints 1 if he was locked, else 0.",
     .example = "holm tfa unlock admin@pve"},

    /* acl */
    {"acl", "list", .method = "GET", .path = "/access/acl", .columns = "path,type,ugid,roleid,propagate",
     .help = "List the permissions.", .example = "holm acl list"},
    {"acl", "add", ARGS({"PATH", "path", ARG_TEXT}),
     OPTS(ACL_OPTS, {"no-propagate", "propagate", OPT_NO, NULL, NULL, "for this path only, not for those below"}),
     .method = "PUT", .path = "/access/acl", .help = "Give users, groups or tokens a role on a path.",
     .example = "holm acl add /vms/100 --user dev@pve --role PVEVMUser"},
    {"acl", "delete", ARGS({"PATH", "path", ARG_TEXT}), OPTS(ACL_OPTS), .method = "PUT", .path = "/access/acl",
     .fixed = "delete=1", .help = "Take a role on a path away.",
     .example = "holm acl delete /vms/100 --user dev@pve --role PVEVMUser -y", .flags = CMD_ASKS},

    /* role */
    {"role", "list", .method = "GET", .path = "/access/roles", .columns = "roleid,special,privs",
     .help = "List the roles.", .example = "holm role list -o name"},
    {"role", "show", ARGS({"ROLE", "roleid", ARG_TEXT}), .method = "GET", .path = "/access/roles/{roleid}",
     .help = "Show the privileges of a role.", .example = "holm role show PVEVMUser"},
    {"role", "create", ARGS({"ROLE", "roleid", ARG_TEXT}),
     OPTS({"privs", "privs", OPT_TEXT, "A,B", NULL, "privileges"}), .method = "POST", .path = "/access/roles",
     .help = "Create a role.", .example = "holm role create operator --privs VM.Audit,VM.PowerMgmt"},
    {"role", "set", ARGS({"ROLE", "roleid", ARG_TEXT}),
     OPTS({"privs", "privs", OPT_TEXT, "A,B", NULL, "privileges", true},
          {"append", "append", OPT_FLAG, NULL, NULL, "add to the privileges instead of replacing them"}),
     .method = "PUT", .path = "/access/roles/{roleid}", .help = "Change the privileges of a role.",
     .example = "holm role set operator --privs VM.Console --append"},
    {"role", "delete", ARGS({"ROLE", "roleid", ARG_TEXT}), .method = "DELETE", .path = "/access/roles/{roleid}",
     .help = "Delete a role.", .example = "holm role delete operator -y", .flags = CMD_ASKS},

    /* group */
    {"group", "list", .method = "GET", .path = "/access/groups", .columns = "groupid,comment,users",
     .help = "List the groups.", .example = "holm group list"},
    {"group", "show", ARGS({"GROUP", "groupid", ARG_TEXT}), .method = "GET", .path = "/access/groups/{groupid}",
     .help = "Show a group and its members.", .example = "holm group show ops"},
    {"group", "create", ARGS({"GROUP", "groupid", ARG_TEXT}), OPTS(COMMENT_OPT), .method = "POST",
     .path = "/access/groups", .help = "Create a group; holm user set --groups puts users into it.",
     .example = "holm group create ops --comment 'those on call'"},
    {"group", "set", ARGS({"GROUP", "groupid", ARG_TEXT}), OPTS(COMMENT_OPT), .method = "PUT",
     .path = "/access/groups/{groupid}", .help = "Change a group.", .example = "holm group set ops --comment on-call"},
    {"group", "delete", ARGS({"GROUP", "groupid", ARG_TEXT}), .method = "DELETE", .path = "/access/groups/{groupid}",
     .help = "Delete a group with its permissions; its users stay.", .example = "holm group delete ops -y",
     .flags = CMD_ASKS},

    /* realm */
    {"realm", "list", .method = "GET", .path = "/access/domains", .columns = "realm,type,default,comment",
     .help = "List the realms.", .example = "holm realm list"},
    {"realm", "show", ARGS({"REALM", "realm", ARG_TEXT}), .method = "GET", .path = "/access/domains/{realm}",
     .help = "Show a realm.", .example = "holm realm show pam"},
    {"realm", "create", ARGS({"REALM", "realm", ARG_TEXT}), OPTS(REALM_OPTS), .method = "POST",
     .path = "/access/domains", .fixed = "type=pve", .help = "Create a realm whose passwords Holm keeps.",
     .example = "holm realm create customers --comment 'accounts of customers'"},
    {"realm", "set", ARGS({"REALM", "realm", ARG_TEXT}),
     OPTS(REALM_OPTS, {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"},
          {"digest", "digest", OPT_TEXT, "HEX", NULL, "change only if the realm still has this digest"}),
     .method = "PUT", .path = "/access/domains/{realm}", .help = "Change a realm.",
     .example = "holm realm set pve --default yes"},
    {"realm", "delete", ARGS({"REALM", "realm", ARG_TEXT}), .method = "DELETE", .path = "/access/domains/{realm}",
     .help = "Delete a realm that has no users.", .example = "holm realm delete customers -y", .flags = CMD_ASKS},

    /* pool */
    {"pool", "list", .method = "GET", .path = "/pools", .columns = "poolid,comment", .help = "List the pools.",
     .example = "holm pool list"},
    {"pool", "show", ARGS({"POOL", "poolid", ARG_TEXT}), .method = "GET", .path = "/pools",
     .columns = "poolid,comment,members", .help = "Show a pool and its members.", .example = "holm pool show web",
     .flags = CMD_FIRST},
    {"pool", "create", ARGS({"POOL", "poolid", ARG_TEXT}),
     OPTS({"comment", "comment", OPT_TEXT, "TEXT", NULL, "comment"}), .method = "POST", .path = "/pools",
     .help = "Create a pool.", .example = "holm pool create web --comment 'Front ends'"},
    {"pool", "set", ARGS({"POOL", "poolid", ARG_TEXT}),
     OPTS({"comment", "comment", OPT_TEXT, "TEXT", NULL, "comment"},
          {"vms", "vms", OPT_TEXT, "A,B", NULL, "numbers of guests to add"},
          {"storage", "storage", OPT_TEXT, "A,B", NULL, "storages to add"},
          {"remove", "delete", OPT_FLAG, NULL, NULL, "remove these members instead of adding them"},
          {"allow-move", "allow-move", OPT_FLAG, NULL, NULL, "also take guests out of another pool"}),
     .method = "PUT", .path = "/pools", .help = "Change a pool or its members.",
     .example = "holm pool set web --vms 100,101"},
    {"pool", "delete", ARGS({"POOL", "poolid", ARG_TEXT}), .method = "DELETE", .path = "/pools",
     .help = "Delete an empty pool.", .example = "holm pool delete web -y", .flags = CMD_ASKS},

    /* storage */
    {"storage", "list", .method = "GET", .path = "/storage", .columns = "storage,type,content,path,shared",
     .help = "List the configured storages.", .example = "holm storage list"},
    {"storage", "status", ARGS({"STORAGE", "storage", ARG_TEXT, true}), .method = "GET",
     .path = "/nodes/{node}/storage", .columns = "storage,type,active,total,used,avail,content",
     .help = "Show how full the storages are.", .example = "holm storage status local"},
    {"storage", "content", ARGS({"STORAGE", "storage", ARG_TEXT}),
     OPTS({"content", "content", OPT_TEXT, "KIND", NULL, "only this kind: images, iso, vztmpl, backup, import, …"},
          {"vmid", "vmid", OPT_INT, "VMID", NULL, "only volumes of this guest"}),
     .method = "GET", .path = "/nodes/{node}/storage/{storage}/content",
     .columns = "volid,content,format,size,used,vmid,ctime", .help = "List the volumes of a storage.",
     .example = "holm storage content local --content iso"},
    {"storage", "create", ARGS(STORAGE),
     OPTS({"path", "path", OPT_TEXT, "PATH", NULL, "the folder, an absolute path", true},
          {"type", "type", OPT_CHOICE, "TYPE", "dir|btrfs", "what kind of storage; dir if not given"}, STORAGE_OPTS),
     .method = "POST", .path = "/storage", .fixed = "type=dir", .help = "Make a folder a storage.",
     .example = "holm storage create data --path /srv/data --content images,iso"},
    {"storage", "set", ARGS(STORAGE),
     OPTS(STORAGE_OPTS, {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"},
          {"digest", "digest", OPT_TEXT, "HEX", NULL, "change only if the configuration still has this digest"}),
     .method = "PUT", .path = "/storage/{storage}", .help = "Change a storage.",
     .example = "holm storage set data --content images"},
    {"storage", "show", ARGS(STORAGE), .method = "GET", .path = "/storage/{storage}",
     .help = "Show the configuration of a storage.", .example = "holm storage show data"},
    {"storage", "delete", ARGS(STORAGE), .method = "DELETE", .path = "/storage/{storage}",
     .help = "Forget a storage; what is in it stays.", .example = "holm storage delete data -y", .flags = CMD_ASKS},
    {"storage", "download", ARGS(STORAGE),
     OPTS({"url", "url", OPT_TEXT, "URL", NULL, "where the file is, http or https", true},
          {"name", "filename", OPT_TEXT, "NAME", NULL, "name in the storage", true},
          {"content", "content", OPT_CHOICE, "KIND", "iso|vztmpl|import", "kind of content", true},
          {"checksum", "checksum", OPT_TEXT, "HEX", NULL, "refuse the file if its checksum differs"},
          {"checksum-algorithm", "checksum-algorithm", OPT_CHOICE, "NAME", "md5|sha1|sha224|sha256|sha384|sha512",
           "algorithm of --checksum"},
          {"compression", "compression", OPT_CHOICE, "NAME", "gz|zst", "unpack the file on the way"},
          {"verify-certificates", "verify-certificates", OPT_BOOL, "BOOL", NULL, "whether TLS must be good; yes"}),
     .method = "POST", .path = "/nodes/{node}/storage/{storage}/download-url",
     .help = "Have the node download a file into a storage.",
     .example = "holm storage download local --url https://example.org/a.iso --name a.iso --content iso",
     .flags = CMD_TASK},
    {"storage", "info", ARGS({"URL", "url", ARG_TEXT}),
     OPTS({"verify-certificates", "verify-certificates", OPT_BOOL, "BOOL", NULL, "whether TLS must be good; yes"}),
     .method = "GET", .path = "/nodes/{node}/query-url-metadata", .help = "Ask a web server about a file.",
     .example = "holm storage info https://example.org/a.iso"},
    {"storage", "upload", ARGS({"FILE", NULL, ARG_FILE}),
     OPTS({"storage", NULL, OPT_TEXT, "STORAGE", NULL, "where to; local if not given"},
          {"content", "content", OPT_TEXT, "KIND", NULL, "kind of content; by the file's name if not given"},
          {"name", NULL, OPT_TEXT, "NAME", NULL, "name in the storage; the file's own if not given"},
          {"checksum", "checksum", OPT_TEXT, "HEX", NULL, "refuse the file if its checksum differs"},
          {"checksum-algorithm", "checksum-algorithm", OPT_CHOICE, "NAME", "md5|sha1|sha224|sha256|sha384|sha512",
           "algorithm of --checksum"}),
     .method = "POST", .path = "/nodes/{node}/storage/{storage}/upload",
     .help = "Copy a local file into a storage; after a break the same command goes on where it ended.",
     .example = "holm storage upload debian.iso --storage local", .flags = CMD_TASK, .run = storage_upload_run},

    {"storage", "uploads", ARGS(STORAGE), .method = "GET", .path = "/nodes/{node}/storage/{storage}/uploads",
     .columns = "id,volid,size,received,user,expires", .help = "List the uploads that were not finished.",
     .example = "holm storage uploads local"},
    {"storage", "upload-delete", ARGS(STORAGE, {"ID", "id", ARG_TEXT}), .method = "DELETE",
     .path = "/nodes/{node}/storage/{storage}/uploads/{id}",
     .help = "Give up an upload that was not finished, and what was received of it.",
     .example = "holm storage upload-delete local 5c9d3f1e2a4b60718293a4b5c6d7e8f9 -y", .flags = CMD_ASKS},

    /* image */
    {"image", "list", .method = "GET", .path = "/nodes/{node}/images", .columns = "name,format,source,url",
     .help = "List the cloud images that can be downloaded.", .example = "holm image list"},
    {"image", "get", ARGS({"NAME", "image", ARG_TEXT}),
     OPTS({"storage", "storage", OPT_TEXT, "STORAGE", NULL, "where to; it must hold content import", true}),
     .method = "POST", .path = "/nodes/{node}/images",
     .help = "Download a cloud image into a storage, checked against its maker's checksums.",
     .example = "holm image get debian-12 --storage local", .flags = CMD_TASK},

    /* node */
    {"node", "list", .method = "GET", .path = "/nodes", .columns = "node,status,cpu,maxcpu,mem,maxmem,uptime",
     .help = "List the nodes.", .example = "holm node list"},
    {"node", "status", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/status", .help = "Show the state of a node.",
     .example = "holm node status"},
    {"node", "version", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/version",
     .help = "Show the software version of a node.", .example = "holm node version"},
    {"node", "tasks", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/tasks",
     .columns = "upid,type,id,user,starttime,endtime,status", .help = "List the tasks of a node.",
     .example = "holm node tasks pve1"},
    {"node", "network", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/network",
     .columns = "iface,type,active,autostart,address,netmask,gateway,bridge_ports",
     .help = "List the network interfaces.", .example = "holm node network"},
    {"node", "dns show", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/dns",
     .help = "Show the name servers of a node.", .example = "holm node dns show"},
    {"node", "dns set", ARGS(NODE),
     OPTS({"search", "search", OPT_TEXT, "DOMAIN", NULL, "domain that short names are looked up in", true},
          {"dns1", "dns1", OPT_TEXT, "ADDRESS", NULL, "first name server"},
          {"dns2", "dns2", OPT_TEXT, "ADDRESS", NULL, "second name server"},
          {"dns3", "dns3", OPT_TEXT, "ADDRESS", NULL, "third name server"}),
     .method = "PUT", .path = "/nodes/{node}/dns", .help = "Change the name servers of a node.",
     .example = "holm node dns set --search example.org --dns1 192.0.2.53"},
    {"node", "time show", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/time",
     .help = "Show the time and time zone of a node.", .example = "holm node time show"},
    {"node", "time set", ARGS({"ZONE", "timezone", ARG_TEXT}), .method = "PUT", .path = "/nodes/{node}/time",
     .help = "Change the time zone of a node.", .example = "holm node time set Europe/Vienna"},
    {"node", "hosts show", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/hosts",
     .help = "Show the file /etc/hosts of a node.", .example = "holm node hosts show"},
    {"node", "hosts set", ARGS(NODE),
     OPTS({"digest", "digest", OPT_TEXT, "HEX", NULL, "replace it only if it still has this digest"}), .method = "POST",
     .path = "/nodes/{node}/hosts", .help = "Replace the file /etc/hosts of a node.",
     .example = "holm node hosts set --data-file data=hosts.txt", .flags = CMD_PASSTHROUGH},
    {"node", "report", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/report",
     .help = "Print a text about a node for people who help.", .example = "holm node report"},
    {"node", "syslog", ARGS(NODE),
     OPTS({"start", "start", OPT_INT, "N", NULL, "leave out so many lines"},
          {"limit", "limit", OPT_INT, "N", NULL, "at most so many lines; 50 if not given"},
          {"service", "service", OPT_TEXT, "NAME", NULL, "only lines of this service"},
          {"since", "since", OPT_TEXT, "TIME", NULL, "not before this time: 2026-01-31 or '2026-01-31 12:00'"},
          {"until", "until", OPT_TEXT, "TIME", NULL, "not after this time"}),
     .method = "GET", .path = "/nodes/{node}/syslog", .columns = "n,t", .help = "Show the system log of a node.",
     .example = "holm node syslog --service ssh --since 2026-01-31"},
    {"node", "services", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/services",
     .columns = "service,active-state,state,unit-state,desc", .help = "List the system services of a node.",
     .example = "holm node services"},
    {"node", "disks", ARGS(NODE),
     OPTS({"partitions", "include-partitions", OPT_FLAG, NULL, NULL, "also partitions"},
          {"type", "type", OPT_CHOICE, "KIND", "unused|journal_disks", "only disks of this kind"}),
     .method = "GET", .path = "/nodes/{node}/disks/list", .columns = "devpath,type,size,used,model,serial",
     .help = "List the disks of a node.", .example = "holm node disks --partitions"},
    {"node", "pci", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/hardware/pci",
     .columns = "id,class,vendor,device,iommugroup,vendor_name,device_name", .help = "List the PCI devices of a node.",
     .example = "holm node pci"},
    {"node", "machines", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/capabilities/qemu/machines",
     .columns = "id,type,version", .help = "List the machine versions that guests can have.",
     .example = "holm node machines"},
    {"node", "cpus", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/capabilities/qemu/cpu",
     .columns = "name,vendor", .help = "List the CPU models that guests can have.", .example = "holm node cpus"},
    {"node", "config show", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/config",
     .help = "Show the settings of a node.", .example = "holm node config show"},
    {"node", "config set", ARGS(NODE),
     OPTS({"description", "description", OPT_TEXT, "TEXT", NULL, "notes"},
          {"location", "location", OPT_TEXT, "PLACE", NULL, "latitude=DEGREES,longitude=DEGREES[,name=NAME]"},
          {"startall-onboot-delay", "startall-onboot-delay", OPT_INT, "SECONDS", NULL,
           "wait so long before guests start with the host"},
          {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"}),
     .method = "PUT", .path = "/nodes/{node}/config", .help = "Change the settings of a node.",
     .example = "holm node config set --startall-onboot-delay 30"},
    {"node", "startall", ARGS(NODE),
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"force", "force", OPT_FLAG, NULL, NULL, "also guests that do not start with the host"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once"}),
     .method = "POST", .path = "/nodes/{node}/startall", .help = "Start the guests of a node in their order.",
     .example = "holm node startall", .flags = CMD_TASK},
    {"node", "stopall", ARGS(NODE),
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"force-stop", "force-stop", OPT_BOOL, "BOOL", NULL,
           "end guests that do not shut down in time; yes if not given"},
          {"grace", "timeout", OPT_INT, "SECONDS", NULL, "how long a guest may take; 180 if not given"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once"}),
     .method = "POST", .path = "/nodes/{node}/stopall", .help = "Shut down all guests of a node.",
     .example = "holm node stopall -y", .flags = CMD_TASK | CMD_ASKS},
    {"node", "suspendall", ARGS(NODE),
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once"}),
     .method = "POST", .path = "/nodes/{node}/suspendall", .help = "Pause all running guests of a node.",
     .example = "holm node suspendall", .flags = CMD_TASK},
    {"node", "power", ARGS({"reboot|shutdown", "command", ARG_TEXT}), .method = "POST", .path = "/nodes/{node}/status",
     .help = "Shut down the guests of a node, then reboot it or shut it down.", .example = "holm node power reboot -y",
     .flags = CMD_ASKS},
    {"node", "service state", ARGS({"SERVICE", "service", ARG_TEXT}), .method = "GET",
     .path = "/nodes/{node}/services/{service}/state", .help = "Show the state of a system service.",
     .example = "holm node service state sshd"},
    {"node", "service start", ARGS({"SERVICE", "service", ARG_TEXT}), .method = "POST",
     .path = "/nodes/{node}/services/{service}/start", .help = "Start a system service.",
     .example = "holm node service start chrony", .flags = CMD_TASK},
    {"node", "service stop", ARGS({"SERVICE", "service", ARG_TEXT}), .method = "POST",
     .path = "/nodes/{node}/services/{service}/stop", .help = "Stop a system service.",
     .example = "holm node service stop chrony -y", .flags = CMD_TASK | CMD_ASKS},
    {"node", "service restart", ARGS({"SERVICE", "service", ARG_TEXT}), .method = "POST",
     .path = "/nodes/{node}/services/{service}/restart", .help = "Stop a system service and start it again.",
     .example = "holm node service restart holmd", .flags = CMD_TASK},
    {"node", "service reload", ARGS({"SERVICE", "service", ARG_TEXT}), .method = "POST",
     .path = "/nodes/{node}/services/{service}/reload", .help = "Have a system service read its configuration again.",
     .example = "holm node service reload sshd", .flags = CMD_TASK},
    {"node", "certificate show", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/certificates/info",
     .columns = "filename,subject,notafter,fingerprint,public-key-type", .help = "Show the web server's certificates.",
     .example = "holm node certificate show"},
    {"node", "certificate set", ARGS(NODE),
     OPTS({"force", "force", OPT_FLAG, NULL, NULL, "replace one that was uploaded before"},
          {"restart", "restart", OPT_FLAG, NULL, NULL, "use it at once"}),
     .method = "POST", .path = "/nodes/{node}/certificates/custom", .help = "Have the web server use your certificate.",
     .example = "holm node certificate set --data-file certificates=chain.pem --data-file key=key.pem --restart",
     .flags = CMD_PASSTHROUGH},
    {"node", "certificate delete", ARGS(NODE),
     OPTS({"restart", "restart", OPT_FLAG, NULL, NULL, "use the node's own certificate at once"}), .method = "DELETE",
     .path = "/nodes/{node}/certificates/custom", .help = "Go back to the certificate that the node has made.",
     .example = "holm node certificate delete --restart -y", .flags = CMD_ASKS},
    {"node", "packages", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/apt/versions",
     .columns = "Package,Version,CurrentState,Title", .help = "List the versions of the packages that matter here.",
     .example = "holm node packages"},
    {"node", "usb", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/hardware/usb",
     .columns = "busnum,usbpath,vendid,prodid,manufacturer,product,speed", .help = "List the USB devices of a node.",
     .example = "holm node usb"},
    {"node", "mdev", ARGS({"DEVICE", "pci-id-or-mapping", ARG_TEXT}), .method = "GET",
     .path = "/nodes/{node}/hardware/pci/{pci-id-or-mapping}/mdev", .columns = "type,available,name,description",
     .help = "List the mediated devices that a PCI device offers.", .example = "holm node mdev 0000:01:00.0"},
    {"node", "lvm", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/scan/lvm", .columns = "vg",
     .help = "List the volume groups of a node.", .example = "holm node lvm"},
    {"node", "lvmthin", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/disks/lvmthin",
     .columns = "vg,lv,lv_size,used,metadata_size,metadata_used", .help = "List the thin pools of a node.",
     .example = "holm node lvmthin"},
    {"node", "zfs", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/disks/zfs",
     .columns = "name,size,alloc,free,frag,dedup,health", .help = "List the ZFS pools of a node.",
     .example = "holm node zfs"},
    {"node", "mounts", ARGS(NODE), .method = "GET", .path = "/nodes/{node}/disks/directory",
     .columns = "path,device,type,options,unitfile", .help = "List the folders that are disks of their own.",
     .example = "holm node mounts"},
    {"node", "smart", ARGS({"DISK", "disk", ARG_TEXT}), .method = "GET", .path = "/nodes/{node}/disks/smart",
     .help = "Show what a disk says about its health.", .example = "holm node smart /dev/nvme0n1"},

    /* cluster */
    {"cluster", "options show", .method = "GET", .path = "/cluster/options", .help = "Show the settings of all nodes.",
     .example = "holm cluster options show"},
    {"cluster", "options set",
     OPTS({"console", "console", OPT_CHOICE, "NAME", "applet|vv|html5|xtermjs", "console that clients open"},
          {"description", "description", OPT_TEXT, "TEXT", NULL, "notes"},
          {"keyboard", "keyboard", OPT_TEXT, "LAYOUT", NULL, "keyboard layout that clients assume"},
          {"language", "language", OPT_TEXT, "CODE", NULL, "language that clients show"},
          {"max-workers", "max_workers", OPT_INT, "N", NULL, "how many guests are shut down at once"},
          {"next-id", "next-id", OPT_TEXT, "RANGE", NULL, "where free numbers are looked for: lower=N,upper=N"},
          {"registered-tags", "registered-tags", OPT_TEXT, "A;B", NULL, "tags with a meaning"},
          {"tag-style", "tag-style", OPT_TEXT, "STYLE", NULL, "how clients show tags"},
          {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"}),
     .method = "PUT", .path = "/cluster/options", .help = "Change the settings of all nodes.",
     .example = "holm cluster options set --next-id lower=1000,upper=2000"},

    {"cluster", "start",
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once; 4 if not given"}),
     .method = "POST", .path = "/cluster/bulk-action/guest/start", .help = "Start many guests in their order.",
     .example = "holm cluster start --vms 100,101", .flags = CMD_TASK},
    {"cluster", "shutdown",
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"force-stop", "force-stop", OPT_BOOL, "BOOL", NULL,
           "end guests that do not shut down in time; yes if not given"},
          {"grace", "timeout", OPT_INT, "SECONDS", NULL, "how long a guest may take; 180 if not given"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once; 4 if not given"}),
     .method = "POST", .path = "/cluster/bulk-action/guest/shutdown", .help = "Shut many guests down.",
     .example = "holm cluster shutdown --vms 100,101 -y", .flags = CMD_TASK | CMD_ASKS},
    {"cluster", "suspend",
     OPTS({"vms", "vms", OPT_TEXT, "A,B", NULL, "only these guests"},
          {"max-workers", "max-workers", OPT_INT, "N", NULL, "at most so many at once; 4 if not given"}),
     .method = "POST", .path = "/cluster/bulk-action/guest/suspend", .help = "Pause many guests.",
     .example = "holm cluster suspend --vms 100,101", .flags = CMD_TASK},
    {"cluster", "schedule", ARGS({"EVENT", "schedule", ARG_TEXT}),
     OPTS({"iterations", "iterations", OPT_INT, "N", NULL, "how many times; 10 if not given"},
          {"starttime", "starttime", OPT_INT, "SECONDS", NULL, "after this time, in seconds since 1970"}),
     .method = "GET", .path = "/cluster/jobs/schedule-analyze", .columns = "timestamp,utc",
     .help = "Show when a calendar event takes place next.", .example = "holm cluster schedule 'mon..fri 22:30'"},
    {"cluster", "cpu-model list", .method = "GET", .path = CPU_MODELS,
     .columns = "cputype,reported-model,flags,hidden,phys-bits", .help = "List the CPU models that were made here.",
     .example = "holm cluster cpu-model list"},
    {"cluster", "cpu-model show", ARGS({"MODEL", "cputype", ARG_TEXT}), .method = "GET",
     .path = CPU_MODELS "/{cputype}", .help = "Show a CPU model.", .example = "holm cluster cpu-model show web"},
    {"cluster", "cpu-model create", ARGS({"MODEL", "cputype", ARG_TEXT}), OPTS(CPU_MODEL_OPTS), .method = "POST",
     .path = CPU_MODELS, .help = "Make a CPU model; guests have it by cpu=custom-MODEL.",
     .example = "holm cluster cpu-model create web --reported-model EPYC --flags '+aes;-pcid'"},
    {"cluster", "cpu-model set", ARGS({"MODEL", "cputype", ARG_TEXT}),
     OPTS(CPU_MODEL_OPTS, {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"}),
     .method = "PUT", .path = CPU_MODELS "/{cputype}", .help = "Change a CPU model, for guests that start later.",
     .example = "holm cluster cpu-model set web --phys-bits host"},
    {"cluster", "cpu-model delete", ARGS({"MODEL", "cputype", ARG_TEXT}), .method = "DELETE",
     .path = CPU_MODELS "/{cputype}", .help = "Remove a CPU model.", .example = "holm cluster cpu-model delete web -y",
     .flags = CMD_ASKS},

    /* net */
    {"net", "list", .method = "GET", .path = NETWORK, .columns = "iface,type,active,cidr,bridge_ports,pending",
     .help = "List the interfaces of the host and the changes that wait to be applied.", .example = "holm net list"},
    {"net", "show", ARGS(IFACE), .method = "GET", .path = NETWORK "/{iface}",
     .help = "Show the configuration of an interface.", .example = "holm net show vmbr0"},
    {"net", "status", .method = "GET", .path = "/nodes/{node}/netstat", .columns = "vmid,dev,in,out",
     .help = "List the guests' interfaces on bridges, and what they received and sent.", .example = "holm net status"},
    {"net", "leases", .method = "GET", .path = "/nodes/{node}/dhcp-leases", .columns = "iface,address,mac,name,expire",
     .help = "List the addresses that guests have by DHCP.", .example = "holm net leases"},
    {"net", "init", ARGS({"BRIDGE", NULL, ARG_TEXT, true}),
     OPTS({"subnet", NULL, OPT_TEXT, "NETWORK/BITS", NULL, "private network of the guests; 10.87.0.0/24 if not given"},
          {"no-nat", NULL, OPT_FLAG, NULL, NULL, "guests reach only each other and the host"},
          {"no-dhcp", NULL, OPT_FLAG, NULL, NULL, "guests get no addresses"}),
     .help = "Make a bridge for guests, vmbr0 if not named, with NAT and DHCP, and apply it at once.",
     .example = "holm net init vmbr0 --subnet 10.87.0.0/24", .run = net_init_run},
    {"net", "remove", ARGS(IFACE), .help = "Remove an interface that Holm made, and apply it at once.",
     .example = "holm net remove vmbr0 -y", .flags = CMD_ASKS, .run = net_remove_run},
    {"net", "create", ARGS(IFACE), OPTS(NET_OPTS), .method = "POST", .path = NETWORK,
     .help = "Plan a new interface; holm net apply makes it.",
     .example = "holm net create vmbr1 --type bridge --cidr 10.1.0.1/24"},
    {"net", "set", ARGS(IFACE),
     OPTS(NET_OPTS, {"delete", "delete", OPT_TEXT, "KEYS", NULL, "settings to remove, with commas"}), .method = "PUT",
     .path = NETWORK "/{iface}", .help = "Plan a change of an interface.",
     .example = "holm net set vmbr1 --type bridge --mtu 9000"},
    {"net", "delete", ARGS(IFACE), .method = "DELETE", .path = NETWORK "/{iface}",
     .help = "Plan to remove an interface.", .example = "holm net delete vmbr1 -y", .flags = CMD_ASKS},
    {"net", "apply", .method = "PUT", .path = NETWORK, .help = "Apply the planned changes, all or none of them.",
     .example = "holm net apply", .flags = CMD_TASK},
    {"net", "revert", .method = "DELETE", .path = NETWORK, .help = "Drop the planned changes.",
     .example = "holm net revert -y", .flags = CMD_ASKS},

    /* audit */
    {"audit", "list",
     OPTS({"since", "since", OPT_INT, "SECONDS", NULL, "not before this time, seconds since 1970"},
          {"until", "until", OPT_INT, "SECONDS", NULL, "not after this time, seconds since 1970"},
          {"user", "user", OPT_TEXT, "USER", NULL, "only what this user or its tokens did or tried"},
          {"start", "start", OPT_INT, "N", NULL, "leave out so many of the newest"},
          {"limit", "limit", OPT_INT, "N", NULL, "at most so many, up to 1000; 50 if not given"}),
     .method = "GET", .path = "/cluster/audit", .columns = "seq,time,event,user,from,method,path,status,error,upid",
     .help = "List who changed what, newest first.", .example = "holm audit list --user admin@pve --limit 20"},
    {"audit", "verify",
     OPTS({"dir", NULL, OPT_TEXT, "DIR", NULL, "read the files in this folder instead of asking the daemon"}),
     .method = "GET", .path = "/cluster/audit/verify",
     .help = "Check that no record of the audit log was changed or taken out.",
     .example = "holm audit verify --dir /var/lib/holm/audit", .run = audit_verify_run},

    /* events */
    {"events", "",
     OPTS({"kind", NULL, OPT_CHOICES, "A,B", "guest|node|storage|task", "only changes of these"},
          {"metrics", "metrics", OPT_FLAG, NULL, NULL,
           "also what is used of processors, memory and so on, every two seconds"},
          {"cursor", "cursor", OPT_TEXT, "CURSOR", NULL, "go on from the last ping of an earlier run with -o json"}),
     .method = "GET", .path = "/cluster/events", .help = "Follow what changes, one line a change, up to Ctrl-C.",
     .example = "holm events --kind guest,task", .run = events_run},

    /* the rest */
    {"api", "", ARGS({"METHOD", NULL, ARG_TEXT}, {"PATH", NULL, ARG_TEXT}),
     .help = "Make one call of the API and print what it answers.",
     .example = "holm api GET /nodes/pve1/qemu -d full=1", .flags = CMD_PASSTHROUGH | CMD_DRY_RUN, .run = api_run},
    {"state", "dump", ARGS({"FILE", NULL, ARG_FILE, true}),
     .help = "Write the whole configuration as JSON to a new file or standard output.",
     .example = "holm state dump backup.json", .flags = CMD_LOCAL | CMD_ROOT, .run = state_dump_run},
    {"state", "load", ARGS({"FILE", NULL, ARG_FILE}),
     .help = "Replace the whole configuration by a dump; Holm must be stopped.",
     .example = "holm state load backup.json -y", .flags = CMD_LOCAL | CMD_ROOT | CMD_ASKS, .run = state_load_run},
    {"completion", "bash", .help = "Print the completion of this program for bash.",
     .example = "holm completion bash > /etc/bash_completion.d/holm", .flags = CMD_LOCAL, .run = completion_run},
    {"completion", "zsh", .help = "Print the completion of this program for zsh.",
     .example = "holm completion zsh > /usr/local/share/zsh/site-functions/_holm", .flags = CMD_LOCAL,
     .run = completion_run},
    {"completion", "words", ARGS({"WORD", NULL, ARG_WORDS, true}),
     .help = "Print what may stand as the last of the words; the shells' completions ask this.",
     .example = "holm completion words -- vm st", .flags = CMD_LOCAL, .run = completion_run},
    {"version", "", .method = "GET", .path = "/version",
     .help = "Show the version of this program and of the running Holm.", .example = "holm version",
     .run = version_run},
    {"help", "", ARGS({"NOUN", NULL, ARG_TEXT, true}, {"VERB", NULL, ARG_TEXT, true}, {"WORD", NULL, ARG_TEXT, true}),
     .help = "Explain the commands.", .example = "holm help vm create", .flags = CMD_LOCAL, .run = help_run},
};
const size_t command_count = ARRAY_SIZE(command_table);

const struct cli_noun noun_table[] = {
    {"vm", "virtual machines"},
    {"task", "what runs and has run"},
    {"user", "users and their API tokens"},
    {"token", "API tokens: what programs log in with"},
    {"tfa", "second factors of the login"},
    {"acl", "who may do what where"},
    {"role", "sets of privileges"},
    {"group", "users with common permissions"},
    {"realm", "where users come from"},
    {"pool", "groups of guests and storages"},
    {"storage", "storages and what is in them"},
    {"image", "cloud images that can be downloaded"},
    {"node", "the hosts"},
    {"cluster", "settings of all hosts"},
    {"net", "bridges and other interfaces"},
    {"audit", "who changed what"},
    {"events", "what changes, as it changes"},
    {"api", "any call of the API"},
    {"state", "the whole configuration of a stopped Holm"},
    {"completion", "completion of command lines in a shell"},
    {"version", "versions"},
    {"help", "this help"},
};
const size_t noun_count = ARRAY_SIZE(noun_table);

const struct cli_opt global_opts[] = {
    {"root", NULL, OPT_TEXT, "DIR", NULL, "folder of the Holm to talk to; HOLM_ROOT or /var/lib/holm if not given"},
    {"node", NULL, OPT_TEXT, "NODE", NULL, "act on this node; the one that answers if not given"},
    {"output", NULL, OPT_CHOICE, "FORMAT", "table|json|ndjson|csv|name", "how to print (-o)"},
    {"columns", NULL, OPT_TEXT, "A,B", NULL, "which columns, for table and csv (-c)"},
    {"quiet", NULL, OPT_FLAG, NULL, NULL, "no progress, no table header (-q)"},
    {"dry-run", NULL, OPT_FLAG, NULL, NULL, "show what would be done"},
    {"no-wait", NULL, OPT_FLAG, NULL, NULL, "print the task's UPID instead of following it"},
    {"timeout", NULL, OPT_INT, "SECONDS", NULL, "give up waiting after so long"},
    {"yes", NULL, OPT_FLAG, NULL, NULL, "do not ask (-y)"},
    {"no-color", NULL, OPT_FLAG, NULL, NULL, "no colours"},
    {"help", NULL, OPT_FLAG, NULL, NULL, "explain the command (-h)"},
    {"version", NULL, OPT_FLAG, NULL, NULL, "print the version of this program"},
    {NULL},
};

const struct cli_noun *noun_find(const char *name)
{
    for (size_t i = 0; i < noun_count; i++)
        if (streq(noun_table[i].name, name))
            return &noun_table[i];
    return NULL;
}

const struct cli_command *command_find(const char *noun, const char *verb)
{
    for (size_t i = 0; i < command_count; i++)
        if (streq(command_table[i].noun, noun) && streq(command_table[i].verb, verb))
            return &command_table[i];
    return NULL;
}

bool command_verb_is_prefix(const char *noun, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i < command_count; i++)
        if (streq(command_table[i].noun, noun) && str_starts(command_table[i].verb, word) &&
            command_table[i].verb[n] == ' ')
            return true;
    return false;
}

const struct cli_opt *opt_find(const struct cli_opt *opts, const char *name)
{
    for (; opts && opts->name; opts++)
        if (streq(opts->name, name))
            return opts;
    return NULL;
}
