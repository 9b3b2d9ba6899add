// All storages: how they are, how full they are, and a new one.
import { useMemo, useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import { matches, parseSearch } from '../core/list.ts';
import { go, place, setQuery, type PathParams } from '../core/router.ts';
import { kindsOf } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Icon } from '../parts/icon.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty } from '../parts/small.tsx';
import { ColumnMenu, Table } from '../parts/table.tsx';
import { useRows } from '../parts/table-rows.ts';
import { storageColumns, storageHref } from './storage-columns.tsx';
import { mayConfigure, useEntries, usageOf, type StorageEntry } from './storage-data.ts';
import { StorageForm } from './storage-form.tsx';
import { StorageDialog, type StorageAsk } from './storage-menu.tsx';
import { UploadsLine } from './storage-uploads-line.tsx';

const NONE: readonly StorageEntry[] = [];

function isFound(e: StorageEntry, terms: ReturnType<typeof parseSearch>): boolean {
  const c = e.config;
  return matches(terms, `${c.storage} ${c.type} ${c.path ?? ''} ${e.node}`,
    { name: [c.storage], type: [c.type], node: [e.node], content: kindsOf(c.content), state: terms.length ? [usageOf(e).state] : [] });
}

export default function Storages(_p: { params: PathParams }) {
  const { value, error, reload } = useEntries();
  const [ask, setAsk] = useState<StorageAsk>(null);
  const columns = useMemo(() => storageColumns(setAsk, reload), [reload]);
  const [isAdding, setAdding] = useState(false);
  const text = place.value.query.get('q') ?? '';
  const all = value ?? NONE;
  const found = useMemo(() => all.filter((e) => isFound(e, parseSearch(text))), [all, text]);
  const rows = useRows(found, (e) => e.id);
  return (
    <div class="view full">
      <header class="view-head row wrap">
        <h1>{t('nav.storage')}</h1>
        <label class="search-box grow">
          <Icon name="search" /><span class="hidden-text">{t('storage.search')}</span>
          <input type="search" value={text} placeholder={t('storage.searchHint')} onInput={(e) => setQuery({ q: e.currentTarget.value })} />
        </label>
        <span class="grow" />
        {mayConfigure() && <Button tone="main" icon="plus" onClick={() => setAdding(true)}>{t('storage.add')}</Button>}
        <ColumnMenu name="storages" columns={columns} />
      </header>
      <UploadsLine />
      {error !== null && <ErrorBox error={error} onRetry={reload} />}
      {rows.length > 0
        ? <Table name="storages" label={t('nav.storage')} columns={columns} rows={rows} idOf={(e) => e.id} titleOf={(e) => e.config.storage}
            firstSort="name" onOpen={(e) => go(storageHref(e.node, e.config.storage))} />
        : !value || !hasLoaded.value
          ? !error && <Waiting />
          : all.length
            ? <Empty icon="search" title={t('storage.none')}><Button onClick={() => setQuery({ q: null })}>{t('guests.clear')}</Button></Empty>
            : <Empty icon="disk" title={t('storage.empty')}><p class="quiet">{t('storage.emptyHelp')}</p></Empty>}
      {isAdding && <StorageForm config={null} onDone={reload} onClose={() => setAdding(false)} />}
      <StorageDialog ask={ask} onDone={reload} onClose={() => setAsk(null)} />
    </div>
  );
}
