// The cluster's log, as clients of Proxmox VE know it: everybody sees his own events, all with Sys.Syslog.
import { get } from '../core/api.ts';
import { ago, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { can } from '../core/perms.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { Table, type Column } from '../parts/table.tsx';
import { useRows } from '../parts/table-rows.ts';
import { useLoad } from '../parts/use.ts';

interface Line { uid: number; time: number; node: string; user: string; msg: string; pri: number; tag: string }

const MAX = 500;
const ERROR = 3; // syslog's severity
const RELOAD_S = 15;

const COLUMNS: readonly Column<Line>[] = [
  { id: 'time', title: 'audit.time', width: '9rem', cell: (l) => <time class="num" title={dateTime(l.time)}>{ago(l.time, now.value)}</time>, sort: (l) => l.uid },
  { id: 'pri', title: 'audit.result', width: '7rem', yields: 1, cell: (l) => <State state={l.pri <= ERROR ? 'failed' : 'ok'} />, sort: (l) => l.pri },
  { id: 'user', title: 'audit.who', width: '10rem', yields: 1, cell: (l) => l.user, sort: (l) => l.user },
  { id: 'node', title: 'guest.node', width: '7rem', yields: 1, cell: (l) => l.node, sort: (l) => l.node },
  { id: 'msg', title: 'audit.message', cell: (l) => <span title={l.msg}>{l.msg}</span>, sort: (l) => l.msg },
];

export function ClusterLog() {
  const { value, error, reload } = useLoad('log', String(Math.floor(now.value / RELOAD_S)), () => get<Line[]>('/cluster/log', { max: MAX }));
  const rows = useRows(value ?? [], (l) => String(l.uid));
  if (!value)
    return <Waiting error={error} onRetry={reload} />;
  return (
    <>
      {!can('/', 'Sys.Syslog') && <p class="quiet">{t('audit.log.own')}</p>}
      {rows.length ? <Table name="log" label={t('audit.log')} columns={COLUMNS} rows={rows} idOf={(l) => String(l.uid)} titleOf={(l) => l.msg} firstSort="time" isFirstDown />
        : <Empty icon="log" title={t('audit.none')} />}
    </>
  );
}
