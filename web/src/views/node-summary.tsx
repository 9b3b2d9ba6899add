// A node at a glance: what it is, what of it is in use now and over time.
import { useEffect } from 'preact/hooks';
import { get } from '../core/api.ts';
import { bytes, dateTime, duration, percent } from '../core/format.ts';
import { language, t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { href } from '../core/router.ts';
import { store } from '../core/store.ts';
import { Charts, type ChartDef } from '../parts/charts.tsx';
import { Icon } from '../parts/icon.tsx';
import { Loading } from '../parts/loading.tsx';
import { Facts, Meter, Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { recentTasks, TaskList } from './task-list.tsx';

interface Use { total: number; used: number }
interface Status {
  cpu: number; wait?: number; uptime?: number; memory: Use & { available: number }; swap?: Use; rootfs: Use & { avail: number }; loadavg: string[]; pveversion: string; kversion?: string;
  cpuinfo: { model: string; cpus: number; sockets: number; cores: number; mhz?: string }; 'current-kernel': { sysname: string; release: string; machine: string }; 'boot-info'?: { mode: string; secureboot?: number };
}
export interface Certificate { filename?: string; fingerprint?: string; subject?: string; issuer?: string; notbefore?: number; notafter?: number; san?: string[]; 'public-key-type'?: string; 'public-key-bits'?: number; pem?: string }

const RELOAD_MS = 10_000;
export const EXPIRES_SOON_S = 30 * 86400;

const charts = (): ChartDef[] => [
  { title: t('guest.cpu'), unit: 'percent', max: 1, lines: [{ field: 'cpu', label: t('node.chart.used') }, { field: 'iowait', label: t('node.chart.iowait') }] },
  { title: t('node.load'), unit: 'number', lines: [{ field: 'loadavg', label: t('node.load') }, { field: 'maxcpu', label: t('node.chart.cpus') }] },
  { title: t('guest.memory'), unit: 'bytes', lines: [{ field: 'memused', label: t('node.chart.used') }, { field: 'memtotal', label: t('node.chart.total') }] },
  { title: t('node.tab.network'), unit: 'bytes/s', lines: [{ field: 'netin', label: t('node.chart.in') }, { field: 'netout', label: t('node.chart.out') }] },
  { title: t('node.rootfs'), unit: 'bytes', lines: [{ field: 'rootused', label: t('node.chart.used') }, { field: 'roottotal', label: t('node.chart.total') }] },
  { title: t('node.swap'), unit: 'bytes', lines: [{ field: 'swapused', label: t('node.chart.used') }, { field: 'swaptotal', label: t('node.chart.total') }] },
];

function InUse({ s }: { s: Status }) {
  const meter = (name: string, u: Use) => <div class="use">{name}<Meter value={u.used} max={u.total} label={name} text={t('of', { part: bytes(u.used), all: bytes(u.total) })} /></div>;
  return (
    <Panel title={t('guest.use')}>
      <div class="uses node-uses">
        <div class="use">{t('guest.cpu')}<Meter value={s.cpu} max={1} label={t('guest.cpu')} text={`${percent(s.cpu)} · ${t('guest.cpus', { n: s.cpuinfo.cpus })}`} /></div>
        <div class="use">{t('node.chart.iowait')}<Meter value={s.wait ?? 0} max={1} label={t('node.chart.iowait')} text={percent(s.wait ?? 0)} /></div>
        {meter(t('guest.memory'), s.memory)}
        {s.swap && s.swap.total > 0 && meter(t('node.swap'), s.swap)}
        {meter(t('node.rootfs'), s.rootfs)}
      </div>
      <Facts facts={[[t('node.load'), <span class="num" title={t('node.loadHelp')}>{s.loadavg.join('  ')}</span>], [t('guest.uptime'), s.uptime ? duration(s.uptime) : '–']]} />
    </Panel>
  );
}

function About({ s }: { s: Status }) {
  const { model, sockets, cores, cpus, mhz } = s.cpuinfo;
  const boot = s['boot-info'];
  return (
    <Panel title={t('guest.about')}>
      <Facts facts={[
        [t('node.cpuModel'), model],
        [t('node.cpuCount'), t('node.cpuCountOf', { sockets, cores, cpus })],
        ...(mhz ? [[t('node.mhz'), <span class="num">{`${new Intl.NumberFormat(language.value, { maximumFractionDigits: 0 }).format(Number(mhz))} MHz`}</span>] as const] : []),
        [t('node.kernel'), `${s['current-kernel'].sysname} ${s['current-kernel'].release}`], [t('node.machine'), s['current-kernel'].machine],
        [t('node.version'), s.pveversion],
        ...(boot ? [[t('node.boot'), boot.mode === 'efi' ? `UEFI${boot.secureboot ? `, ${t('node.secureBoot')}` : ''}` : 'BIOS'] as const] : []),
      ]} />
    </Panel>
  );
}

/** Certificates that browsers will refuse soon are told where one looks first. */
function Expiring({ node }: { node: string }) {
  const { value } = useLoad(`certificates ${node}`, '', () => get<Certificate[]>(`${nodePath(node)}/certificates/info`));
  const soon = (value ?? []).filter((c) => c.notafter !== undefined && c.notafter < now.value + EXPIRES_SOON_S);
  return <>{soon.map((c) => (
    <p key={c.filename} class="notice row"><Icon name="warn" /><span class="grow">{t((c.notafter ?? 0) < now.value ? 'node.cert.isOver' : 'node.cert.endsSoon', { name: c.filename ?? '', when: dateTime(c.notafter ?? 0) })}</span><a href={href('nodes', node, 'system')}>{t('node.cert.title')}</a></p>
  ))}</>;
}

function Audited({ node }: { node: string }) {
  const path = nodePath(node);
  const status = useLoad(path, '', () => get<Status>(`${path}/status`));
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) status.reload(); }, RELOAD_MS);
    return () => clearInterval(timer);
  }, [status.reload]);
  return (
    <>
      <Loading of={status}>{(s) => <div class="board"><InUse s={s} /><About s={s} /></div>}</Loading>
      <Charts path={path} charts={charts()} />
    </>
  );
}

export function NodeSummary({ node }: { node: string }) {
  const n = store.tables.node.row(`node/${node}`)?.value;
  return (
    <div class="stack">
      <Expiring node={node} />
      {canNode(node, 'Sys.Audit') ? <Audited node={node} />
        : <Panel title={t('guest.about')}><Facts facts={[[t('guest.uptime'), n?.uptime ? duration(n.uptime) : '–'], [t('node.chart.cpus'), n?.maxcpu ?? '–'], [t('guest.memory'), n?.maxmem ? bytes(n.maxmem) : '–']]} /></Panel>}
      <Panel title={t('dashboard.recent')} tools={<a href={href('nodes', node, 'tasks')}>{t('dashboard.allTasks')}</a>}><TaskList tasks={recentTasks((x) => x.node === node).slice(0, 6)} /></Panel>
    </div>
  );
}
