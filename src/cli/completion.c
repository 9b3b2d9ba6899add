/* holm completion bash|zsh: prints a shell function that asks `holm completion words` at each press of the tab key, so
 * that what it offers is always the command table of the very program. */
#include "cli/complete_priv.h"
#include "cli/output_priv.h"

static const char bash_script[] =
    "# Completion of holm for bash: source <(holm completion bash)\n"
    "_holm() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} prefix reply\n"
    "    local -a given\n"
    "    read -ra given <<<\"$line\"\n"
    "    [[ $line == *[[:blank:]] ]] && given+=('')\n"
    "    # Bash replaces only what comes after the last '=' or ':', or from the last '@' on.\n"
    "    local word=${given[${#given[@]} - 1]} tail\n"
    "    tail=$word\n"
    "    [[ $COMP_WORDBREAKS == *=* ]] && tail=${tail##*=}\n"
    "    [[ $COMP_WORDBREAKS == *:* ]] && tail=${tail##*:}\n"
    "    [[ $COMP_WORDBREAKS == *@* && $tail == *@* ]] && tail=@${tail##*@}\n"
    "    prefix=${word%\"$tail\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS= read -r reply; do\n"
    "        if [[ $reply == $'\\tfiles' ]]; then\n"
    "            compopt -o default\n"
    "        else\n"
    "            reply=${reply%%$'\\t'*}\n"
    "            COMPREPLY+=(\"${reply#\"$prefix\"}\")\n"
    "        fi\n"
    "    done < <(\"$1\" completion words -- \"${given[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _holm holm\n";

static const char zsh_script[] =
    "#compdef holm\n"
    "# Completion of holm for zsh: source <(holm completion zsh), or a file _holm in a folder of fpath.\n"
    "_holm() {\n"
    "    local reply\n"
    "    local -a given=(\"${(@Q)words[2,CURRENT]}\") offered=()\n"
    "    for reply in \"${(@f)$(${(Q)words[1]} completion words -- \"${(@)given}\" 2>/dev/null)}\"; do\n"
    "        if [[ $reply == $'\\tfiles' ]]; then\n"
    "            _files\n"
    "        elif [[ -n $reply ]]; then\n"
    "            offered+=(\"${${reply%%$'\\t'*}//:/\\\\:}:${reply#*$'\\t'}\")\n"
    "        fi\n"
    "    done\n"
    "    (( $#offered )) && _describe holm offered\n"
    "}\n"
    "if [[ $funcstack[1] == _holm ]]; then\n"
    "    _holm \"$@\"\n"
    "else\n"
    "    compdef _holm holm\n"
    "fi\n";

int completion_run(struct cli *c, const struct cli_command *cmd, struct cli_args *a, struct err *e)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    if (streq(cmd->verb, "words"))
        complete_words(c, a->pos, a->n_pos, &out);
    else
        buf_append_str(&out, streq(cmd->verb, "zsh") ? zsh_script : bash_script);
    return output_flush(&out, e);
}
