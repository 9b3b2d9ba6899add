// The nodes and what of each is in use. Where there is one only, it is shown at once.
import { useEffect } from 'preact/hooks';
import { bytes, duration, percent } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import { go, href, type PathParams } from '../core/router.ts';
import { store, type Node } from '../core/store.ts';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Meter } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { Table, type Column } from '../parts/table.tsx';

const guestsOn = (node: string): number => store.tables.guest.all().filter((g) => g.value.node === node && g.value.status === 'running').length;

const COLUMNS: readonly Column<Node>[] = [
  { id: 'node', title: 'guest.name', sort: (n) => n.node,
    cell: (n) => <span class="name-cell"><span class="phone-only"><State state={n.status} isBare /></span><a href={href('nodes', n.node)} class="ellipsis">{n.node}</a></span> },
  { id: 'status', title: 'guest.status', width: '8rem', yields: 1, sort: (n) => n.status, cell: (n) => <State state={n.status} /> },
  { id: 'cpu', title: 'guest.cpu', width: '10rem', yields: 1, sort: (n) => n.cpu, cell: (n) => <Meter value={n.cpu ?? 0} max={1} label={t('guest.cpu')} text={percent(n.cpu ?? 0)} /> },
  { id: 'mem', title: 'guest.memory', width: '12rem', sort: (n) => n.mem, cell: (n) => <Meter value={n.mem ?? 0} max={n.maxmem ?? 0} label={t('guest.memory')} text={bytes(n.mem ?? 0)} /> },
  { id: 'disk', title: 'node.rootfs', width: '12rem', yields: 2, sort: (n) => n.disk, cell: (n) => <Meter value={n.disk ?? 0} max={n.maxdisk ?? 0} label={t('node.rootfs')} text={bytes(n.disk ?? 0)} /> },
  { id: 'guests', title: 'node.guestsRunning', width: '9rem', isEnd: true, yields: 2, sort: (n) => guestsOn(n.node), cell: (n) => guestsOn(n.node) },
  { id: 'uptime', title: 'guest.uptime', width: '8rem', isEnd: true, yields: 2, sort: (n) => n.uptime, cell: (n) => (n.uptime ? duration(n.uptime) : '') },
];

export default function Nodes(_p: { params: PathParams }) {
  const rows = store.tables.node.all();
  const only = rows.length === 1 ? rows[0]?.value.node : undefined;
  useEffect(() => {
    if (only !== undefined && hasLoaded.value)
      go(href('nodes', only), { replace: true });
  }, [only, hasLoaded.value]);
  if (!hasLoaded.value || only !== undefined)
    return <Waiting />;
  return (
    <div class="view full">
      <header class="view-head"><h1>{t('nav.nodes')}</h1></header>
      {rows.length ? <Table name="nodes" label={t('nav.nodes')} columns={COLUMNS} rows={rows} idOf={(n) => n.node} titleOf={(n) => n.node} firstSort="node" onOpen={(n) => go(href('nodes', n.node))} />
        : <Empty icon="node" title={t('node.none')} />}
    </div>
  );
}
