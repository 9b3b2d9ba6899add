// Backups, and what the storage's rule would do with each. There is one rule yet: all are kept.
import { dateTime } from '../core/format.ts';
import { t, type Key } from '../core/i18n.ts';
import { volumeName } from '../core/volumes.ts';
import { ErrorBox } from '../parts/error.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Panel, Tag } from '../parts/small.tsx';
import { storageHref } from './storage-columns.tsx';
import { useStorageList, type StorageEntry } from './storage-data.ts';
import { Owner } from './storage-volume-columns.tsx';

interface Plan { volid: string; ctime: number; type: string; vmid?: number; mark: 'keep' | 'remove' | 'protected' | 'renamed' }

const MARKS: Readonly<Record<Plan['mark'], Key>> = { keep: 'storage.prune.keep', remove: 'storage.prune.remove', protected: 'storage.protected', renamed: 'storage.prune.renamed' };

export function StoragePrune({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const { value, error, reload } = useStorageList<Plan>(node, config.storage, 'prunebackups');
  if (error)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!value)
    return <Waiting />;
  if (!value.length)
    return <Empty icon="disk" title={t('storage.prune.none')}><p class="quiet">{t('storage.prune.noneHelp')}</p></Empty>;
  return (
    <Panel title={t('storage.tab.backups')}>
      <p class="quiet pad-sides">{t('storage.prune.help')}</p>
      <ul class="plan-list">
        {[...value].sort((a, b) => b.ctime - a.ctime).map((row) => (
          <li key={row.volid}>
            <a class="ellipsis" href={`${storageHref(node, config.storage, 'content')}?kind=backup&volume=${encodeURIComponent(row.volid)}`}>{volumeName(row.volid)}</a>
            <span>{row.vmid !== undefined && <Owner vmid={row.vmid} />}</span>
            <Tag name={t(MARKS[row.mark])} />
            <time class="quiet num">{dateTime(row.ctime)}</time>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
