// Disks of a node and what lies on them: all for looking.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can } from '../core/perms.ts';
import { place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { Check } from '../parts/field.tsx';
import { NodeVolumes } from './node-volumes.tsx';
import { SmartDialog } from './node-smart.tsx';

interface Disk { devpath: string; size: number; type?: string; model?: string; vendor?: string; serial?: string; health?: string; used?: string; mounted?: number; rpm?: number; gpt?: number; parent?: string; wwn?: string }

const HEALTHY = ['PASSED', 'OK'], UNKNOWN = ['UNKNOWN', ''];

export function Health({ health }: { health: string }) {
  return UNKNOWN.includes(health) ? <span class="quiet">{t('state.unknown')}</span> : <span class="row health"><State state={HEALTHY.includes(health) ? 'ok' : 'failed'} isBare />{health}</span>;
}

const kind = (d: Disk): string => [d.type?.toUpperCase(), d.rpm !== undefined && d.rpm > 0 ? `${d.rpm} rpm` : ''].filter(Boolean).join(', ');

function columnsOf(maySmart: boolean): PlainColumn<Disk>[] {
  return [
    { id: 'dev', title: 'node.disk.device', cell: (d) => <span class={d.parent ? 'child' : undefined}>{d.devpath}</span> },
    { id: 'model', title: 'node.disk.model', yields: 1, cell: (d) => <span class="lines"><span>{[d.vendor, d.model].filter((x) => x && x !== 'unknown').join(' ') || '–'}</span>{d.serial && d.serial !== 'unknown' && <span class="quiet">{d.serial}</span>}</span> },
    { id: 'type', title: 'node.net.type', yields: 2, cell: kind },
    { id: 'size', title: 'node.disk.size', isEnd: true, cell: (d) => bytes(d.size) },
    { id: 'used', title: 'node.disk.used', cell: (d) => d.used || <span class="quiet">{t('node.disk.unused')}</span> },
    { id: 'health', title: 'node.disk.health', yields: 1, cell: (d) => <Health health={d.health ?? ''} /> },
    ...(maySmart ? [{ id: 'tools', title: 'more', isTools: true, cell: (d: Disk) => !d.parent && <Button tone="ghost" icon="log" label={t('node.disk.smartOf', { name: d.devpath })} onClick={() => setQuery({ disk: d.devpath }, { push: true })} /> } satisfies PlainColumn<Disk>] : []),
  ];
}

export default function NodeDisks({ node }: { node: string }) {
  const [hasParts, setParts] = useState(false);
  const path = nodePath(node);
  const list = useLoad(`${path} ${hasParts}`, '', () => get<Disk[]>(`${path}/disks/list`, { 'include-partitions': hasParts || undefined }));
  const maySmart = can('/', 'Sys.Audit');
  const disk = place.value.query.get('disk');
  return (
    <div class="stack">
      <Panel title={t('node.tab.disks')} tools={<><Check label={t('node.disk.partitions')} value={hasParts} onChange={setParts} /><Button tone="ghost" icon="reload" label={t('node.again')} onClick={list.reload} /></>}>
        <Loading of={list}>{(all) => <PlainTable label={t('node.tab.disks')} columns={columnsOf(maySmart)} rows={all} idOf={(d) => d.devpath} empty={t('node.disk.none')} />}</Loading>
      </Panel>
      {maySmart && <NodeVolumes node={node} />}
      {disk && maySmart && <SmartDialog node={node} disk={disk} onClose={() => setQuery({ disk: null })} />}
    </div>
  );
}
