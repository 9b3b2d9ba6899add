// What a disk says about its health: a table for those that number it, a text for the others.
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { Dialog } from '../parts/dialog.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { useLoad } from '../parts/use.ts';
import { Health } from './node-disks.tsx';

interface Attribute { id: string; name: string; value: number; worst: number; threshold: number; raw: string; fail: string }
interface Smart { health: string; type?: string; text?: string; attributes?: Attribute[] }

const COLUMNS: readonly PlainColumn<Attribute>[] = [
  { id: 'id', title: 'guest.id', yields: 1, cell: (a) => <span class="num">{a.id.trim()}</span> },
  { id: 'name', title: 'guest.name', cell: (a) => a.name.replaceAll('_', ' ') },
  { id: 'value', title: 'node.disk.value', isEnd: true, cell: (a) => a.value },
  { id: 'worst', title: 'node.disk.worst', isEnd: true, yields: 1, cell: (a) => a.worst },
  { id: 'threshold', title: 'node.disk.threshold', isEnd: true, yields: 1, cell: (a) => a.threshold },
  { id: 'raw', title: 'node.disk.raw', isEnd: true, cell: (a) => a.raw },
];

export function SmartDialog({ node, disk, onClose }: { node: string; disk: string; onClose: () => void }) {
  const path = `${nodePath(node)}/disks/smart`;
  const smart = useLoad(`${path} ${disk}`, '', () => get<Smart>(path, { disk }));
  return (
    <Dialog title={`SMART: ${disk}`} onClose={onClose} isWide>
      <Loading of={smart}>{(s) => (
        <div class="stack">
          <p class="row"><span>{t('node.disk.health')}:</span><Health health={s.health} /></p>
          {s.attributes && <PlainTable label="SMART" columns={COLUMNS} rows={s.attributes} idOf={(a) => a.id} toneOf={(a) => (a.fail !== '-' ? 'bad-text' : undefined)} empty={t('node.disk.noSmart')} />}
          {s.text && <pre class="code" tabIndex={0} aria-label="SMART">{s.text}</pre>}
        </div>
      )}</Loading>
    </Dialog>
  );
}
