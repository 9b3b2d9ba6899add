// One storage on one node: its tabs, each with an address.
import { useState } from 'preact/hooks';
import type { ComponentType } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import { go, type PathParams } from '../core/router.ts';
import { kindsOf } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Tabs } from '../parts/small.tsx';
import { StorageStateOf, storageHref } from './storage-columns.tsx';
import { StorageContent } from './storage-content.tsx';
import { mayBring, mayConfigure, mayFetch, mayLook, uploadKinds, useEntries, type StorageEntry } from './storage-data.ts';
import { StorageDownload } from './storage-download.tsx';
import { StorageDialog, StorageMenu, switchStorage, type StorageAsk } from './storage-menu.tsx';
import { StoragePrune } from './storage-prune.tsx';
import { StorageSummary } from './storage-summary.tsx';
import { StorageUploads } from './storage-uploads.tsx';
import { UploadsLine } from './storage-uploads-line.tsx';

export type StorageTab = ComponentType<{ entry: StorageEntry }>;

interface TabRow { id: string; title: Key; tab: StorageTab; fits?: (e: StorageEntry) => boolean; isFull?: boolean }

const hasKind = (e: StorageEntry, kind: string): boolean => (kindsOf(e.config.content) as string[]).includes(kind);

const TABS: readonly TabRow[] = [
  { id: 'summary', title: 'tab.summary', tab: StorageSummary },
  { id: 'content', title: 'storage.content', tab: StorageContent, fits: (e) => mayLook(e.config.storage), isFull: true },
  { id: 'upload', title: 'storage.tab.upload', tab: StorageUploads, fits: (e) => mayBring(e.config.storage) && uploadKinds(e.config).length > 0 },
  { id: 'download', title: 'storage.tab.download', tab: StorageDownload,
    fits: (e) => mayBring(e.config.storage) && (hasKind(e, 'import') || hasKind(e, 'vztmpl') || (hasKind(e, 'iso') && mayFetch(e.node, e.config.storage))) },
  { id: 'backups', title: 'storage.tab.backups', tab: StoragePrune, fits: (e) => hasKind(e, 'backup') && mayLook(e.config.storage) },
];

function Disabled({ entry, onDone }: { entry: StorageEntry; onDone: () => void }) {
  return (
    <div class="note-box row wrap" role="status">
      <Icon name="pause" /><span class="grow">{t('storage.disabledText')}</span>
      {mayConfigure() && <Button icon="play" onClick={() => void switchStorage(entry.config, true, onDone)}>{t('storage.enable')}</Button>}
    </div>
  );
}

function Page({ entry, tab, onDone }: { entry: StorageEntry; tab: string; onDone: () => void }) {
  const [ask, setAsk] = useState<StorageAsk>(null);
  const { node, config } = entry;
  const tabs = TABS.filter((row) => row.id === 'summary' || (!config.disable && (row.fits?.(entry) ?? true)));
  const row = tabs.find((r) => r.id === tab);
  return (
    <div class={row?.isFull ? 'view full' : 'view'}>
      <header class="view-head row wrap">
        <div class="grow guest-title">
          <p class="crumbs"><a href="/storage">{t('nav.storage')}</a></p>
          <h1 class="row wrap"><span>{config.storage}</span><span class="quiet">{config.type} · {node}</span><StorageStateOf entry={entry} /></h1>
        </div>
        {mayConfigure() && <span class="storage-edit"><Button icon="edit" onClick={() => setAsk({ what: 'edit', config })}>{t('storage.edit')}</Button></span>}
        <StorageMenu config={config} tone="plain" onAsk={setAsk} onDone={onDone} />
      </header>
      <Tabs label={config.storage} current={storageHref(node, config.storage, tab)} tabs={tabs.map((r) => [storageHref(node, config.storage, r.id), t(r.title)] as const)} />
      {!!config.disable && <Disabled entry={entry} onDone={onDone} />}
      {tab !== 'upload' && <UploadsLine />}
      {row ? <row.tab key={`${entry.id} ${tab}`} entry={entry} /> : <Empty icon="search" title={t('notFound')} />}
      <StorageDialog ask={ask} onDone={onDone} onGone={() => go('/storage')} onClose={() => setAsk(null)} />
    </div>
  );
}

export default function StoragePage({ params }: { params: PathParams }) {
  const { value, error, reload } = useEntries();
  const entry = value?.find((e) => e.node === params['node'] && e.config.storage === params['storage']);
  if (entry)
    return <Page key={entry.id} entry={entry} tab={params['tab'] ?? 'summary'} onDone={reload} />;
  if (error)
    return <div class="view"><ErrorBox error={error} onRetry={reload} /></div>;
  return value && hasLoaded.value
    ? <Empty icon="disk" title={t('storage.gone', { name: params['storage'] ?? '' })}><a href="/storage">{t('nav.storage')}</a></Empty>
    : <Waiting />;
}
