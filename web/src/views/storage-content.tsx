// What lies on a storage: by kind, searched, chosen, opened. Kind, search and the open volume are part of the address.
import { useMemo, useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import { t } from '../core/i18n.ts';
import { matches, parseSearch, type Term } from '../core/list.ts';
import { canStorage } from '../core/perms.ts';
import { place, setQuery } from '../core/router.ts';
import { store } from '../core/store.ts';
import { KIND_TEXTS, KINDS, kindsOf, volumeName, type ContentKind, type Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { ColumnMenu, Table } from '../parts/table.tsx';
import { useRows } from '../parts/table-rows.ts';
import { AllocateDialog } from './storage-allocate.tsx';
import { storageHref } from './storage-columns.tsx';
import { mayBring, mayManage, uploadKinds, useContent, type StorageEntry } from './storage-data.ts';
import { DeleteDialog } from './storage-delete.tsx';
import { VolumeDialog } from './storage-volume.tsx';
import { VOLUME_COLUMNS } from './storage-volume-columns.tsx';

const NONE: readonly Volume[] = [];

function isFound(v: Volume, terms: readonly Term[]): boolean {
  const owner = v.vmid === undefined ? '' : (store.tables.guest.row(String(v.vmid))?.peek().name ?? '');
  return matches(terms, `${volumeName(v.volid)} ${v.vmid ?? ''} ${owner} ${v.notes ?? ''}`,
    { name: [volumeName(v.volid)], id: [String(v.vmid ?? '')], guest: [owner], format: [v.format], notes: [v.notes ?? ''], kind: [v.content] });
}

function KindFilter({ list, kinds, chosen }: { list: readonly Volume[]; kinds: readonly ContentKind[]; chosen: string }) {
  const count = (kind: string): number => list.filter((v) => v.content === kind).length;
  const chip = (id: string, text: string, n: number) => (
    <button key={id} type="button" class="chip" aria-pressed={chosen === id} onClick={() => setQuery({ kind: id || null })}>{text} <span class="num quiet">{n}</span></button>
  );
  return (
    <div class="row chips kinds" role="group" aria-label={t('storage.byKind')}>
      {chip('', t('guests.all'), list.length)}
      {KINDS.filter((k) => kinds.includes(k) || count(k) > 0).map((k) => (count(k) > 0 || chosen === k) && chip(k, t(KIND_TEXTS[k].many), count(k)))}
    </div>
  );
}

function Nothing({ entry, isFiltered }: { entry: StorageEntry; isFiltered: boolean }) {
  const { node, config } = entry;
  if (isFiltered)
    return <Empty icon="search" title={t('storage.content.none')}><Button onClick={() => setQuery({ q: null, kind: null })}>{t('guests.clear')}</Button></Empty>;
  return (
    <Empty icon="disk" title={t('storage.content.empty')}>
      <p class="quiet">{t('storage.content.emptyHelp')}</p>
      {mayBring(config.storage) && uploadKinds(config).length > 0 && <a class="button main" href={storageHref(node, config.storage, 'upload')}><Icon name="upload" />{t('storage.tab.upload')}</a>}
    </Empty>
  );
}

export function StorageContent({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const { value, error, reload } = useContent(node, config.storage);
  const selected = useMemo(() => signal<ReadonlySet<string>>(new Set()), []);
  const [deleted, setDeleted] = useState<readonly Volume[] | null>(null);
  const [isAllocating, setAllocating] = useState(false);
  const query = place.value.query;
  const text = query.get('q') ?? '', kind = query.get('kind') ?? '', open = query.get('volume');
  const all = value ?? NONE;
  const found = useMemo(() => { const terms = parseSearch(text); return all.filter((v) => isFound(v, terms)); }, [all, text]);
  const shown = useMemo(() => (kind ? found.filter((v) => v.content === kind) : found), [found, kind]);
  const rows = useRows(shown, (v) => v.volid);
  const chosen = shown.filter((v) => selected.value.has(v.volid));
  const isManager = mayManage(config.storage);
  const kinds = kindsOf(config.content);
  const remove = (list: readonly Volume[]): void => { setQuery({ volume: null }); setDeleted(list); };
  return (
    <>
      <div class="view-head row wrap">
        <label class="search-box grow">
          <Icon name="search" /><span class="hidden-text">{t('storage.content.search')}</span>
          <input type="search" value={text} placeholder={t('storage.content.searchHint')} onInput={(e) => setQuery({ q: e.currentTarget.value })} />
        </label>
        <span class="grow" />
        {kinds.includes('images') && canStorage(config.storage, 'Datastore.AllocateSpace') && <Button icon="plus" onClick={() => setAllocating(true)}>{t('storage.allocate')}</Button>}
        <ColumnMenu name="volumes" columns={VOLUME_COLUMNS} />
      </div>
      {all.length > 0 && <KindFilter list={found} kinds={kinds} chosen={kind} />}
      {chosen.length > 0 && (
        <div class="selection row wrap" role="region" aria-label={t('storage.selection')}>
          <strong class="num">{t('guests.selected', { n: chosen.length })}</strong>
          <Button icon="trash" onClick={() => setDeleted(chosen)}>{t('storage.delete')}</Button>
          <Button tone="ghost" icon="close" label={t('guests.unselect')} onClick={() => { selected.value = new Set(); }} />
        </div>
      )}
      {error !== null && <ErrorBox error={error} onRetry={reload} />}
      {rows.length > 0
        ? <Table name="volumes" label={t('storage.content')} columns={VOLUME_COLUMNS} rows={rows} idOf={(v) => v.volid} titleOf={(v) => volumeName(v.volid)}
            {...(isManager ? { selected } : {})} firstSort="name" onOpen={(v) => setQuery({ volume: v.volid }, { push: true })} />
        : !value
          ? !error && <Waiting />
          : <Nothing entry={entry} isFiltered={all.length > 0} />}
      {open && value && <VolumeDialog key={open} node={node} storage={config.storage} volid={open} row={all.find((v) => v.volid === open)}
        onDelete={(v) => remove([v])} onDone={reload} onClose={() => setQuery({ volume: null })} />}
      {deleted && <DeleteDialog node={node} storage={config.storage} volumes={deleted} onDone={() => { selected.value = new Set(); reload(); }} onClose={() => setDeleted(null)} />}
      {isAllocating && <AllocateDialog node={node} config={config} list={all} onDone={reload} onClose={() => setAllocating(false)} />}
    </>
  );
}
