// Addresses that DHCP has given away, and what went through the interfaces of guests.
import { get } from '../core/api.ts';
import { ago, bytes, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { store } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';

interface Lease { iface: string; address: string; mac: string; name: string; expire: number }
interface Counter { vmid: string; dev: string; in: string; out: string }

const LEASES: readonly PlainColumn<Lease>[] = [
  { id: 'address', title: 'node.net.address', cell: (l) => <span class="num">{l.address}</span> },
  { id: 'name', title: 'guest.name', cell: (l) => l.name || '–' },
  { id: 'mac', title: 'node.net.mac', yields: 1, cell: (l) => <code>{l.mac}</code> },
  { id: 'iface', title: 'node.net.bridge', yields: 1, cell: (l) => l.iface },
  { id: 'expire', title: 'node.net.expires', isEnd: true, cell: (l) => (l.expire ? <span title={dateTime(l.expire)}>{l.expire > now.value ? dateTime(l.expire) : ago(l.expire, now.value)}</span> : t('node.net.never')) },
];

const nameOf = (vmid: string): string => store.tables.guest.row(vmid)?.value.name ?? '';

const COUNTERS: readonly PlainColumn<Counter>[] = [
  { id: 'guest', title: 'node.task.guest', cell: (c) => <a href={`/guests/${c.vmid}`}>{nameOf(c.vmid)} <span class="quiet num">{c.vmid}</span></a> },
  { id: 'dev', title: 'node.net.device', yields: 1, cell: (c) => c.dev },
  { id: 'in', title: 'node.chart.in', isEnd: true, cell: (c) => bytes(Number(c.in)) },
  { id: 'out', title: 'node.chart.out', isEnd: true, cell: (c) => bytes(Number(c.out)) },
];

export function NetworkUse({ node }: { node: string }) {
  const path = nodePath(node);
  const isAuditor = canNode(node, 'Sys.Audit');
  const leases = useLoad(`leases ${node}`, '', () => (isAuditor ? get<Lease[]>(`${path}/dhcp-leases`) : Promise.resolve([])));
  const counters = useLoad(`netstat ${node}`, '', () => (isAuditor ? get<Counter[]>(`${path}/netstat`) : Promise.resolve([])));
  if (!isAuditor)
    return null;
  const again = (reload: () => void) => <Button tone="ghost" icon="reload" label={t('node.again')} onClick={reload} />;
  return (
    <div class="board">
      <Panel title={t('node.net.leases')} tools={again(leases.reload)}><Loading of={leases}>{(list) => <PlainTable label={t('node.net.leases')} columns={LEASES} rows={list} idOf={(l) => `${l.iface} ${l.address}`} empty={t('node.net.noLeases')} />}</Loading></Panel>
      <Panel title={t('node.net.counters')} tools={again(counters.reload)}><Loading of={counters}>{(list) => <PlainTable label={t('node.net.counters')} columns={COUNTERS} rows={list} idOf={(c) => `${c.vmid} ${c.dev}`} empty={t('node.net.noCounters')} />}</Loading></Panel>
    </div>
  );
}
